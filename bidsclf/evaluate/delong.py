"""DeLong: the interval of an AUC, also within sites, and the test between two."""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm, rankdata

from bidsclf.errors import InputError

NO_SPREAD = 1e-12  # a variance below is rounding: AUCs lie in [0, 1]; ours


class Interval(NamedTuple):
    """An AUC with its standard error and interval; NaN where undefined."""

    estimate: float
    sd: float
    low: float
    high: float


class Difference(NamedTuple):
    """A metric of a minus that of b, its 95 % interval and p value."""

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


def _interval(auc: float, sd: float, level: float) -> Interval:
    half = norm.ppf((1 + level) / 2) * sd
    low, high = np.clip([auc - half, auc + half], 0, 1)
    return Interval(auc, sd, float(low), float(high))


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
    return _interval(float(auc[0]), float(np.sqrt(covariance[0, 0])), level)


def within_site_interval(
    truth: np.ndarray, score: np.ndarray, site: np.ndarray, level: float = 0.95
) -> Interval:
    """Return the AUC over pairs of the same site, with its normal interval.

    A score that only tells sites apart has 0.5 here, whatever its pooled AUC.

    Parameters
    ----------
    truth, score, site : arrays of shape (n_people,)
    level : float
        Coverage in (0, 1).

    Returns
    -------
    Interval
        Each site weighs as its pairs do; NaN where no site has both classes, and
        no interval where a class has fewer than two people in all. With one
        site it is `delong_interval`.

    Notes
    -----
    DeLong's variance for the kernel 1[same site] (win - AUC), which is a
    two-sample U-statistic of mean 0, over the squared share of such pairs: the
    make-up of the sites varies with the people drawn.
    """
    is_positive = np.asarray(truth) == 1
    wins, rivals = np.zeros(len(truth)), np.zeros(len(truth))
    for name in np.unique(site):
        here = np.flatnonzero(site == name)
        up = is_positive[here]
        below = rankdata(score[here])
        below[up] -= rankdata(score[here][up])  # people of class 0 below
        below[~up] -= rankdata(score[here][~up])  # people of class 1 below
        wins[here] = np.where(up, below, up.sum() - below)
        rivals[here] = np.where(up, (~up).sum(), up.sum())
    m, n, n_pairs = is_positive.sum(), (~is_positive).sum(), rivals[is_positive].sum()
    if not n_pairs:
        return Interval(*[np.nan] * 4)
    auc = wins[is_positive].sum() / n_pairs
    if min(m, n) < 2:
        return Interval(float(auc), *[np.nan] * 3)
    excess = wins - auc * rivals
    spread = [excess[side].var(ddof=1) for side in (is_positive, ~is_positive)]
    variance = (spread[0] / m / n**2 + spread[1] / n / m**2) * (m * n / n_pairs) ** 2
    return _interval(float(auc), float(np.sqrt(variance)), level)


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
