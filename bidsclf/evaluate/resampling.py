"""Resampling people: the stratified bootstrap."""

from collections.abc import Callable

import numpy as np

CHUNK = 2**22  # cells of counts held at once (32 MiB of float64); ours

Statistic = Callable[[np.ndarray], dict[str, np.ndarray]]


def stratified_counts(truth: np.ndarray, *, n_bootstrap: int, seed: int) -> np.ndarray:
    """Draw people with replacement inside each class.

    Parameters
    ----------
    truth : int array of shape (n_people,)
        Class of each person. Class sizes are kept in every draw, so the
        interval is conditional on the prevalence.
    n_bootstrap, seed : int

    Returns
    -------
    counts : float64 array of shape (n_bootstrap, n_people)
        How often each person was drawn.

    Examples
    --------
    >>> stratified_counts(np.array([0, 0, 1]), n_bootstrap=2, seed=0)[:, 2]
    array([1., 1.])
    """
    rng = np.random.default_rng(seed)
    counts = np.zeros((n_bootstrap, len(truth)))
    for label in np.unique(truth):
        members = np.flatnonzero(truth == label)
        n_members = len(members)
        drawn = rng.integers(n_members, size=(n_bootstrap, n_members))
        drawn += n_members * np.arange(n_bootstrap)[:, None]
        tally = np.bincount(drawn.ravel(), minlength=n_bootstrap * n_members)
        counts[:, members] = tally.reshape(n_bootstrap, n_members)
    return counts


def bootstrap_intervals(
    statistic: Statistic, counts: np.ndarray, *, level: float = 0.95
) -> dict[str, tuple[float, float, float]]:
    """Return the spread and percentile interval of each statistic.

    Parameters
    ----------
    statistic : callable
        ``statistic(counts)`` gives arrays of shape (n_draws,) by name for
        counts of shape (n_draws, n_people).
    counts : array of shape (n_bootstrap, n_people)
        From `stratified_counts`.
    level : float
        Coverage in (0, 1).

    Returns
    -------
    intervals : dict of (sd, low, high)
        NaN where a statistic is undefined in any draw.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    step = max(1, CHUNK // max(1, counts.shape[1]))
    parts = [
        statistic(counts[start : start + step]) for start in range(0, len(counts), step)
    ]
    tails = [(1 - level) / 2, (1 + level) / 2]
    intervals = {}
    for name in parts[0]:
        draws = np.concatenate([part[name] for part in parts])
        low, high = np.quantile(draws, tails)
        intervals[name] = (float(draws.std(ddof=1)), float(low), float(high))
    return intervals
