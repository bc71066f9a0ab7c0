"""Windows of consecutive volumes: views of the series, copied a batch at a time."""

import warnings

import numpy as np
import torch
from torch import Tensor

from bidsclf.errors import InputError
from bidsclf.models._rows import Series


class Windows:
    """Every window of T consecutive volumes of every person, at every offset.

    A window is a slice of the shared volumes, which may be memory-mapped and
    read-only; only a batch is copied. What is kept for each window are two
    integers, its person and its first volume.

    Parameters
    ----------
    rows : Series
        N people of T_i volumes and R regions.
    length : int
        Volumes a window, T >= 1.

    Attributes
    ----------
    length : int
    views : float32 tensor of shape (n_all_volumes - T + 1, T, R)
        The volumes from each volume on, whoever they are of; shares memory with
        ``rows``, which may be read-only: never write to it.
    person : int array of shape (n_windows,), ascending
        Row of ``rows``; person i has ``T_i - T + 1`` windows.
    start, end : int arrays of shape (n_windows,)
        First volume of the window, and the end of the person's volumes.

    Raises
    ------
    InputError
        A person has fewer volumes than a window; the message counts them.
    """

    def __init__(self, rows: Series, length: int) -> None:
        if length < 1:
            raise InputError(f"a window of {length} volumes; it takes 1 or more.")
        self.length = length
        begin, end = rows.ends[rows.rows], rows.ends[rows.rows + 1]
        count = end - begin - length + 1
        _check(count, length)
        self.person = np.repeat(np.arange(len(rows)), count)
        first = np.cumsum(count) - count  # number of each person's first window
        offset = np.arange(len(self.person)) - first[self.person]
        self.start, self.end = begin[self.person] + offset, end[self.person]
        with warnings.catch_warnings():  # of torch, that the volumes are read-only
            warnings.simplefilter("ignore", UserWarning)
            self.volumes = torch.from_numpy(rows.volumes)
        self.views = self.volumes.unfold(0, length, 1).transpose(1, 2)

    def __len__(self) -> int:
        return len(self.person)

    def batch(self, which: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Copy B windows, and the volume after each where the person has one.

        Parameters
        ----------
        which : int array of shape (B,)

        Returns
        -------
        windows : float32 tensor of shape (B, T, R)
        after : float32 tensor of shape (B, R)
            Zero where there is none.
        has_after : bool tensor of shape (B,)
            False for the last window of each person.
        """
        after_at = self.start[which] + self.views.shape[1]
        has_after = torch.from_numpy(after_at < self.end[which])
        last = len(self.volumes) - 1
        after = self.volumes[torch.from_numpy(np.minimum(after_at, last))]
        windows = self.views.index_select(0, torch.from_numpy(self.start[which]))
        return windows, after * has_after[:, None], has_after


def _check(count: np.ndarray, length: int) -> None:
    is_short = count < 1
    if is_short.any():
        found = count[is_short] + length - 1
        raise InputError(
            f"{is_short.sum()} of {len(count)} scans have fewer volumes than a window"
            f" of {length} (the shortest has {found.min()}). Leave these people out"
            " with --include, or take a shorter window: --model-settings"
            " MODEL:window=VALUE."
        )
