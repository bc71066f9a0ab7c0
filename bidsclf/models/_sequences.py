"""Series of many people as arrays over time, padded, for walks over all at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

ROOM = 2**21  # numbers of an array of one walk; ours

FEW = 16  # volumes summed before double precision takes over; ours


@dataclass(frozen=True, slots=True, eq=False)
class Sequences:
    """Series of P people in R regions, the longest first, zeros at the end.

    Attributes
    ----------
    powers : tensor of shape (T, R, 3, P)
        1, x and x squared; 0 after the end of a series. Its type is that of the
        walks over time: float32 takes half the time of float64.
    reach : list of int, of length T
        How many people have each volume; these come first.
    is_alive : bool tensor of shape (R, P)
        False where a series is constant: it is not learned from.
    """

    powers: Tensor
    reach: list[int]
    is_alive: Tensor

    @classmethod
    def of(cls, series: Sequence[np.ndarray]) -> "Sequences":
        """Pad a list of (T, R) arrays whose lengths do not increase."""
        lengths = np.array([len(one) for one in series])
        longest, n_regions = lengths[0], series[0].shape[1]
        joined = np.zeros((len(series), longest, n_regions), series[0].dtype)
        for person, one in enumerate(series):
            joined[person, : len(one)] = one
        powers = torch.empty(longest, n_regions, 3, len(series), dtype=torch.float64)
        filled = powers.numpy()  # torch's memory starts where its kernels like it
        filled[:, :, 0] = (np.arange(longest)[:, None] < lengths)[:, None]
        filled[:, :, 1] = joined.transpose(1, 2, 0)
        np.square(filled[:, :, 1], out=filled[:, :, 2])
        is_alive = np.stack([~is_constant(one) for one in series], axis=1)
        return cls(powers, _reach(lengths), torch.tensor(is_alive))

    def single(self) -> "Sequences":
        """Return a copy in float32."""
        return Sequences(self.powers.float(), self.reach, self.is_alive)

    def people(self, rows: np.ndarray) -> "Sequences":
        """Return a copy with some people only, in ascending order."""
        lengths = self.lengths().numpy()[rows]
        which = torch.from_numpy(rows)
        powers = self.powers[: lengths[0]].index_select(3, which)
        return Sequences(powers, _reach(lengths), self.is_alive[:, which])

    def regions(self, which: Tensor | slice) -> "Sequences":
        """Return some regions only; a slice is a view."""
        return Sequences(self.powers[:, which], self.reach, self.is_alive[which])

    def parts(self, n_states: int) -> Iterator[slice]:
        """Return regions to be walked over together."""
        n_volumes, n_regions, _, n_people = self.powers.shape
        size = max(1, ROOM // (n_states * n_volumes * n_people))
        return (slice(at, at + size) for at in range(0, n_regions, size))

    def room(self, n_states: int) -> Tensor:
        """Return two arrays that hold any of these parts, to be used again."""
        part = next(iter(self.parts(n_states)))
        size = self.powers[:, part, 0].numel() * n_states
        return torch.empty(2, size, dtype=self.powers.dtype)

    def lengths(self) -> Tensor:
        """Return the number of volumes of each person, int64 of shape (P,)."""
        return self.powers[:, 0, 0].sum(dim=0).long()

    def moments(self) -> Tensor:
        """Return the number of volumes, the sum and that of squares: (R, 3)."""
        few = [part.sum(dim=0).double() for part in self.powers.split(FEW)]
        sums = torch.stack(few).sum(dim=0)  # (R, 3, P)
        return torch.einsum("rkp,rp->rk", sums, self.is_alive.double())


def is_constant(series: np.ndarray) -> np.ndarray:
    """Return which columns of a (T, R) array hold one value only."""
    return np.asarray((series == series[:1]).all(axis=0))


def _reach(lengths: np.ndarray) -> list[int]:
    """Return how many series have each volume.

    Examples
    --------
    >>> _reach(np.array([3, 2, 2]))
    [3, 3, 1]
    """
    return [int((lengths > volume).sum()) for volume in range(lengths[0])]
