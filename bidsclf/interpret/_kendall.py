"""Kendall's tau-b of one set of distances with many orders of another.

Only the number of discordant pairs changes with the order; it is counted with a
binary indexed tree (Fenwick 1994, doi:10.1002/spe.4380240306), compiled by numba,
which umap-learn brings.
"""

from collections.abc import Callable
from functools import cache

import numpy as np


def taus(placed: np.ndarray, apart: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Return tau-b of ``placed`` with ``apart`` in each order of people.

    Parameters
    ----------
    placed, apart : float arrays of shape (n, n)
        Distances of people, symmetric.
    orders : int array of shape (k, n)
        Permutations of people.

    Returns
    -------
    taus : float array of shape (k,)
        NaN where one of the two knows a single distance.

    References
    ----------
    Kendall (1945), doi:10.1093/biomet/33.3.239. With S the concordant less the
    discordant pairs, and D discordant, S = pairs - ties - 2 D where ``placed`` has no
    ties; of tied ones it does not matter which is first, if both are tried.
    """
    first, second = np.triu_indices(len(placed), k=1)
    x = placed[first, second]
    codes = np.unique(apart, return_inverse=True)[1].reshape(apart.shape)
    codes = codes.astype(np.int32)
    n_all = len(x) * (len(x) - 1) // 2  # pairs of distances
    ties = _tied(codes[first, second])
    scale = float(n_all - _tied(x)) * float(n_all - ties)
    if not scale:
        return np.full(len(orders), np.nan)
    up = np.argsort(x, kind="stable")
    down = np.lexsort((-np.arange(len(x)), x))  # of tied ones the last is first
    tries = [up] if np.array_equal(up, down) else [up, down]
    discordant = [_swaps()(first[way], second[way], codes, orders) for way in tries]
    return (n_all - ties - 2 * np.mean(discordant, axis=0)) / np.sqrt(scale)


def _tied(values: np.ndarray) -> int:
    """Return how many pairs of values are equal."""
    counts = np.unique(values, return_counts=True)[1].astype(np.int64)
    return int((counts * (counts - 1) // 2).sum())


@cache
def _swaps() -> Callable[..., np.ndarray]:
    """Return ``_inversions``, compiled once a process."""
    from numba import njit

    return njit(_inversions)


def _inversions(
    first: np.ndarray, second: np.ndarray, codes: np.ndarray, orders: np.ndarray
) -> np.ndarray:
    """Return of each order how many codes stand before a smaller one.

    Parameters
    ----------
    first, second : int arrays of shape (n_pairs,)
        Who makes up a pair, pairs in the order of the other distance.
    codes : int array of shape (n, n)
    orders : int array of shape (k, n)
    """
    n_codes = codes.max() + 1
    found = np.zeros(len(orders), np.int64)
    for number in range(len(orders)):
        order = orders[number]
        tree = np.zeros(n_codes + 1, np.int32)
        for place in range(len(first)):
            code = codes[order[first[place]], order[second[place]]] + 1
            n_larger, at = place, code
            while at > 0:
                n_larger -= tree[at]
                at -= at & -at
            found[number] += n_larger
            while code <= n_codes:
                tree[code] += 1
                code += code & -code
    return found
