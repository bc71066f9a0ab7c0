"""From samples to people: what a network says of windows, and of who they are of."""

import numpy as np
from scipy.stats import rankdata

SCORES = ("mean", "share")


def log_odds(odds: np.ndarray, person: np.ndarray, score: str) -> np.ndarray:
    """Return the log odds of class 1 of each person.

    Parameters
    ----------
    odds : float64 array of shape (n_samples,)
        Log odds of class 1 of each sample.
    person : int array of shape (n_samples,)
        Ascending from 0; everyone has a sample.
    score : {'mean', 'share'}
        'mean': of the mean probability. 'share': of the share of samples with
        odds above 0, smoothed to ``(k + 0.5) / (n + 1)`` for k of n, so that its
        log odds stay finite (ours; 9 of 10 are less sure than 89 of 99); odds of
        0 count half.

    Returns
    -------
    odds : float64 array of shape (n_people,)
        Finite where ``odds`` is.

    Examples
    --------
    >>> log_odds(np.array([-1.0, 2.0, 3.0]), np.array([0, 1, 1]), "share").round(2)
    array([-1.1 ,  1.61])
    """
    starts = _starts(person)
    if score == "share":
        counts = np.bincount(person)
        positive = np.bincount(person, weights=np.heaviside(odds, 0.5))
        share: np.ndarray = np.log((positive + 0.5) / (counts - positive + 0.5))
        return share
    if len(starts) == len(odds):
        return odds
    # logs of sums of probabilities, since 1 - p is 0 for odds above 37
    likely = np.logaddexp.reduceat(-np.logaddexp(0, -odds), starts)
    unlikely: np.ndarray = np.logaddexp.reduceat(-np.logaddexp(0, odds), starts)
    return likely - unlikely


def auc(odds: np.ndarray, truth: np.ndarray) -> float | None:
    """Return the area under the ROC curve, None where a class is missing.

    Examples
    --------
    >>> auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([0, 0, 1, 1]))
    0.875
    """
    n = np.bincount(truth, minlength=2)
    if n.min() == 0:
        return None
    above = rankdata(odds)[truth == 1].sum() - n[1] * (n[1] + 1) / 2
    return float(above / (n[0] * n[1]))


def drawn(counts: np.ndarray, per_person: int) -> np.ndarray:
    """Return how many samples of each person an epoch takes; 0 takes all.

    Examples
    --------
    >>> drawn(np.array([3, 90]), 10), drawn(np.array([3, 90]), 0)
    (array([ 3, 10]), array([ 3, 90]))
    """
    return np.minimum(counts, per_person) if per_person else counts


def _starts(person: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.diff(person, prepend=-1))
