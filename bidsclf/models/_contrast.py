"""The network of the contrastive autoencoder: two encoders, a decoder, and its loss."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bidsclf.errors import ConfigError
from bidsclf.models._blocks import check_counts
from bidsclf.models._correlation import CORRELATIONS, PUBLISHED, Correlation
from bidsclf.models._pairs import MIXED, PAIRINGS, Batch, Maps
from bidsclf.models._training import Losses
from bidsclf.models._volumes import Volumes

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

    def n_halvings(self, size: int) -> int:
        """Return the number of convolutions of stride 2 of maps of this size."""
        n = 2
        while self.pool and -(-size // 2**n) > LEFT:
            n += 1
        return n

    def n_cells(self, size: int) -> int:
        """Return the cells along each axis that they leave."""
        return -(-size // 2 ** self.n_halvings(size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How the terms of the loss are weighed.

    Attributes
    ----------
    beta, gamma : float
        Of the divergence and of the total correlation; a gamma of 0 leaves the
        discriminator out.
    correlation : {'published', 'adversarial'}
        See ``Correlation``.
    """

    beta: float = 1.0
    gamma: float = 100.0
    correlation: str = PUBLISHED

    def __post_init__(self) -> None:
        for name in ("beta", "gamma"):
            if not getattr(self, name) >= 0:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it takes 0 or more."
                )
        if self.correlation not in CORRELATIONS:
            raise ConfigError(
                f"correlation is {self.correlation!r}; it is"
                f" {' or '.join(CORRELATIONS)}."
            )


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
        if 0 < layers.pool < n_cells:
            n_cells = layers.pool
        self.pool = nn.AdaptiveAvgPool3d(n_cells) if layers.pool else nn.Identity()
        self.dense = nn.Linear(2 * width * n_cells**3, layers.n_hidden)
        self.mean = nn.Linear(layers.n_hidden, n_latent)
        self.log_variance = nn.Linear(layers.n_hidden, n_latent)

    def forward(self, x: Tensor) -> Normal:
        """Return a distribution a person, float32."""
        x = x.unsqueeze(-1).movedim(-1, 1)  # channels last, which a CPU is faster with
        for layer in self.convolutions:
            x = F.relu(layer(x), inplace=True)
        hidden = F.relu(self.dense(self.pool(x).flatten(1)))
        return Normal(self.mean(hidden).float(), self.log_variance(hidden).float())


class Decoder(nn.Module):
    """Maps of latents: (B, n_latent) -> (B, N, N, N), in (0, 1).

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
        return torch.sigmoid(x[:, 0, :n, :n, :n].float())


class Contrast(nn.Module):
    """Salient latents, which patients alone have, and background ones of everyone.

    Parameters
    ----------
    size : int
        Of the maps, along each axis.
    layers : Layers
    terms : Terms
    n_background, n_salient : int
        Latents. Without salient ones it is a plain variational autoencoder.
    batches : {'mixed', 'same-site'}
        See ``Paired``.

    Attributes
    ----------
    scale : scalar tensor
        What maps are divided by, from the training rows.
    """

    scale: Tensor
    head_mean: Tensor
    head_scale: Tensor
    head_weights: Tensor
    head_intercept: Tensor

    def __init__(
        self,
        size: int,
        layers: Layers,
        terms: Terms,
        *,
        n_background: int,
        n_salient: int,
        batches: str = MIXED,
    ) -> None:
        super().__init__()
        check_counts(1, n_background=n_background)
        check_counts(0, n_salient=n_salient)
        if batches not in PAIRINGS:
            raise ConfigError(f"batches is {batches!r}; it is {' or '.join(PAIRINGS)}.")
        self.size, self.terms, self.batches = size, terms, batches
        self.n_background, self.n_salient = n_background, n_salient
        n_all = n_background + n_salient
        self.background = Encoder(size, layers, n_background)
        if n_salient:
            self.salient = Encoder(size, layers, n_salient)
            if terms.gamma:
                self.correlation = Correlation(n_all, terms.correlation)
        self.decoder = Decoder(size, layers, n_all)
        for one in self.parameters():  # as the source's library begins
            start = nn.init.xavier_uniform_ if one.ndim > 1 else nn.init.zeros_
            start(one)
        self.register_buffer("scale", torch.ones(()))
        n, wide = n_salient or n_background, torch.float64
        for name, shape in (
            ("mean", n),
            ("scale", n),
            ("weights", n),
            ("intercept", 1),
        ):
            self.register_buffer(f"head_{name}", torch.zeros(shape, dtype=wide))

    def samples(self, rows: Volumes) -> Maps:
        """Return the maps of rows."""
        return Maps(rows, self.size)

    def embed(self, batch: Batch) -> Tensor:
        """Return means of the salient latents, or of all where there are none."""
        x = batch[0] / self.scale
        encoder = self.salient if self.n_salient else self.background
        return encoder(x).mean

    def latents(self, batch: Batch) -> Tensor:
        """Return means of the background latents, then of the salient ones."""
        means = [self.background(batch[0] / self.scale).mean]
        if self.n_salient:
            means.append(self.embed(batch))
        return torch.cat(means, dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        """Return maps in the unit of the input; ``latents`` as above."""
        return self.decoder(latents) * self.scale

    def forward(self, batch: Batch) -> Tensor:
        """Return logits of shape (B, 2): 0, and what the linear head says."""
        standard = (self.embed(batch).double() - self.head_mean) / self.head_scale
        odds = standard @ self.head_weights + self.head_intercept
        return torch.stack([torch.zeros_like(odds), odds], dim=1)

    def loss(self, batch: Batch, y: Tensor, weight: Tensor) -> Losses:
        """Return the loss; patients and controls are each a mean of their own.

        A class that is not in the batch adds nothing; ``weight`` is not read.
        """
        x, is_patient = batch[0] / self.scale, y == 1
        of_all = self.background(x)
        background = of_all.draw(is_training=self.training)
        divergence = _sum_of_means(of_all.divergence(), is_patient)
        salient = background.new_zeros(len(x), self.n_salient)
        parts = {}
        if self.n_salient and is_patient.any():
            of_patients = self.salient(x[is_patient])
            drawn = of_patients.draw(is_training=self.training)
            salient = salient.index_put((is_patient,), drawn)
            divergence = divergence + of_patients.divergence().mean()
        again = self.decoder(torch.cat([background, salient], dim=1))
        wrong = (again - x).square().flatten(1).sum(dim=1)
        parts = {
            "reconstruction": _sum_of_means(wrong, is_patient),
            "divergence": divergence,
        }
        total = parts["reconstruction"] + self.terms.beta * divergence
        if self.n_salient and self.terms.gamma:
            found, told = self.correlation(salient[is_patient], background[is_patient])
            parts |= {"correlation": found, "discriminator": told}
            total = total + self.terms.gamma * found + told
        return Losses(total, None, parts)


def _sum_of_means(values: Tensor, is_patient: Tensor) -> Tensor:
    """Return the mean of patients plus that of controls; of nobody it is 0."""
    shares = is_patient.float(), (~is_patient).float()
    means = [(values * one).sum() / one.sum().clamp(min=1) for one in shares]
    return means[0] + means[1]


def _interleaved(x: Tensor) -> Tensor:
    """Return 8 channels as the 8 cells of each: (B, 8, n, n, n) -> (B, 1, 2n, …)."""
    n = 2 * x.shape[-1]
    cells = x.unflatten(1, (2, 2, 2)).permute(0, 4, 1, 5, 2, 6, 3)
    return cells.reshape(len(x), 1, n, n, n)
