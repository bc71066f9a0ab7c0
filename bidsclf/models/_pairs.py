"""Maps of people, one a row, and batches of as many patients as controls."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bidsclf.errors import InputError
from bidsclf.models._volumes import Volumes

MIXED, SAME_SITE = "mixed", "same-site"
PAIRINGS = (MIXED, SAME_SITE)
Batch = tuple[Tensor, ...]  # maps; in training also whose they are and of which site


class Maps:
    """The map of every row; only a batch is read.

    Parameters
    ----------
    volumes : Volumes
        n rows of one map each.
    size : int
        Of the maps, along each axis.

    Attributes
    ----------
    person : int array of shape (n,)
    evaluated : float
        Times ``batch_size`` that a batch without gradient holds.

    Raises
    ------
    InputError
        Rows hold several maps, or maps of another shape.
    """

    evaluated = 1.0

    def __init__(self, volumes: Volumes, size: int) -> None:
        lengths = volumes.lengths[volumes.rows]
        if volumes.shape != (size,) * 3 or (lengths != 1).any():
            raise InputError(
                f"maps of shape {volumes.shape}, {lengths.min()} to {lengths.max()} a"
                f" row; expected one of {(size,) * 3} a row. Run the participant level"
                " again with the --gm-size that the model was fitted with."
            )
        self.volumes, self.person = volumes, np.arange(len(volumes))

    def __len__(self) -> int:
        return len(self.volumes)

    def batch(self, which: np.ndarray) -> Batch:
        """Read the maps of B rows, a float32 tensor of shape (B, N, N, N)."""
        x = torch.empty(len(which), *self.volumes.shape)
        filled = x.numpy()
        for place in np.argsort(which, kind="stable"):  # as on the disk
            filled[place] = self.volumes.read(which[place], slice(None))[0]
        return (x,)


class Paired(Maps):
    """Maps that are drawn as pairs of a patient and a control.

    Parameters
    ----------
    volumes, size
        As of ``Maps``.
    n_pairs : int
        Of a batch, at most.
    sites : array of shape (n,) or None
        Where it is given, a batch is of one site; rows of sites that lack a class,
        or that are not known (NaN), are taken together.
    told : array of shape (n,) or None
        Sites that batches tell of, whether they are of one or not.
    """

    def __init__(
        self,
        volumes: Volumes,
        size: int,
        n_pairs: int,
        sites: np.ndarray | None = None,
        *,
        told: np.ndarray | None = None,
    ) -> None:
        super().__init__(volumes, size)
        self.n_pairs, self.sites = n_pairs, sites
        names = np.zeros(len(self), str) if told is None else told.astype(str)
        self.codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
        _, first, at = np.unique(
            volumes.digests(), return_index=True, return_inverse=True
        )
        self.same = first[at].astype(np.int64)

    def batch(self, which: np.ndarray) -> Batch:
        """Read the maps of B rows, and tell whose and of which site: int64 (B,).

        Whose is the first row of the same numbers: copies of a map, as a bootstrap
        draws them, are one person wherever they stand.
        """
        told = (torch.from_numpy(one[which]) for one in (self.same, self.codes))
        return (*super().batch(which), *told)

    def drawn(self, y: np.ndarray) -> list[np.ndarray]:
        """Return the rows of each batch of an epoch, in random order.

        Everyone of the larger class, at each site, is drawn once; the smaller class
        is gone through again and again, each time in another order. Batches of one
        site differ by a pair at most.

        Parameters
        ----------
        y : int array of shape (n,), 0 or 1
            Holds both.
        """
        batches = [batch for group in self._groups(y) for batch in self._of(group, y)]
        return [batches[at] for at in torch.randperm(len(batches)).tolist()]

    def n_batches(self, y: np.ndarray) -> int:
        """Return how many batches an epoch has."""
        largest = (np.bincount(y[group]).max() for group in self._groups(y))
        return sum(-(-int(n) // self.n_pairs) for n in largest)

    def _groups(self, y: np.ndarray) -> list[np.ndarray]:
        """Return the rows that batches are made of, site by site or together."""
        if self.sites is None:
            return [np.arange(len(y))]
        alone = is_alone(self.sites, y)
        names, place = np.unique(self.sites[~alone].astype(str), return_inverse=True)
        rows = np.flatnonzero(~alone)
        groups = [rows[place == at] for at in range(len(names))]
        return [*groups, np.flatnonzero(alone)] if alone.any() else groups

    def _of(self, group: np.ndarray, y: np.ndarray) -> Iterator[np.ndarray]:
        """Return batches of a group; a class that it lacks comes from everyone."""
        classes = [group[y[group] == label] for label in (1, 0)]
        n = max(map(len, classes))
        pools = [
            one if len(one) else np.flatnonzero(y == label)
            for one, label in zip(classes, (1, 0), strict=True)
        ]
        n_batches = -(-n // self.n_pairs)
        sides = [np.array_split(_cycled(one, n), n_batches) for one in pools]
        return (np.concatenate(pair) for pair in zip(*sides, strict=True))


def is_first(batch: Batch) -> Tensor:
    """Tell whose map is not in the batch before, bool of shape (B,).

    Examples
    --------
    >>> is_first((torch.zeros(4, 2, 2, 2), torch.tensor([5, 3, 5, 5])))
    tensor([ True,  True, False, False])
    """
    maps, *rows = batch
    if not rows:
        return torch.ones(len(maps), dtype=torch.bool, device=maps.device)
    is_same = rows[0][:, None] == rows[0][None]
    return ~is_same.tril(diagonal=-1).any(dim=1)


def is_alone(sites: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tell whose site lacks a class among these rows, or is not known.

    Examples
    --------
    >>> is_alone(np.array(["A", "A", "B", np.nan], object), np.array([0, 1, 1, 0]))
    array([False, False,  True,  True])
    """
    is_known = ~pd.isna(sites)
    both = {label: set(sites[is_known & (y == label)].astype(str)) for label in (0, 1)}
    whole = both[0] & both[1]
    found: np.ndarray = ~(is_known & np.isin(sites.astype(str), list(whole)))
    return found


def _cycled(rows: np.ndarray, n: int) -> np.ndarray:
    """Return n rows: all of them in random order, then again in another."""
    rounds = [
        rows[torch.randperm(len(rows)).numpy()] for _ in range(-(-n // len(rows)))
    ]
    return np.concatenate(rounds)[:n]
