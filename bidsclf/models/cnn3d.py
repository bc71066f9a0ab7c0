"""Plain 3D convolutions: on the mean image, or on every volume and then a GRU."""

from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from bidsclf.models._blocks import (
    Batch,
    Convolution,
    Recurrence,
    VolumeNetwork,
    check_counts,
    fold,
    recomputed,
    unfold,
    volume_variant,
)

N_STAGES = 3


class CNN3D(nn.Module):
    """Three stages and the mean over the image: (V, 1, X, Y, Z) -> (V, 4 width)."""

    def __init__(self, width: int):
        super().__init__()
        widths = [1, *(width * 2**stage for stage in range(N_STAGES))]
        for number, (before, after) in enumerate(pairwise(widths), 1):
            self.add_module(f"stage{number}", Convolution(before, after))
        self.n_outputs = widths[-1]

    def forward(self, volumes: Tensor) -> Tensor:
        """Return features of volumes."""
        hidden = volumes
        for stage in self.children():
            hidden = recomputed(stage, hidden)
        return hidden.mean(dim=(2, 3, 4))


class MeanCNN(VolumeNetwork):
    """A 3D network on the mean over time: the order of volumes says nothing to it.

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
    Zou et al. (2017), IEEE Access 5, 23626-23636. Departures: it reads the mean
    image, the source maps of several measures and grey matter; layers are ours.
    """

    def __init__(self, n_z: int, *, width: int = 16, **sampled: Any):
        super().__init__(**sampled)
        check_counts(1, width=width)
        self.cnn = CNN3D(width)
        self.dense = nn.Linear(self.cnn.n_outputs, 1)

    def embed(self, batch: Batch) -> Tensor:
        """Return the features of the mean image, of shape (B, 4 width)."""
        x, lengths = batch
        own = unfold(fold(x, lengths), lengths)  # zeros after the end
        mean = own.sum(dim=1) / lengths.to(x.device)[:, None, None, None]
        return self.cnn(mean.unsqueeze(1))


class GRUCNN(VolumeNetwork):
    """A 3D network on each volume, with time in the batch, and a GRU over time.

    Parameters
    ----------
    n_z : int
        Of the grid; the network takes any.
    width, n_hidden : int
        Channels of the first stage, and nodes of the GRU.
    **sampled
        Of ``VolumeNetwork``.

    References
    ----------
    Niu et al., as "3D-CNN + GRU" in the table of the paper that ``resnet3d`` names,
    which does not describe it: layers are ours.
    """

    def __init__(
        self, n_z: int, *, width: int = 16, n_hidden: int = 64, **sampled: Any
    ) -> None:
        super().__init__(**sampled)
        check_counts(1, width=width, n_hidden=n_hidden)
        self.cnn = CNN3D(width)
        self.gru = Recurrence("gru", self.cnn.n_outputs, n_hidden, is_both_ways=False)
        self.dense = nn.Linear(n_hidden, 1)

    def embed(self, batch: Batch) -> Tensor:
        """Return the state after the last volume, of shape (B, n_hidden)."""
        x, lengths = batch
        features = self.cnn(fold(x, lengths).unsqueeze(1))  # (V, F)
        return self.gru(unfold(features, lengths), lengths)


VARIANTS = {
    "cnn3d": volume_variant(MeanCNN, sees_order=False, width=16),
    "cnn3d-gru": volume_variant(GRUCNN, width=16, n_hidden=64),
}
