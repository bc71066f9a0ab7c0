"""Encoders of maps, and a decoder: the source's, and small ones for a CPU."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bidsclf.errors import ConfigError
from bidsclf.models._blocks import check_counts

LEFT = 4  # cells along each axis where the small encoder stops halving; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """How large encoders and decoder are.

    Attributes
    ----------
    width : int
        Channels of the first convolution; the source has 64.
    pool : int
        Cells along each axis that the mean leaves after convolutions down to ``LEFT``
        cells; 1 is the global mean. 0 is the source's: two convolutions, no mean.
    n_hidden : int
        Nodes of the dense layers.
    """

    width: int = 16
    pool: int = 4
    n_hidden: int = 128

    def __post_init__(self) -> None:
        check_counts(1, width=self.width, n_hidden=self.n_hidden)
        check_counts(0, pool=self.pool)
        if self.pool > LEFT:
            raise ConfigError(
                f"pool is {self.pool}; the convolutions leave {LEFT} cells along each"
                f" axis at most, so that it takes 0 to {LEFT}."
            )

    def n_halvings(self, size: int) -> int:
        """Return the number of convolutions of stride 2 of maps of this size."""
        n = 2
        while self.pool and -(-size // 2**n) > LEFT:
            n += 1
        return n

    def n_cells(self, size: int) -> int:
        """Return the cells along each axis that they leave."""
        return -(-size // 2 ** self.n_halvings(size))


class Normal(NamedTuple):
    """A normal distribution a person: mean and log-variance, (B, d)."""

    mean: Tensor
    log_variance: Tensor

    def draw(self, *, is_training: bool) -> Tensor:
        """Return a draw in training, the mean else."""
        if not is_training:
            return self.mean
        noise = torch.randn_like(self.mean)
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def standard(self) -> Tensor:
        """Return means in units of each axis' SD, the mean over people.

        An axis thus counts by how much it tells, whatever its scale; no gradient goes
        through the units.
        """
        return self.mean / (0.5 * self.log_variance).exp().mean(dim=0).detach()

    def divergence(self) -> Tensor:
        """Return the KL divergence from a standard normal, of shape (B,)."""
        one = 1 + self.log_variance - self.mean**2 - self.log_variance.exp()
        return -0.5 * one.sum(dim=1)


class Encoder(nn.Module):
    """What is known of the latents of maps: (B, N, N, N) -> two of (B, n_latent)."""

    def __init__(self, size: int, layers: Layers, n_latent: int) -> None:
        super().__init__()
        width, n_cells = layers.width, layers.n_cells(size)
        widths = [1, width] + [2 * width] * (layers.n_halvings(size) - 1)
        self.convolutions = nn.ModuleList(
            nn.Conv3d(before, after, 3, stride=2, padding=1)
            for before, after in pairwise(widths)
        )
        self.n_cells = min(layers.pool or n_cells, n_cells)
        n_cells = self.n_cells
        self.dense = nn.Linear(2 * width * n_cells**3, layers.n_hidden)
        self.mean = nn.Linear(layers.n_hidden, n_latent)
        self.log_variance = nn.Linear(layers.n_hidden, n_latent)

    def forward(self, x: Tensor) -> Normal:
        """Return a distribution a person, float32."""
        x = x.unsqueeze(-1).movedim(-1, 1)  # channels last, which a CPU is faster with
        for layer in self.convolutions:
            x = F.relu(layer(x), inplace=True)
        hidden = F.relu(self.dense(_pooled(x, self.n_cells).flatten(1)))
        return Normal(self.mean(hidden).float(), self.log_variance(hidden).float())


class Decoder(nn.Module):
    """Maps of latents: (B, n_latent) -> (B, N, N, N), before a sigmoid.

    The small one ends with a convolution of half the size whose 8 channels are the 8
    cells of each (Shi et al. 2016, arXiv:1609.05158): at the full size the source's
    last two take most of a CPU's time. Where the size is no multiple of what the
    doublings give, the far ends are cut off.
    """

    def __init__(self, size: int, layers: Layers, n_latent: int) -> None:
        super().__init__()
        n, before = layers.n_halvings(size), 2 * layers.width
        self.size, self.n_cells = size, layers.n_cells(size)
        self.hidden = nn.Linear(n_latent, layers.n_hidden)
        self.dense = nn.Linear(layers.n_hidden, before * self.n_cells**3)
        half, quarter = max(1, layers.width // 2), max(1, layers.width // 4)
        after = [before] * (n - 2) + ([half] if layers.pool else [half, quarter])
        self.convolutions = nn.ModuleList(
            nn.ConvTranspose3d(one, other, 3, stride=2, padding=1, output_padding=1)
            for one, other in zip([before, *after[:-1]], after, strict=True)
        )
        self.last = nn.Conv3d(after[-1], 8 if layers.pool else 1, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        """Return maps, float32."""
        x = F.relu(self.dense(F.relu(self.hidden(latent))))
        x = x.unflatten(1, (*[self.n_cells] * 3, -1)).movedim(-1, 1)
        for layer in self.convolutions:
            x = F.relu(layer(x), inplace=True)
        x = self.last(x)
        if x.shape[1] == 8:
            x = _interleaved(x)
        n = self.size
        return x[:, 0, :n, :n, :n].float()


def _pooled(x: Tensor, n: int) -> Tensor:
    """Return the means of n parts of each axis: (B, C, m, m, m) -> (B, C, n, n, n).

    As adaptive pooling, whose gradient on a GPU is not the same each time.
    """
    m = x.shape[-1]
    if m == n:
        return x
    parts = [slice(at * m // n, -(-(at + 1) * m // n)) for at in range(n)]
    for _ in range(3):  # the last axis each time, which then comes first
        x = torch.stack([x[..., part].mean(dim=-1) for part in parts], dim=2)
    return x


def _interleaved(x: Tensor) -> Tensor:
    """Return 8 channels as the 8 cells of each: (B, 8, n, n, n) -> (B, 1, 2n, …)."""
    n = 2 * x.shape[-1]
    cells = x.unflatten(1, (2, 2, 2)).permute(0, 4, 1, 5, 2, 6, 3)
    return cells.reshape(len(x), 1, n, n, n)
