"""DeLong: the interval of one AUC, and the test between two on the same people."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from bidsclf.errors import InputError
from bidsclf.evaluate._predictions import check, pool

NO_SPREAD = 1e-12  # a variance below is rounding: AUCs lie in [0, 1]; ours


class Interval(NamedTuple):
    """An AUC with its standard error and interval; NaN where undefined."""

    estimate: float
    sd: float
    low: float
    high: float


class Difference(NamedTuple):
    """AUC of a minus AUC of b, its interval and two-sided p value."""

    estimate: float
    low: float
    high: float
    p: float


def delong_covariance(
    truth: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return AUCs and their covariance from midranks, in O(n log n).

    Parameters
    ----------
    truth : int array of shape (n_people,)
        0 or 1.
    scores : float array of shape (n_models, n_people)

    Returns
    -------
    auc : float64 array of shape (n_models,)
        NaN if a class is absent.
    covariance : float64 array of shape (n_models, n_models)
        NaN if a class has fewer than two people.

    References
    ----------
    Sun & Xu (2014), IEEE Signal Processing Letters 21(11), 1389-1393,
    doi:10.1109/LSP.2014.2337313, for DeLong et al. (1988), Biometrics 44(3),
    837-845, doi:10.2307/2531595.

    Examples
    --------
    >>> delong_covariance(np.array([0, 1, 0, 1]), np.array([[1, 2, 3, 4]]))[0]
    array([0.75])
    """
    is_positive = np.asarray(truth) == 1
    positive, negative = scores[:, is_positive], scores[:, ~is_positive]
    m, n = positive.shape[1], negative.shape[1]
    undefined = np.full(len(scores), np.nan)
    if not m or not n:
        return undefined, np.outer(undefined, undefined)
    ranks = rankdata(scores, axis=1)
    above = (ranks[:, is_positive] - rankdata(positive, axis=1)) / n
    below = 1 - (ranks[:, ~is_positive] - rankdata(negative, axis=1)) / m
    auc = above.mean(axis=1)
    if min(m, n) < 2:
        return auc, np.outer(undefined, undefined)
    covariance = np.atleast_2d(np.cov(above)) / m + np.atleast_2d(np.cov(below)) / n
    return auc, covariance


def delong_interval(
    truth: np.ndarray, score: np.ndarray, level: float = 0.95
) -> Interval:
    """Return the AUC with DeLong's normal interval, clipped to [0, 1].

    Parameters
    ----------
    truth, score : arrays of shape (n_people,)
    level : float
        Coverage in (0, 1). At an AUC of exactly 0 or 1 the interval has no
        width, which understates the uncertainty of few people.

    Examples
    --------
    >>> truth = np.array([0, 0, 0, 1, 1, 1])
    >>> score = np.array([0.1, 0.4, 0.6, 0.3, 0.7, 0.8])
    >>> [round(v, 3) for v in delong_interval(truth, score)]
    [0.778, 0.248, 0.291, 1.0]
    """
    auc, covariance = delong_covariance(truth, np.asarray(score, float)[None])
    sd = float(np.sqrt(covariance[0, 0]))
    low, high = np.clip(auc[0] + norm.ppf((1 + level) / 2) * sd * np.r_[-1, 1], 0, 1)
    return Interval(float(auc[0]), sd, float(low), float(high))


def delong_test(truth: np.ndarray, a: np.ndarray, b: np.ndarray) -> Difference:
    """Test whether two scores of the same people have the same AUC.

    The people are the sample: that the models would differ if trained on other
    people is not part of this test.

    Parameters
    ----------
    truth : int array of shape (n_people,)
    a, b : float arrays of shape (n_people,)

    Returns
    -------
    Difference
        AUC(a) - AUC(b), 95 % interval, p. Without any spread p is 1 for equal
        AUCs and 0 for others; NaN where a class has fewer than two people.

    Raises
    ------
    InputError
        The three arrays differ in length.
    """
    if not len(truth) == len(a) == len(b):
        raise InputError(
            f"{len(truth)} truths, {len(a)} and {len(b)} scores; a paired test needs"
            " the same people in both. Compare on the people that both models judged."
        )
    auc, covariance = delong_covariance(truth, np.array([a, b], float))
    difference = float(auc[0] - auc[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance < NO_SPREAD:
        p = float(abs(difference) < NO_SPREAD)
        return Difference(difference, difference, difference, p)
    sd = np.sqrt(variance)
    half = float(norm.ppf(0.975) * sd)
    p = float(2 * norm.sf(abs(difference) / sd))
    return Difference(difference, difference - half, difference + half, p)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p values adjusted for all tests of a family; NaN stays NaN.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6(2), 65-70.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    adjusted = np.array(p, float)
    known = np.flatnonzero(np.isfinite(adjusted))
    order = known[np.argsort(adjusted[known], kind="stable")]
    scaled = adjusted[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted


def comparisons_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Compare every pair of models on the people that both judged.

    Parameters
    ----------
    predictions : DataFrame
        Rows of predictions.tsv; scores are averaged over repeats first.

    Returns
    -------
    comparisons : DataFrame
        model_a, model_b, difference (AUC of a minus AUC of b), low, high
        (95 %), p, p_holm (over all pairs), test, n (people).

    Raises
    ------
    InputError
        The table is not one of predictions.

    Notes
    -----
    A model that knows nothing, as a control may, scores below 0.5 in stratified
    folds: what is more frequent in training is less so in the test. To exceed
    such a control is no evidence; the report asks for an AUC above 0.5 as well.
    """
    check(predictions)
    pooled = pool(predictions).set_index("participant_id")
    models = pooled["model"].unique()
    people = {name: pooled[pooled["model"] == name] for name in models}
    rows = []
    for a, b in combinations(models, 2):
        both = people[a].join(people[b]["score"], how="inner", rsuffix="_b")
        found = delong_test(
            both["truth"].to_numpy(),
            both["score"].to_numpy(),
            both["score_b"].to_numpy(),
        )
        rows.append((a, b, *found, "delong", len(both)))
    names = ["model_a", "model_b", "difference", "low", "high", "p", "test", "n"]
    table = pd.DataFrame(rows, columns=names)
    table.insert(6, "p_holm", holm(table["p"].to_numpy(float)))
    return table
