"""The mean silhouette of groups, in many orders of people."""

import numpy as np

AT_ONCE = 2_000_000  # sums of distances held at a time, 16 MB; ours


def mean_silhouettes(
    placed: np.ndarray, values: np.ndarray, orders: np.ndarray
) -> np.ndarray:
    """Return the mean silhouette of people in each order of them.

    Parameters
    ----------
    placed : float array of shape (n, n)
        Distances of people.
    values : float array of shape (n,)
        The group of each; no group of one person.
    orders : int array of shape (k, n)
        Who gives each person the group.

    Returns
    -------
    silhouettes : float array of shape (k,)
        In [-1, 1]; NaN with fewer than two groups.
    """
    found, group = np.unique(values, return_inverse=True)
    if len(found) < 2:
        return np.full(len(orders), np.nan)
    step = max(1, AT_ONCE // (len(group) * len(found)))
    parts = (orders[at : at + step] for at in range(0, len(orders), step))
    return np.concatenate([_means(placed, group[part]) for part in parts])


def _means(placed: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the mean silhouette of each row of ``groups``, int of shape (k, n)."""
    is_in = groups[..., None] == np.arange(groups.max() + 1)  # (k, n, g)
    sizes = is_in[0].sum(axis=0)  # an order changes none
    sums = placed @ is_in.astype(float)  # (k, n, g)
    within = (sums * is_in).sum(axis=2) / (sizes[groups] - 1)
    between = np.where(is_in, np.inf, sums / sizes).min(axis=2)
    wider = np.maximum(within, between)
    apart = np.divide(
        between - within, wider, where=wider > 0, out=np.zeros_like(wider)
    )
    return apart.mean(axis=1)
