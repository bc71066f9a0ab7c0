"""How good the scores are: every metric, per fold, pooled and per site.

All metrics take counts of people, so that one formula serves the estimate (each
person once) and a thousand bootstrap draws at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd

from bidsclf.evaluate._predictions import check, pool
from bidsclf.evaluate.comparison import delong_interval
from bidsclf.evaluate.resampling import bootstrap_intervals, stratified_counts

N_BINS = 10  # of equal width over [0, 1], for the calibration error; Guo 2017 has 15
THRESHOLD = 0.5  # a score of at least this is called positive
FLOOR = np.finfo(float).eps  # of a probability inside a logarithm, as scikit-learn's


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide; NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole != 0)


@dataclass(frozen=True)
class Tally:
    """Counts of people, seen through one model's scores.

    Attributes
    ----------
    truth : bool array of shape (n_people,)
    score : float array of shape (n_people,)
        In [0, 1].
    counts : float array of shape (n_draws, n_people)
        How often each person counts in each draw.
    """

    truth: np.ndarray
    score: np.ndarray
    counts: np.ndarray

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of a person's value over people, one a draw."""
        return self.counts @ values.astype(float)

    @cached_property
    def n(self) -> np.ndarray:
        """People in each draw."""
        return self.counts.sum(axis=1)

    @cached_property
    def positive(self) -> np.ndarray:
        """People of class 1 in each draw."""
        return self.total(self.truth)

    @cached_property
    def has_both(self) -> np.ndarray:
        """Whether both classes occur in each draw."""
        return (self.positive > 0) & (self.positive < self.n)

    @cached_property
    def confusion(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """True positives, false positives, true negatives, false negatives."""
        is_called = self.score >= THRESHOLD
        tp, fp = self.total(self.truth & is_called), self.total(~self.truth & is_called)
        return tp, fp, self.n - self.positive - fp, self.positive - tp

    @cached_property
    def levels(self) -> tuple[np.ndarray, np.ndarray]:
        """People of class 1 and 0 at each distinct score, rising: (n_draws, n)."""
        order = np.argsort(self.score, kind="stable")
        starts = np.flatnonzero(np.diff(self.score[order], prepend=-1.0))
        counts, truth = self.counts[:, order], self.truth[order]
        at = partial(np.add.reduceat, indices=starts, axis=1)
        return at(counts * truth), at(counts * ~truth)


def _accuracy(t: Tally) -> np.ndarray:
    tp, _, tn, _ = t.confusion
    accuracy = (tp + tn) / t.n
    share = t.positive / t.n
    mixed = share * _sensitivity(t) + (1 - share) * _specificity(t)
    if not np.allclose(accuracy[t.has_both], mixed[t.has_both], atol=1e-12):
        raise ArithmeticError(
            "accuracy is not the weighted mean of sensitivity and specificity"
        )
    return accuracy


def _sensitivity(t: Tally) -> np.ndarray:
    return _ratio(t.confusion[0], t.positive)


def _specificity(t: Tally) -> np.ndarray:
    return _ratio(t.confusion[2], t.n - t.positive)


def _balanced_accuracy(t: Tally) -> np.ndarray:
    return (_sensitivity(t) + _specificity(t)) / 2


def _auc(t: Tally) -> np.ndarray:
    positive, negative = t.levels
    below = np.cumsum(negative, axis=1) - negative / 2  # ties count half
    pairs = t.positive * (t.n - t.positive)
    return _ratio(np.einsum("dl,dl->d", positive, below), pairs)


def _average_precision(t: Tally) -> np.ndarray:
    positive, negative = (side[:, ::-1] for side in t.levels)
    found = np.cumsum(positive, axis=1)
    called = found + np.cumsum(negative, axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return _ratio(np.einsum("dl,dl->d", positive, precision), t.positive)


def _mcc(t: Tally) -> np.ndarray:
    tp, fp, tn, fn = t.confusion
    norm = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    mcc = np.divide(tp * tn - fp * fn, norm, out=np.zeros_like(norm), where=norm > 0)
    return np.where(t.has_both, mcc, np.nan)


def _f1(t: Tally) -> np.ndarray:
    tp, fp, _, fn = t.confusion
    return np.where(t.positive > 0, _ratio(2 * tp, 2 * tp + fp + fn), np.nan)


def _brier(t: Tally) -> np.ndarray:
    return t.total((t.score - t.truth) ** 2) / t.n


def _ece(t: Tally) -> np.ndarray:
    at = np.minimum((t.score * N_BINS).astype(int), N_BINS - 1)
    members = np.eye(N_BINS)[at] * (t.truth - t.score)[:, None]
    return np.abs(t.counts @ members).sum(axis=1) / t.n


def _log_loss(t: Tally) -> np.ndarray:
    right = np.where(t.truth, t.score, 1 - t.score)
    return t.total(-np.log(np.clip(right, FLOOR, 1 - FLOOR))) / t.n


METRICS: dict[str, Callable[[Tally], np.ndarray]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "sensitivity": _sensitivity,
    "specificity": _specificity,
    "auc": _auc,
    "average_precision": _average_precision,
    "mcc": _mcc,
    "f1": _f1,
    "brier": _brier,
    "ece": _ece,
    "log_loss": _log_loss,
}


def measure(
    truth: np.ndarray, score: np.ndarray, counts: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return every metric of scores in [0, 1] against 0/1 truth.

    Parameters
    ----------
    truth, score : arrays of shape (n_people,)
    counts : array of shape (n_draws, n_people), optional
        How often each person counts in each draw; default each person once.

    Returns
    -------
    metrics : dict of float64 arrays of shape (n_draws,)
        Dimensionless. A score of 0.5 or more is called positive; the
        calibration error (ece) has ten bins of equal width over the score.
        NaN where a class that the metric needs is absent.

    Examples
    --------
    >>> found = measure(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9]))
    >>> found["accuracy"], found["auc"]
    (array([0.5]), array([0.75]))
    """
    counts = np.ones((1, len(truth))) if counts is None else counts
    tally = Tally(np.asarray(truth).astype(bool), np.asarray(score, float), counts)
    return {name: metric(tally) for name, metric in METRICS.items()}


def _estimates(rows: pd.DataFrame) -> dict[str, float]:
    found = measure(rows["truth"].to_numpy(), rows["score"].to_numpy())
    return {name: float(value[0]) for name, value in found.items()}


def _sizes(rows: pd.DataFrame) -> dict[str, int]:
    people = rows.drop_duplicates("participant_id")
    return {"n": len(people), "n_positive": int(people["truth"].sum())}


def _fold_rows(predictions: pd.DataFrame, head: dict[str, str]) -> Iterator[dict]:
    """Yield every metric of every fold, then their mean and SD over folds."""
    by_fold = []
    for (repeat, fold), rows in predictions.groupby(["repeat", "fold"]):
        place = {"scope": "fold", "group": f"{repeat}/{fold}"}
        by_fold.append(_estimates(rows))
        for name, value in by_fold[-1].items():
            cells = {"metric": name, "estimate": value, "method": "none"}
            yield {**head, **place, **cells, **_sizes(rows)}
    for name in METRICS:
        known = np.array([found[name] for found in by_fold])
        known = known[np.isfinite(known)]
        yield {
            **head,
            "scope": "mean of folds",
            "group": f"{len(known)} of {len(by_fold)} folds",
            "metric": name,
            "estimate": known.mean() if len(known) else np.nan,
            "sd": known.std(ddof=1) if len(known) > 1 else np.nan,
            "method": "none",
            **_sizes(predictions),
        }


def _people_rows(
    rows: pd.DataFrame, head: dict[str, str], *, n_bootstrap: int, seed: int
) -> Iterator[dict]:
    """Yield every metric of one score a person, with intervals over people."""
    truth, score = rows["truth"].to_numpy(), rows["score"].to_numpy()
    counts = stratified_counts(truth, n_bootstrap=n_bootstrap, seed=seed)
    intervals = bootstrap_intervals(partial(measure, truth, score), counts)
    for name, estimate in _estimates(rows).items():
        base = {**head, "metric": name, "estimate": estimate, **_sizes(rows)}
        if name == "auc":
            _, sd, low, high = delong_interval(truth, score)
            yield {**base, "sd": sd, "low": low, "high": high, "method": "delong"}
        sd, low, high = intervals[name]
        yield {**base, "sd": sd, "low": low, "high": high, "method": "bootstrap"}


def metrics_table(
    predictions: pd.DataFrame, *, n_bootstrap: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Return metrics.tsv: every metric of every model, at every scope.

    Parameters
    ----------
    predictions : DataFrame
        Rows of predictions.tsv, in any order.
    n_bootstrap, seed : int
        Resamples of people behind each interval; the same people are drawn
        for all models.

    Returns
    -------
    metrics : DataFrame
        model, scope ('pooled', 'mean of folds', 'site' or 'fold'), group,
        metric, estimate, sd, low, high, method, n, n_positive. Pooled and site
        rows have one score a person, the mean over repeats; sd is then the
        standard error and low, high the 95 % interval by ``method``, and auc
        has two rows, 'delong' then 'bootstrap'. For 'mean of folds' sd is the
        spread over folds and group says how many folds define the metric.

    Raises
    ------
    InputError
        The table is not one of predictions.
    """
    check(predictions)
    pooled = pool(predictions)
    settings = {"n_bootstrap": n_bootstrap, "seed": seed}
    found: list[dict] = []
    for model, people in pooled.groupby("model", sort=False):
        head = {"model": model}
        place = {"scope": "pooled", "group": "all"}
        found += _people_rows(people, head | place, **settings)
        folds = list(_fold_rows(predictions[predictions["model"] == model], head))
        found += folds[-len(METRICS) :]
        for site, rows in people.groupby("site"):
            place = {"scope": "site", "group": str(site)}
            found += _people_rows(rows, head | place, **settings)
        found += folds[: -len(METRICS)]
    columns = ["model", "scope", "group", "metric", "estimate", "sd", "low", "high"]
    return pd.DataFrame(found, columns=[*columns, "method", "n", "n_positive"])
