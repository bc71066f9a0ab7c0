"""The repeated experiment: how results spread over splits, against chance.

The published notebook behind it went on training one model through all rounds, so
that test people had been trained on, drew a ROC from hard labels with controls as
the positive class, and called an accuracy an area. Here each split is a fit of its
own, scored by people it never saw.
"""

import numpy as np
import pandas as pd

from bidsclf.evaluate._predictions import check
from bidsclf.evaluate.paired import (
    SPLIT,
    paired_t,
    share_tested,
    split_metrics,
)
from bidsclf.evaluate.permutation import METRICS

GRID = np.linspace(0, 1, 101)  # false positive rates of roc.tsv
NO_SPREAD = 1e-12  # differences below are rounding: the metrics lie in [0, 1]; ours
PERCENTILES = {"p2_5": 2.5, "p16": 16.0, "p84": 84.0, "p97_5": 97.5}
COLUMNS = (
    "model",
    "metric",
    "n_splits",
    "mean",
    "sd",
    "median",
    "low",
    "high",
    "t",
    "p_t",
    "p_nadeau_bengio",
    "p_percentile",
    "chance",
)


def experiment_table(
    predictions: pd.DataFrame, folds: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return experiment.tsv: each model's results over splits, tested against chance.

    Parameters
    ----------
    predictions : DataFrame
        Rows of predictions.tsv. A split is a fold of a repeat; under the
        bootstrap, whose repeats have one fold, a repeat.
    folds : DataFrame, optional
        Rows of folds.tsv, for the sizes of training parts (those who stop the
        training included, a person drawn twice counted once). Without it
        everyone who is not tested trains.

    Returns
    -------
    experiment : DataFrame
        model, metric, n_splits (where the metric is defined), mean, sd, median,
        low, high (percentiles 2.5 and 97.5 of splits: their spread, no interval
        of the mean), t and p_t (one-sample t-test of 000, as if splits were
        independent: too small), p_nadeau_bengio (the same with the variance
        that overlapping training parts ask for), p_percentile
        ((b + 1) / (n_splits + 1) for b splits at or below chance), chance (0.5;
        for accuracy the share of the larger class). All p are one-sided; NaN
        with fewer than two splits, t and its p also without any spread.

    Raises
    ------
    InputError
        A table is not what it must be.

    References
    ----------
    See `paired_t`.
    """
    check(predictions)
    found = []
    for model, rows in predictions.groupby("model", sort=False):
        people = rows.drop_duplicates("participant_id")["truth"].mean()
        chance = {"accuracy": float(max(people, 1 - people))}
        split = rows.groupby(SPLIT).ngroup().to_numpy()
        values = split_metrics(
            split, rows["truth"].to_numpy(), rows["score"].to_numpy()
        )
        share = share_tested(rows, folds)
        for metric in METRICS:
            known = values[metric][np.isfinite(values[metric])]
            cells = _against(known, share, chance.get(metric, 0.5))
            found.append({"model": model, "metric": metric, **cells})
    return pd.DataFrame(found)[list(COLUMNS)]


def _against(values: np.ndarray, share: float, chance: float) -> dict[str, float]:
    """Describe the values of splits and test them against chance."""
    n = len(values)
    cells = {"n_splits": n, "chance": chance}
    blank = ("mean", "sd", "median", "low", "high", "t", "p_t", "p_nadeau_bengio")
    cells |= dict.fromkeys((*blank, "p_percentile"), np.nan)
    if n:
        low, middle, high = np.percentile(values, [2.5, 50, 97.5])
        cells |= {"mean": values.mean(), "median": middle, "low": low, "high": high}
    if n < 2:
        return cells
    cells["sd"] = sd = float(values.std(ddof=1))
    n_below = int(np.sum(values <= chance + NO_SPREAD))
    cells["p_percentile"] = (n_below + 1) / (n + 1)
    if sd > NO_SPREAD:
        above = values - chance
        cells["t"] = float(above.mean() / sd * np.sqrt(n))
        cells["p_t"] = paired_t(above).p
        cells["p_nadeau_bengio"] = paired_t(above, share).p
    return cells


def roc_curve(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return the true positive rate at each false positive rate of the grid.

    Parameters
    ----------
    truth, score : arrays of shape (n_people,)
        Both classes occur; class 1 is the positive one.

    Returns
    -------
    tpr : float64 array of shape (101,)
        The highest rate reachable at that false positive rate; straight where
        tied scores mix the classes.

    Examples
    --------
    >>> tpr = roc_curve(np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4]))
    >>> tpr[[0, 49, 50, 100]]
    array([0.5, 0.5, 1. , 1. ])
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=np.nan) != 0)
    tp = np.cumsum(truth[order])[ends]
    fp = np.cumsum(1 - truth[order])[ends]
    return np.interp(GRID, np.r_[0, fp / fp[-1]], np.r_[0, tp / tp[-1]])


def roc_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return roc.tsv: each model's ROC over splits, averaged at a false positive rate.

    Parameters
    ----------
    predictions : DataFrame
        Rows of predictions.tsv; splits of a single class have no curve.

    Returns
    -------
    roc : DataFrame
        model, fpr (101 values), then of the true positive rate over splits:
        median, mean, sd (NaN with one split), p2_5, p16, p84, p97_5.

    Raises
    ------
    InputError
        The table is not one of predictions.

    References
    ----------
    Vertical averaging: Fawcett (2006), Pattern Recognition Letters 27(8),
    861-874, doi:10.1016/j.patrec.2005.10.010.
    """
    check(predictions)
    parts = []
    for model, rows in predictions.groupby("model", sort=False):
        curves = [
            roc_curve(part["truth"].to_numpy(), part["score"].to_numpy())
            for _, part in rows.groupby(SPLIT)
            if part["truth"].nunique() == 2
        ]
        if curves:
            parts.append(_bands(np.array(curves)).assign(model=model))
    columns = ["model", "fpr", "median", "mean", "sd", *PERCENTILES]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)[columns]


def _bands(curves: np.ndarray) -> pd.DataFrame:
    """Summarise (n_splits, 101) curves at each point of the grid."""
    percentiles = np.percentile(curves, list(PERCENTILES.values()), axis=0)
    spread = curves.std(axis=0, ddof=1) if len(curves) > 1 else np.nan
    middle = {"median": np.median(curves, axis=0), "mean": curves.mean(axis=0)}
    bands = dict(zip(PERCENTILES, percentiles, strict=True))
    return pd.DataFrame({"fpr": GRID, **middle, "sd": spread, **bands})
