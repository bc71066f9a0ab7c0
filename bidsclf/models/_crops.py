"""Samples of images: some volumes of each person, read a batch at a time."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bidsclf.errors import ConfigError, InputError
from bidsclf.models._volumes import Volumes

PICKS = ("even", "middle", "crops")
SPAN = 2**29  # bytes of images whose samples an epoch mixes; ours


class Crops(Dataset[Tensor]):
    """Some volumes of every person; only a batch is read.

    Parameters
    ----------
    volumes : Volumes
        N people of T_i volumes.
    n_steps : int
        Volumes a sample; 0 takes all that a person has.
    pick : {'even', 'middle', 'crops'}
        'even': evenly spaced over the run, the first and the last among them;
        'middle': those in the middle, one after another; 'crops': every
        ``n_steps`` volumes one after another, at a stride of half as many, are a
        sample, and the last sample ends with the run.

    Attributes
    ----------
    person : int array of shape (n_samples,), ascending
        Row of ``volumes``.
    start : int array of shape (n_samples,)
        First volume, where volumes follow one another.
    evaluated : float
        Times ``batch_size`` that a batch without gradient holds: images are large,
        and their first maps larger.

    Raises
    ------
    InputError
        A person has fewer than ``n_steps`` volumes; the message counts them.
    """

    evaluated = 0.25

    def __init__(self, volumes: Volumes, n_steps: int, pick: str = "even") -> None:
        if pick not in PICKS or n_steps < 0:
            raise ConfigError(
                f"pick is {pick!r} and n_steps {n_steps}; pick is one of"
                f" {', '.join(PICKS)}, and n_steps takes 0 or more."
            )
        self.volumes, self.n_steps, self.pick = volumes, n_steps, pick
        lengths = volumes.lengths[volumes.rows]
        _check(lengths, n_steps)
        spare = lengths - n_steps if n_steps else np.zeros(len(lengths), int)
        count = np.ones(len(lengths), int)
        stride = max(1, n_steps // 2)
        if pick == "crops":
            count = 1 + -(-spare // stride)
        self.person = np.repeat(np.arange(len(lengths)), count)
        offset = np.arange(len(self.person)) - (np.cumsum(count) - count)[self.person]
        spare = spare[self.person]
        crops = np.minimum(offset * stride, spare)
        self.start = crops if pick == "crops" else spare // 2
        self.length = (
            lengths[self.person] if not n_steps else np.full(len(self.person), n_steps)
        )

    def __len__(self) -> int:
        return len(self.person)

    def __getitem__(self, at: int) -> Tensor:
        return torch.from_numpy(self.volumes.read(self.person[at], self._of(at)))

    def batch(self, which: np.ndarray) -> tuple[Tensor, Tensor]:
        """Read B samples.

        Parameters
        ----------
        which : int array of shape (B,)

        Returns
        -------
        x : float32 tensor of shape (B, T, X, Y, Z)
            T of the longest; a shorter one has zeros at its end.
        lengths : int64 tensor of shape (B,)
        """
        lengths = self.length[which]
        x = torch.zeros(len(which), int(lengths.max()), *self.volumes.shape)
        filled = x.numpy()
        for place in np.argsort(self.person[which], kind="stable"):  # as on the disk
            at = which[place]
            filled[place, : lengths[place]] = self.volumes.read(
                self.person[at], self._of(at)
            )
        return x, torch.from_numpy(np.asarray(lengths, np.int64))

    def arranged(self, which: np.ndarray) -> np.ndarray:
        """Return the same samples in an order that reads each image about once.

        People come in the order in which they first occur in ``which``, as many
        together as ``SPAN`` bytes hold; their samples keep the order of ``which``
        among themselves. Where everyone has one sample nothing moves. It depends on
        rows and ``which`` alone, so that no result depends on memory or disk.
        """
        person = self.person[which]
        people, first, place = np.unique(person, return_index=True, return_inverse=True)
        if len(people) == len(which):
            return which
        coming = np.argsort(first)
        n_bytes = (
            4
            * self.volumes.lengths[self.volumes.rows[people[coming]]]
            * np.prod(self.volumes.shape)
        )
        group = np.empty(len(people), int)
        group[coming] = (np.cumsum(n_bytes) - n_bytes) // SPAN
        return which[np.argsort(group[place], kind="stable")]

    def _of(self, at: int) -> np.ndarray | slice:
        """Return which volumes a sample is made of."""
        if self.n_steps and self.pick == "even":
            last = self.volumes.lengths[self.volumes.rows[self.person[at]]] - 1
            return np.rint(np.linspace(0, last, self.n_steps)).astype(int)
        start = int(self.start[at])
        return slice(start, start + int(self.length[at]))


def _check(lengths: np.ndarray, n_steps: int) -> None:
    is_short = lengths < n_steps
    if is_short.any():
        raise InputError(
            f"{is_short.sum()} of {len(lengths)} scans have fewer than {n_steps}"
            f" volumes (the shortest has {lengths.min()}). Leave these people out with"
            " --include, or take fewer: --model-settings MODEL:n_steps=VALUE."
        )
