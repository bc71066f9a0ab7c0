"""A 4D convolution in two factors: over space, then over time."""

from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from bidsclf.models._blocks import (
    Batch,
    Convolution,
    VolumeNetwork,
    check_counts,
    fold,
    recomputed,
    unfold,
    volume_variant,
)

N_STAGES = 3


class Time(nn.Module):
    """3 volumes of each voxel, with zeros before the first and after the last."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, (3, 1), padding=(1, 0), bias=False)
        self.bn = nn.BatchNorm3d(width)

    def forward(self, volumes: Tensor, lengths: Tensor) -> Tensor:
        """Return the same shape, (V, width, X, Y, Z)."""
        steps = unfold(volumes.flatten(2), lengths)  # (B, T, C, XYZ)
        mixed = self.conv(steps.transpose(1, 2)).transpose(1, 2)
        own = fold(mixed, lengths).unflatten(2, volumes.shape[2:])
        return F.relu(self.bn(own), inplace=True)


class CNN4D(VolumeNetwork):
    """Stages of a convolution over space and one over time; the mean of all.

    Parameters
    ----------
    n_z : int
        Of the grid; the network takes any.
    width : int
        Channels of the first stage; the next ones double them.
    **sampled
        Of ``VolumeNetwork``.

    References
    ----------
    Mao et al. (2019), Information Sciences 499, 1-11, doi:10.1016/j.ins.2019.05.043,
    whose samples are pieces of a scan, as ``pick=crops`` makes them. Departures: a
    convolution over space and time at once is the product of two, with a ReLU between;
    layers are ours.
    """

    def __init__(self, n_z: int, *, width: int = 16, **sampled: Any):
        super().__init__(**sampled)
        check_counts(1, width=width)
        widths = [1, *(width * 2**stage for stage in range(N_STAGES))]
        self.space = nn.ModuleList(
            Convolution(before, after) for before, after in pairwise(widths)
        )
        self.time = nn.ModuleList(Time(after) for after in widths[1:])
        self.dense = nn.Linear(widths[-1], 1)

    def embed(self, batch: Batch) -> Tensor:
        """Return the mean over space and time, of shape (B, 4 width)."""
        x, lengths = batch
        hidden = fold(x, lengths).unsqueeze(1)  # (V, 1, X, Y, Z)
        for space, time in zip(self.space, self.time, strict=True):
            hidden = time(recomputed(space, hidden), lengths)
        steps = unfold(hidden.mean(dim=(2, 3, 4)), lengths)  # (B, T, F)
        return steps.sum(dim=1) / lengths.to(steps.device)[:, None]


VARIANTS = {"cnn4d": volume_variant(CNN4D, width=16)}
