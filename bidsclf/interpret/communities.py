"""Functional communities: who is in them, what they decide, whether they hold.

A community is a unit of the first LSTM of lstm-h and lstm-dg; its weights on
the regions are the generating layer's. Dvornek et al. (2019), sections 2.2 and
3.2, doi:10.1007/978-3-030-32692-0_44, and their comparison, a decomposition of
the tensor of correlations.

Communities are numbered from 1, in the order of the columns.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from bidsclf.errors import InputError
from bidsclf.interpret import _parafac

RANK = 50  # communities of the comparison, as many as the LSTM has units; the paper
WINDOW = 30  # volumes, as the networks read; the paper
FLAT = 1e-9  # spread, as a share of the largest weight, that counts as none; ours


def two_means(values: np.ndarray) -> np.ndarray:
    """Return who is in the cluster of larger values, of the best two clusters.

    K-means with two clusters in one dimension: the best clusters are a cut of
    the sorted values, and every cut is tried, so that no start matters.

    Parameters
    ----------
    values : float array of shape (n,)

    Returns
    -------
    is_upper : bool array of shape (n,)
        All False where the values have no spread, or one is not finite.

    Examples
    --------
    >>> two_means(np.array([0.1, 5.0, 0.2, 4.0]))
    array([False,  True, False,  True])
    """
    values = np.asarray(values, np.float64)
    if not _varies(values[:, None])[0]:
        return np.zeros(len(values), bool)
    centred = values - values.mean()
    low = np.sort(centred)
    below = np.cumsum(low)[:-1]  # sum under each cut; the sum above is its negative
    n_below = np.arange(1, len(low))
    between = below**2 * (1 / n_below + 1 / (len(low) - n_below))
    return centred > low[int(np.argmax(between))]  # never between equal values


def members(membership: np.ndarray) -> np.ndarray:
    """Return the members of every community, bool of shape (R, K)."""
    membership = _checked(membership)
    return np.stack([two_means(column) for column in membership.T], axis=1)


def influence(input_weights: np.ndarray) -> np.ndarray:
    """Return how much the classifying LSTM takes from each community.

    Parameters
    ----------
    input_weights : float array of shape (4 H, K)
        Input weights of the second LSTM, all four gates one below the other.

    Returns
    -------
    influence : float64 array of shape (K,)
        Sum of the absolute weights over all units and gates.
    """
    return np.abs(np.asarray(input_weights, np.float64)).sum(axis=0)


def community_table(
    membership: np.ndarray, regions: Sequence[str], *, model: str, fold: int
) -> pd.DataFrame:
    """Return a row a community and region.

    Parameters
    ----------
    membership : float array of shape (R, K)
        Weight of each region in each community.
    regions : sequence of str
    model : str
    fold : int
        0 is the final model.

    Returns
    -------
    table : DataFrame
        model, fold, community, region, weight, member (0 or 1).

    Raises
    ------
    InputError
        There are not as many names as regions.
    """
    weights = _checked(membership)
    n_regions, n_communities = weights.shape
    _check_names(regions, n_regions)
    return pd.DataFrame(
        {
            "model": model,
            "fold": fold,
            "community": np.repeat(np.arange(1, n_communities + 1), n_regions),
            "region": list(regions) * n_communities,
            "weight": weights.T.ravel(),
            "member": members(weights).T.ravel().astype(int),
        }
    )


def influence_table(
    membership: np.ndarray, input_weights: np.ndarray, *, model: str, fold: int
) -> pd.DataFrame:
    """Return a row a community: model, fold, community, influence, rank, n_members.

    Rank 1 has the most influence; of equals the first.
    """
    sizes, strength = members(membership).sum(axis=0), influence(input_weights)
    if len(sizes) != len(strength):
        raise InputError(
            f"{len(sizes)} communities, but the classifying LSTM reads"
            f" {len(strength)}. Give the weights of one and the same model."
        )
    order = np.argsort(-strength, kind="stable")
    return pd.DataFrame(
        {
            "model": model,
            "fold": fold,
            "community": np.arange(1, len(sizes) + 1),
            "influence": strength,
            "rank": np.argsort(order) + 1,
            "n_members": sizes,
        }
    )


def overlap_table(
    membership: np.ndarray, networks: Sequence[str | None], *, model: str, fold: int
) -> pd.DataFrame:
    """Return a row a community and network.

    Parameters
    ----------
    membership : float array of shape (R, K)
    networks : sequence of str or None
        The network of each region; None or NaN where it is not known. Such a
        region counts among the members, and in no network.

    Returns
    -------
    table : DataFrame
        model, fold, community, network, share (of the members that lie in the
        network; NaN without members), dice (of members and the network's
        regions); networks in alphabetical order.
    """
    is_member = members(membership)
    _check_names(networks, len(is_member))
    labels = np.array([None if pd.isna(name) else name for name in networks], object)
    rows = []
    for community, inside in enumerate(is_member.T, start=1):
        for network in sorted({name for name in labels if name is not None}):
            there = labels == network
            common, size = int((inside & there).sum()), int(inside.sum())
            share = common / size if size else np.nan
            rows.append((community, network, share, 2 * common / (size + there.sum())))
    table = pd.DataFrame(rows, columns=["community", "network", "share", "dice"])
    table.insert(0, "model", model)
    table.insert(1, "fold", fold)
    return table


def robustness_table(
    method: str, memberships: Mapping[int, np.ndarray]
) -> pd.DataFrame:
    """Return how well the communities of the first fold are found in the others.

    For each community of the first fold, the best correlation of weights and
    the best Dice of members over all communities of fold f; then the mean over
    all communities of the first fold. Both are maximized by themselves, as the
    paper does: the best partner by one need not be the best by the other.

    Parameters
    ----------
    method : str
    memberships : mapping of fold -> float array of shape (R, K)
        The number of communities may differ between folds.

    Returns
    -------
    table : DataFrame
        method, fold, correlation, dice, mean_size (members of the communities
        that have any), n_compared, n_skipped. Communities of the first fold
        whose weights have no spread are compared with none and count as 0 in
        both means (ours: a unit that died is not found again); those of fold f
        partner none. The first fold is compared with none: its correlation is NaN.
    """
    folds = sorted(memberships)
    rows = []
    for fold in folds:
        sizes = members(memberships[fold]).sum(axis=0)
        alike = _alike(memberships[folds[0]], memberships[fold])
        kept = _varies(_checked(memberships[folds[0]]))
        if fold == folds[0]:
            alike = (np.nan, np.nan)
        mean_size = sizes[sizes > 0].mean() if sizes.any() else np.nan
        rows.append((method, fold, *alike, mean_size, kept.sum(), (~kept).sum()))
    names = "method fold correlation dice mean_size n_compared n_skipped"
    return pd.DataFrame(rows, columns=names.split())


def tensor_communities(
    series: Iterable[np.ndarray],
    *,
    rank: int = RANK,
    window: int = WINDOW,
    stride: int | None = None,
    seed: int = 0,
) -> _parafac.Factors:
    """Return the communities of a non-negative PARAFAC of correlations.

    Parameters
    ----------
    series : iterable of float arrays of shape (T, R)
        Of training people only. Those shorter than a window say nothing.
    rank : int
        Communities.
    window : int
        Volumes in a window.
    stride : int or None
        From one window to the next. None is ``window``, so that none overlap: a
        departure from the paper, which takes every window, for the cost, which
        is in proportion to the number of windows.
    seed : int

    Returns
    -------
    factors : Factors
        ``regions`` (R, rank) are the membership weights.

    Raises
    ------
    InputError
        No series is as long as a window.
    """
    windows = _parafac.windows(series, length=window, stride=stride)
    return _parafac.decompose(windows, rank, seed=seed)


def _alike(first: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the mean best correlation and the mean best Dice."""
    one, two = _checked(first), _checked(other)
    if len(one) != len(two):
        raise InputError(
            f"memberships of {len(one)} and {len(two)} regions; folds are compared"
            " over the same regions. Give folds of one analysis."
        )
    kept, partners = _varies(one), _varies(two)
    if not kept.any() or not partners.any():
        return 0.0, 0.0
    r = _unit(one[:, kept]).T @ _unit(two[:, partners])
    a, b = members(one)[:, kept].astype(int), members(two)[:, partners].astype(int)
    dice = 2 * (a.T @ b) / np.add.outer(a.sum(axis=0), b.sum(axis=0))
    best = r.max(axis=1).sum(), dice.max(axis=1).sum()
    return float(best[0] / len(kept)), float(best[1] / len(kept))


def _unit(columns: np.ndarray) -> np.ndarray:
    centred = columns - columns.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=0)


def _varies(columns: np.ndarray) -> np.ndarray:
    """Return which columns are finite and not constant: bool of shape (K,)."""
    with np.errstate(invalid="ignore"):
        spread = columns.max(axis=0) - columns.min(axis=0)
        return spread > FLAT * np.abs(columns).max(axis=0)


def _checked(membership: np.ndarray) -> np.ndarray:
    weights = np.asarray(membership, np.float64)
    if weights.ndim != 2 or not weights.size:
        raise InputError(
            f"membership weights of shape {weights.shape}; expected (regions,"
            " communities), as the generating layer of lstm-h or lstm-dg holds them."
        )
    return weights


def _check_names(names: Sequence[str | None], n_regions: int) -> None:
    if len(names) != n_regions:
        raise InputError(
            f"{len(names)} names for {n_regions} regions of the membership weights."
            " Give the regions of the model's own bundle."
        )
