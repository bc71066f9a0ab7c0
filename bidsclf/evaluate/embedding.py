"""What harmonizing embeddings did to accuracy and AUC, over the same people."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.evaluate._predictions import check, pool
from bidsclf.evaluate.measures import measure
from bidsclf.evaluate.resampling import bootstrap_intervals, stratified_counts

METRICS = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auc")
STAGES = ("before", "after")
COLUMNS = ("model", "metric", *STAGES, "difference", "low", "high", "n")


def embedding_table(
    predictions: pd.DataFrame, *, n_bootstrap: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Return embedding.tsv: metrics before and after embeddings were harmonized.

    Parameters
    ----------
    predictions : DataFrame
        Rows of predictions.tsv, with the column ``before`` of scores without a
        harmonizer; missing for models whose embeddings were not harmonized.
    n_bootstrap, seed : int
        Resamples of people, within each class, behind the interval.

    Returns
    -------
    table : DataFrame
        model, metric, before, after, difference (after less before), low, high (its
        95 % interval; the same people are drawn for both; NaN where a class is a
        single person), n (people). A person's score is the mean over repeats. The
        interval is of people, not of how training would turn out again. No row
        where no embedding was harmonized.

    Raises
    ------
    InputError
        The table is not one of predictions.
    """
    check(predictions)
    if "before" not in predictions:
        return pd.DataFrame(columns=list(COLUMNS))
    rows = predictions[pd.to_numeric(predictions["before"], errors="coerce").notna()]
    if rows.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    check(_as_scores(rows))
    lines: list[dict[str, Any]] = []
    for model in rows["model"].unique():
        own = rows[rows["model"] == model]
        after, before = pool(own), pool(_as_scores(own))
        lines += _lines(str(model), before, after, n_bootstrap=n_bootstrap, seed=seed)
    return pd.DataFrame(lines, columns=list(COLUMNS))


def _as_scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Return predictions whose score is the one before harmonization."""
    before = rows["before"].astype(float)
    return rows.drop(columns="probability", errors="ignore").assign(score=before)


def _lines(
    model: str,
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    n_bootstrap: int,
    seed: int,
) -> Iterator[dict[str, Any]]:
    truth = after["truth"].to_numpy(int)
    measured = _measured(truth, before["score"], after["score"])
    estimates = measured(np.ones((1, len(truth))))
    intervals: dict[str, tuple[float, float, float]] = {}
    if 1 not in np.bincount(truth):
        counts = stratified_counts(truth, n_bootstrap=n_bootstrap, seed=seed)
        intervals = bootstrap_intervals(measured, counts)
    for metric in METRICS:
        _, low, high = intervals.get(metric, (np.nan,) * 3)
        values = {stage: float(estimates[f"{metric}, {stage}"][0]) for stage in STAGES}
        difference = float(estimates[metric][0])
        yield {"model": model, "metric": metric, **values} | {
            "difference": difference,
            "low": low,
            "high": high,
            "n": len(truth),
        }


def _measured(
    truth: np.ndarray, before: pd.Series, after: pd.Series
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return what gives each metric's change, and both its values, of counts."""
    scores = {"before": before.to_numpy(float), "after": after.to_numpy(float)}

    def measured(counts: np.ndarray) -> dict[str, np.ndarray]:
        told = {name: measure(truth, score, counts) for name, score in scores.items()}
        found = {m: told["after"][m] - told["before"][m] for m in METRICS}
        return found | {f"{m}, {s}": told[s][m] for m in METRICS for s in STAGES}

    return measured
