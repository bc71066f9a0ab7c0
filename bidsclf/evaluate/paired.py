"""Tests of two models on the same people or the same splits, beside DeLong's."""

import numpy as np
import pandas as pd
from scipy.stats import binomtest, t

from bidsclf.errors import InputError
from bidsclf.evaluate.delong import Difference
from bidsclf.evaluate.measures import THRESHOLD, ratio

SPLIT = ["repeat", "fold"]
NO_RANGE = 1e-9  # metrics of people differ by more, rounding by less; ours


def mcnemar(truth: np.ndarray, a: np.ndarray, b: np.ndarray) -> Difference:
    """Test whether two scores, called at 0.5, are right on as many people.

    Parameters
    ----------
    truth : int array of shape (n_people,)
        0 or 1.
    a, b : float arrays of shape (n_people,)
        Scores in [0, 1].

    Returns
    -------
    Difference
        Accuracy of a minus that of b, and the exact two-sided p: of the people
        on whom one model is right and the other is not, is it each in half? The
        95 % interval is the exact one of that share times how many they are. It
        excludes 0 where p < 0.05; that their number varies as well is not in it.
        With no such person: (0, 0, 0, 1); NaN of nobody.

    References
    ----------
    McNemar (1947), Psychometrika 12(2), 153-157, doi:10.1007/BF02295996. Tests
    hold it against statsmodels and the example of Fay's R package exact2x2,
    "Exact McNemar's Test and Matching Confidence Intervals".

    Examples
    --------
    >>> truth, a = np.ones(8, int), np.full(8, 0.9)
    >>> [round(v, 3) for v in mcnemar(truth, a, 1 - a)]
    [1.0, 0.261, 1.0, 0.008]
    """
    is_positive = np.asarray(truth) == 1
    right_a, right_b = ((side >= THRESHOLD) == is_positive for side in (a, b))
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    differ, n = only_a + only_b, len(is_positive)
    if not differ:
        return Difference(0.0, 0.0, 0.0, 1.0) if n else Difference(*[np.nan] * 4)
    found = binomtest(only_a, differ, 0.5)
    share = found.proportion_ci(0.95, method="exact")
    low, high = ((2 * bound - 1) * differ / n for bound in (share.low, share.high))
    return Difference((only_a - only_b) / n, float(low), float(high), found.pvalue)


def corrected_t(differences: np.ndarray, share: float) -> Difference:
    """Test whether differences over splits of the same people are 0 on average.

    Training parts overlap, so that splits agree more than independent ones
    would; the plain t test takes that for precision. The variance of the mean is
    therefore taken as s^2 (1/J + share) instead of s^2 / J, for J splits.

    Parameters
    ----------
    differences : float array of shape (n_splits,)
        One a split; those that are not finite are left out.
    share : float
        People tested over people learned from, as `share_tested` gives it. 0 is
        the plain t test.

    Returns
    -------
    Difference
        Mean, 95 % interval, two-sided p with J - 1 degrees of freedom. All NaN
        but the mean with fewer than two splits, and where all splits have the
        same difference other than 0; (0, 0, 0, 1) where all are 0.

    Notes
    -----
    The correction was derived for random splits of fixed sizes. Folds that
    share no test people, and sites left out, are a stretch of it.

    References
    ----------
    Nadeau & Bengio (2003), Machine Learning 52(3), 239-281,
    doi:10.1023/A:1024068626366. Tests hold it against the worked example of
    scikit-learn's "Statistical comparison of models using grid search".

    Examples
    --------
    >>> [round(v, 3) for v in corrected_t(np.array([0.1, 0.0, 0.2, 0.1]), 1 / 3)]
    [0.1, -0.098, 0.298, 0.207]
    """
    known = differences[np.isfinite(differences)]
    j = len(known)
    mean = float(known.mean()) if j else np.nan
    if j < 2:
        return Difference(mean, np.nan, np.nan, np.nan)
    if np.ptp(known) < NO_RANGE:
        if abs(mean) < NO_RANGE:
            return Difference(0.0, 0.0, 0.0, 1.0)
        return Difference(mean, np.nan, np.nan, np.nan)
    sd = float(np.sqrt(known.var(ddof=1) * (1 / j + share)))
    half = float(t.ppf(0.975, j - 1) * sd)
    p = float(2 * t.sf(abs(mean) / sd, j - 1))
    return Difference(mean, mean - half, mean + half, p)


def paired_t(differences: np.ndarray, share: float = 0.0) -> Difference:
    """Test with a one-tailed t whether differences over splits exceed 0.

    Dvornek et al. (2019; doi:10.1007/978-3-030-32692-0_44) compare models so,
    and many with them, with a share of 0. Its flaw: splits that share training
    people are taken as independent, so that p is too small.

    Parameters
    ----------
    differences : float array of shape (n_splits,)
    share : float
        See `corrected_t`.

    Returns
    -------
    Difference
        As `corrected_t`, but p is one-tailed: small where the mean is above 0.
        The interval stays two-sided.

    Examples
    --------
    >>> round(paired_t(np.array([0.1, 0.0, 0.2, 0.1])).p, 3)
    0.046
    """
    mean, low, high, p = corrected_t(differences, share)
    return Difference(mean, low, high, p / 2 if mean > 0 else 1 - p / 2)


def split_metrics(
    split: np.ndarray, truth: np.ndarray, score: np.ndarray
) -> dict[str, np.ndarray]:
    """Return AUC and accuracies of every split, all at once.

    Parameters
    ----------
    split : int array of shape (n,)
        Split of each row, counted from 0.
    truth, score : arrays of shape (n,)
        0 or 1, and the share for class 1 in [0, 1].

    Returns
    -------
    metrics : dict of float64 arrays of shape (n_splits,)
        auc, accuracy, balanced_accuracy; NaN where a class is absent, accuracy
        where the split is empty.

    Examples
    --------
    >>> split, truth = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 1, 0, 1])
    >>> split_metrics(split, truth, np.array([0.2, 0.9, 0.1, 0.3, 0.3]))["auc"]
    array([0.5, 0.5])
    """
    order = np.lexsort((score, split))
    split, value = split[order], score[order]
    is_positive = np.asarray(truth)[order] == 1
    is_right = is_positive == (value >= THRESHOLD)
    size = np.bincount(split).astype(float)

    def total(weights: np.ndarray) -> np.ndarray:
        return np.bincount(split, weights, len(size))

    is_new = np.r_[True, (np.diff(split) > 0) | (np.diff(value) > 0)]
    edges = np.r_[np.flatnonzero(is_new), len(split)]
    midrank = np.repeat((edges[1:] + edges[:-1] + 1) / 2, np.diff(edges))
    midrank -= (np.cumsum(size) - size)[split]
    positive = total(is_positive)
    negative = size - positive
    won = total(midrank * is_positive) - positive * (positive + 1) / 2
    sides = (
        ratio(total(is_right & is_positive), positive),
        ratio(total(is_right & ~is_positive), negative),
    )
    return {
        "auc": ratio(won, positive * negative),
        "accuracy": ratio(total(is_right), size),
        "balanced_accuracy": (sides[0] + sides[1]) / 2,
    }


def share_tested(predictions: pd.DataFrame, folds: pd.DataFrame | None = None) -> float:
    """Return people tested over people learned from, the mean over splits.

    Parameters
    ----------
    predictions : DataFrame
        Rows of predictions.tsv.
    folds : DataFrame, optional
        Rows of folds.tsv. People are counted once, however often a bootstrap
        drew them, and the part 'valid' counts as learned from. Without it, a
        split learns from everyone else in ``predictions``; NaN if it tests all.

    Raises
    ------
    InputError
        ``folds`` lacks a column or a split that was tested, or a split has
        nobody to learn from.

    Examples
    --------
    >>> rows = [("sub-1", 1, 1), ("sub-2", 1, 1), ("sub-3", 1, 2), ("sub-4", 1, 2)]
    >>> share_tested(pd.DataFrame(rows, columns=["participant_id", "repeat", "fold"]))
    1.0
    """
    tested = predictions[[*SPLIT, "participant_id"]].drop_duplicates()
    n_test = tested.groupby(SPLIT).size()
    if folds is None:
        n_learn = predictions["participant_id"].nunique() - n_test
        return float((n_test / n_learn.where(n_learn > 0)).mean(skipna=False))
    absent = {*SPLIT, "participant_id", "part"} - set(folds)
    if absent:
        raise InputError(
            f"folds lack the columns {sorted(absent)}; give the folds.tsv beside"
            " these predictions."
        )
    people = folds.drop_duplicates([*SPLIT, "participant_id"])
    is_test = people["part"] == "test"
    sizes = [people[side].groupby(SPLIT).size() for side in (is_test, ~is_test)]
    n_test, n_learn = (size.reindex(n_test.index) for size in sizes)
    bad = n_learn.isna() | n_test.isna()
    if bad.any():
        repeat, fold = bad.index[bad][0]
        raise InputError(
            f"{bad.sum()} of {len(bad)} splits have nobody to learn from or to test in"
            f" folds.tsv, first repeat {repeat}, fold {fold}; give the folds.tsv"
            " beside these predictions, or run the group level again."
        )
    return float((n_test / n_learn).mean())
