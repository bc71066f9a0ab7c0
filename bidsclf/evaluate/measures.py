"""How good the scores are: every metric of one score a person.

All metrics take counts of people, so that one formula serves the estimate (each
person once) and a thousand bootstrap draws at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

N_BINS = 10  # of equal width over [0, 1], for the calibration error; Guo 2017 has 15
THRESHOLD = 0.5  # a score of at least this is called positive
FLOOR = np.finfo(float).eps  # of a probability inside a logarithm, as scikit-learn's


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide; NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole != 0)


@dataclass(frozen=True)
class Tally:
    """Counts of people, seen through one model's scores.

    Attributes
    ----------
    truth : bool array of shape (n_people,)
    score, probability : float arrays of shape (n_people,)
        In [0, 1]; ranks and calls are of the score.
    counts : float array of shape (n_draws, n_people)
        How often each person counts in each draw.
    """

    truth: np.ndarray
    score: np.ndarray
    probability: np.ndarray
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
    return ratio(t.confusion[0], t.positive)


def _specificity(t: Tally) -> np.ndarray:
    return ratio(t.confusion[2], t.n - t.positive)


def _balanced_accuracy(t: Tally) -> np.ndarray:
    return (_sensitivity(t) + _specificity(t)) / 2


def _won_pairs(t: Tally) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs in which class 1 has the higher score, and all pairs."""
    positive, negative = t.levels
    below = np.cumsum(negative, axis=1) - negative / 2  # ties count half
    return np.einsum("dl,dl->d", positive, below), t.positive * (t.n - t.positive)


def _auc(t: Tally) -> np.ndarray:
    return ratio(*_won_pairs(t))


def _average_precision(t: Tally) -> np.ndarray:
    positive, negative = (side[:, ::-1] for side in t.levels)
    found = np.cumsum(positive, axis=1)
    called = found + np.cumsum(negative, axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return ratio(np.einsum("dl,dl->d", positive, precision), t.positive)


def _mcc(t: Tally) -> np.ndarray:
    tp, fp, tn, fn = t.confusion
    norm = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    mcc = np.divide(tp * tn - fp * fn, norm, out=np.zeros_like(norm), where=norm > 0)
    return np.where(t.has_both, mcc, np.nan)


def _f1(t: Tally) -> np.ndarray:
    tp, fp, _, fn = t.confusion
    return np.where(t.positive > 0, ratio(2 * tp, 2 * tp + fp + fn), np.nan)


def _brier(t: Tally) -> np.ndarray:
    return t.total((t.probability - t.truth) ** 2) / t.n


def _ece(t: Tally) -> np.ndarray:
    at = np.minimum((t.probability * N_BINS).astype(int), N_BINS - 1)
    members = np.eye(N_BINS)[at] * (t.truth - t.probability)[:, None]
    return np.abs(t.counts @ members).sum(axis=1) / t.n


def _log_loss(t: Tally) -> np.ndarray:
    right = np.where(t.truth, t.probability, 1 - t.probability)
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
    truth: np.ndarray,
    score: np.ndarray,
    counts: np.ndarray | None = None,
    *,
    probability: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return every metric of scores in [0, 1] against 0/1 truth.

    Parameters
    ----------
    truth, score : arrays of shape (n_people,)
    counts : array of shape (n_draws, n_people), optional
        How often each person counts in each draw; default each person once.
    probability : array of shape (n_people,), optional
        What Brier score, calibration error and log loss judge; default the score.

    Returns
    -------
    metrics : dict of float64 arrays of shape (n_draws,)
        Dimensionless. A score of 0.5 or more is called positive; the
        calibration error (ece) has ten bins of equal width over the probability.
        NaN where a class that the metric needs is absent.

    Examples
    --------
    >>> found = measure(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9]))
    >>> found["accuracy"], found["auc"]
    (array([0.5]), array([0.75]))
    """
    counts = np.ones((1, len(truth))) if counts is None else counts
    score = np.asarray(score, float)
    told = score if probability is None else np.asarray(probability, float)
    tally = Tally(np.asarray(truth).astype(bool), score, told, counts)
    return {name: metric(tally) for name, metric in METRICS.items()}


def within_site_auc(
    truth: np.ndarray, score: np.ndarray, site: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Return the AUC over pairs of one site: no score of a site alone exceeds 0.5.

    Parameters
    ----------
    truth, score, site : arrays of shape (n_people,)
    counts : array of shape (n_draws, n_people)
        How often each person counts in each draw.

    Returns
    -------
    auc : float64 array of shape (n_draws,)
        Each site weighs as its pairs do. NaN where no site has both classes.

    Examples
    --------
    >>> truth, site = np.array([0, 1, 0, 1]), np.array(["NYU", "NYU", "UM", "UM"])
    >>> within_site_auc(truth, np.array([0.6, 0.7, 0.1, 0.1]), site, np.ones((1, 4)))
    array([0.75])
    """
    won, pairs = np.zeros(len(counts)), np.zeros(len(counts))
    for name in np.unique(site):
        at = site == name
        tally = Tally(truth[at].astype(bool), score[at], score[at], counts[:, at])
        won_here, pairs_here = _won_pairs(tally)
        won, pairs = won + won_here, pairs + pairs_here
    return ratio(won, pairs)
