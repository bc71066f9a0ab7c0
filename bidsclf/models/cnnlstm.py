"""A 2D network on every slice of every volume, and an LSTM over time."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bidsclf.models._blocks import (
    Batch,
    Recurrence,
    VolumeNetwork,
    check_counts,
    fold,
    recomputed,
    unfold,
    volume_variant,
)

PIECE = 2**25  # numbers of the largest maps of slices read at once; ours


class Slices(nn.Module):
    """Three convolutions of slices, each with batch norm and ReLU, and their mean.

    Parameters
    ----------
    width : int
        Channels of the first; the next ones double them.
    stride : int
        Of the second and the third.
    """

    def __init__(self, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 5, stride, padding=2, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 5, stride, padding=2, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.n_outputs, self.momentum = 4 * width, self.bn1.momentum

    def forward(self, slices: Tensor) -> Tensor:
        """Return features of slices, (S, 1, X, Y) -> (S, 4 width)."""
        hidden = F.relu(self.bn1(self.conv1(slices)), inplace=True)
        hidden = F.relu(self.bn2(self.conv2(hidden)), inplace=True)
        hidden = F.relu(self.bn3(self.conv3(hidden)), inplace=True)
        return hidden.mean(dim=(2, 3))

    def weigh(self, n_pieces: int) -> None:
        """Let n pieces of a batch count as one in running means and variances."""
        share = 1 - (1 - (self.momentum or 0)) ** (1 / n_pieces)
        for norm in (self.bn1, self.bn2, self.bn3):
            norm.momentum = share


class CNNLSTM(VolumeNetwork):
    """Slices of each volume, the mean over them, and an LSTM over the whole scan.

    Every voxel is z-scored over the volumes of its sample first. Slices go through
    the network in pieces, which are computed again for the gradient, so that memory
    does not grow with the length of a scan. In training a batch norm sees a piece
    (``PIECE`` numbers of the widest maps), whose volumes are spread over the batch.

    Parameters
    ----------
    n_z : int
        Of the grid; the network takes any.
    width, stride : int
        Of ``Slices``. Less width, or a stride of 2, is for a CPU.
    n_hidden : int
        Nodes of the LSTM, the length of an embedding.
    **sampled
        Of ``VolumeNetwork``.

    References
    ----------
    The project "abide-fmri-harmonization-classifier": slices, their mean, an LSTM,
    ComBat behind it. It gives no sizes: these are METHODS' and ours. Departures: batch
    norms see pieces of a batch (Hoffer et al. 2017, arXiv:1705.08741); scans differ in
    length and are read to their own end; ComBat learns from embeddings of people whom
    the network has not seen: those of people that it was fitted to do not transfer.
    """

    def __init__(
        self,
        n_z: int,
        *,
        width: int = 32,
        stride: int = 1,
        n_hidden: int = 64,
        **sampled: Any,
    ) -> None:
        super().__init__(**sampled)
        check_counts(1, width=width, stride=stride, n_hidden=n_hidden)
        self.slices = Slices(width, stride)
        self.lstm = Recurrence("lstm", 4 * width, n_hidden, is_both_ways=False)
        self.dense = nn.Linear(n_hidden, 1)

    def embed(self, batch: Batch) -> Tensor:
        """Return the state after the last volume, of shape (B, n_hidden)."""
        x, lengths = batch
        volumes = fold(standardized(x, lengths), lengths)  # (V, X, Y, Z)
        steps = unfold(self._features(volumes), lengths)  # (B, T, F)
        return self.lstm(steps, lengths)

    def _features(self, volumes: Tensor) -> Tensor:
        """Return the mean over slices of what is said of each: (V, F)."""
        n_volumes, n_x, n_y, n_z = volumes.shape
        size = max(1, PIECE // (self.slices.n_outputs * n_x * n_y * n_z))
        n_pieces = -(-n_volumes // size)
        self.slices.weigh(n_pieces)
        means = []
        for piece in range(n_pieces):  # every n-th volume, of all people
            some = volumes[piece::n_pieces].permute(0, 3, 1, 2)  # (v, Z, X, Y)
            each = recomputed(self.slices, some.flatten(0, 1).unsqueeze(1))
            means.append(each.unflatten(0, (-1, n_z)).mean(dim=1))
        place = torch.cat(
            [torch.arange(p, n_volumes, n_pieces) for p in range(n_pieces)]
        )
        return torch.cat(means)[place.argsort().to(volumes.device)]


def standardized(x: Tensor, lengths: Tensor) -> Tensor:
    """Return each voxel with mean 0 and SD 1 over the volumes of its sample.

    Parameters
    ----------
    x : tensor of shape (B, T, X, Y, Z)
    lengths : int64 tensor of shape (B,)
        Volumes that count; the others are 0 afterwards.

    Returns
    -------
    x : tensor of the same shape
        A voxel that does not vary is 0: its SD, by rounding, is below 1e-5 of its
        largest value.
    """
    n = lengths.to(x.device).view(-1, 1, 1, 1, 1)
    counts = torch.arange(x.shape[1], device=x.device).view(1, -1, 1, 1, 1) < n
    mean = (x * counts).sum(dim=1, keepdim=True) / n
    centred = (x - mean) * counts
    variance = centred.square().sum(dim=1, keepdim=True) / n
    largest = (x * counts).abs().amax(dim=1, keepdim=True)
    is_flat = variance <= (1e-5 * largest).square()
    # filled before the root, whose slope at 0 is infinite: gradients stay finite
    return centred / variance.masked_fill(is_flat, torch.inf).sqrt()


VARIANTS = {
    "cnnlstm": volume_variant(CNNLSTM, n_steps=0, width=32, stride=1, n_hidden=64)
}
