"""A 3D residual network on every volume, and a recurrent one over time."""

from functools import partial
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
    max_pool,
    recomputed,
    unfold,
    volume_variant,
)
from bidsclf.models._stem import AT_ONCE, LeanStem

DEPTHS = {"a": (1, 1, 1, 1), "b": (2, 2, 2, 2), "c": (3, 4, 6, 3), "d": (3, 4, 6, 3)}


class Basic(nn.Module):
    """Two convolutions, and a shortcut around them."""

    expansion = 1

    def __init__(self, n_inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = _conv(n_inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = _conv(width, width, 3, 1)
        self.bn2 = nn.BatchNorm3d(width)
        self.downsample = _shortcut(n_inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return (V, width, X', Y', Z')."""
        hidden = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(hidden))
        return F.relu(out.add_(self.downsample(x)), inplace=True)


class Bottleneck(nn.Module):
    """A narrow convolution between two that change the width, and a shortcut."""

    expansion = 4

    def __init__(self, n_inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = _conv(n_inputs, width, 1, 1)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = _conv(width, 4 * width, 1, 1)
        self.bn3 = nn.BatchNorm3d(4 * width)
        self.downsample = _shortcut(n_inputs, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return (V, 4 width, X', Y', Z')."""
        hidden = F.relu(self.bn1(self.conv1(x)), inplace=True)
        hidden = F.relu(self.bn2(self.conv2(hidden)), inplace=True)
        out = self.bn3(self.conv3(hidden))
        return F.relu(out.add_(self.downsample(x)), inplace=True)


class Stem(nn.Module):
    """The first convolution, and a pool: the largest maps of all."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = _conv(1, width, 3, 2)
        self.bn1 = nn.BatchNorm3d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (V, width, X / 4, Y / 4, Z / 4)."""
        if len(x) <= AT_ONCE:  # little memory in any case
            return self.plain(x)
        is_mixed = torch.is_autocast_enabled(x.device.type)
        if x.is_cuda or x.requires_grad or is_mixed or not self.bn1.training:
            return recomputed(self, x, self.plain)
        norm: Any = self.bn1
        out, mean, var = LeanStem.apply(
            x, self.conv1.weight, norm.weight, norm.bias, norm.eps
        )
        with torch.no_grad():
            norm.num_batches_tracked += 1
            norm.running_mean.lerp_(mean, norm.momentum)
            norm.running_var.lerp_(var, norm.momentum)
        return out

    def plain(self, x: Tensor) -> Tensor:
        """Return the same, with the layers as they are."""
        hidden = self.conv1(x)
        if x.is_cuda:  # the layout that its kernels like; a CPU does not care
            hidden = hidden.contiguous(memory_format=torch.channels_last_3d)
        return max_pool(F.relu(self.bn1(hidden), inplace=True))


class ResNet3D(nn.Module):
    """A 3D residual network that turns a volume into ``n_outputs`` numbers.

    Its parameters, at width 16: a .897, b 2.073, c 3.969, d 2.894 million. Counted
    are the convolutions, which have no bias, and the weights and biases of the batch
    norms, those of the shortcuts included. At width 64 they are Hara's ResNet-10, 18,
    34 and 50, without his last layer, with a first kernel of 3 instead of 7.

    Parameters
    ----------
    depth : {'a', 'b', 'c', 'd'}
    width : int
        Channels of the first stage; the next ones double them.
    """

    def __init__(self, depth: str, width: int):
        super().__init__()
        block = Bottleneck if depth == "d" else Basic
        self.stem = Stem(width)
        n_inputs = width
        for stage, n_blocks in enumerate(DEPTHS[depth]):
            blocks = nn.Sequential()
            for place in range(n_blocks):
                stride = 2 if stage and not place else 1
                blocks.append(block(n_inputs, width * 2**stage, stride))
                n_inputs = width * 2**stage * block.expansion
            self.add_module(f"layer{stage + 1}", blocks)
        self.n_outputs = n_inputs
        self.run = recomputed if block is Bottleneck else _called  # d is wide

    def forward(self, volumes: Tensor) -> Tensor:
        """Return features of volumes, (V, 1, X, Y, Z) -> (V, n_outputs)."""
        hidden = self.stem(volumes)
        for stage in range(1, 5):
            for block in self.get_submodule(f"layer{stage}").children():
                hidden = self.run(block, hidden)
        return hidden.mean(dim=(2, 3, 4))


class ResNetBRNN(VolumeNetwork):
    """The same residual network on each volume, read in both directions of time.

    Time is folded into the batch, which is what Keras' TimeDistributed means.

    Parameters
    ----------
    depth : {'a', 'b', 'c', 'd'}
    cell : {'lstm', 'gru'}
    n_z : int
        Of the grid; the network takes any.
    width, n_hidden : int
        Channels of the first stage, and nodes of the recurrent layer each way.
    **sampled
        Of ``VolumeNetwork``.

    References
    ----------
    "A 3D-ResNet combined with BRNN: application in the auxiliary diagnosis of ADHD";
    Hara, Kataoka & Satoh (2018), CVPR, doi:10.1109/CVPR.2018.00685, for the sizes.
    The first gives four depths and no layers: those of A to D, the 64 nodes and the
    dropout are ours. It keeps the weights of five epochs before the end, which are
    those of its best loss: so do we. Departure: classes weigh the same.
    """

    def __init__(
        self,
        depth: str,
        cell: str,
        n_z: int,
        *,
        width: int = 16,
        n_hidden: int = 64,
        **sampled: Any,
    ) -> None:
        super().__init__(**sampled)
        check_counts(1, width=width, n_hidden=n_hidden)
        self.cnn = ResNet3D(depth, width)
        self.brnn = Recurrence(cell, self.cnn.n_outputs, n_hidden, is_both_ways=True)
        self.dense = nn.Linear(self.brnn.n_outputs, 1)

    def embed(self, batch: Batch) -> Tensor:
        """Return the last states of both directions, of shape (B, 2 n_hidden)."""
        x, lengths = batch
        features = self.cnn(fold(x, lengths).unsqueeze(1))  # (V, F)
        return self.brnn(unfold(features, lengths), lengths)


def _called(block: nn.Module, x: Tensor) -> Tensor:
    result: Tensor = block(x)
    return result


def _conv(n_inputs: int, n_outputs: int, size: int, stride: int) -> nn.Conv3d:
    return nn.Conv3d(n_inputs, n_outputs, size, stride, padding=size // 2, bias=False)


def _shortcut(n_inputs: int, n_outputs: int, stride: int) -> nn.Module:
    """Return a projection where the shape changes (Hara's type B), else nothing."""
    if stride == 1 and n_inputs == n_outputs:
        return nn.Identity()
    return nn.Sequential(
        _conv(n_inputs, n_outputs, 1, stride), nn.BatchNorm3d(n_outputs)
    )


VARIANTS = {
    f"resnet3d-{depth}-bi{cell}": volume_variant(
        partial(ResNetBRNN, depth, cell), width=16, n_hidden=64
    )
    for depth in DEPTHS
    for cell in ("lstm", "gru")
}
