"""Regions that never vary in training, and how a network is kept from them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bidsclf.models._rows import Series
from bidsclf.models._training import Samples


def dead_regions(x: Any) -> np.ndarray:
    """Return the regions that are constant in every row of ``x``, in order.

    Nothing can be learned of them, so that what a network says of one that does
    vary in a new person is chance. Only series have regions.

    Examples
    --------
    >>> one, two = np.eye(3)[:, :2], np.eye(3)[:2]
    >>> dead_regions(Series.of([one])), dead_regions(Series.of([two]))
    (array([], dtype=int64), array([2]))
    """
    if not isinstance(x, Series):
        return np.empty(0, int)
    dead = np.arange(x.volumes.shape[1])
    for row in x:
        if not len(dead):
            break
        dead = dead[np.ptp(row[:, dead], axis=0) == 0]
    return dead


class Muted:
    """Samples in which some regions are 0.

    Parameters
    ----------
    samples : Samples
    dead : int array
        Regions, of ``width``.
    width : int
        Tensors of floats whose last axis has as many entries hold regions there.
    """

    def __init__(self, samples: Samples, dead: np.ndarray, width: int) -> None:
        self.inner, self.person = samples, samples.person
        self.length: int | None = getattr(samples, "length", None)
        self.alive = torch.ones(width)
        self.alive[torch.from_numpy(dead)] = 0

    def __len__(self) -> int:
        return len(self.inner)

    def batch(self, which: np.ndarray) -> tuple[Any, ...]:
        """Return samples as tensors, or lists, on the CPU."""
        return tuple(self._muted(one) for one in self.inner.batch(which))

    def _muted(self, one: Any) -> Any:
        is_regions = (
            isinstance(one, Tensor)
            and one.is_floating_point()
            and one.shape[-1:] == self.alive.shape
        )
        return one * self.alive if is_regions else one
