"""The network of the contrastive autoencoder: two encoders, a decoder, and its loss."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bidsclf.errors import ConfigError
from bidsclf.models._blocks import check_counts
from bidsclf.models._codec import Decoder, Encoder, Layers
from bidsclf.models._correlation import CORRELATIONS, PUBLISHED, Correlation
from bidsclf.models._pairs import MIXED, PAIRINGS, Batch, Maps
from bidsclf.models._training import Losses
from bidsclf.models._volumes import Volumes

N_CELLS = 64**3  # the source's factor of its mean squared error, at any size (ours)
NEAR = 1e-3  # from 0 and 1, where the log odds of the mean map end; ours
SURE = -4.0  # log-variance that latents start with; ours


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
    centre, spread : tensors
        Of the small one (``pool`` above 0; ours): scaled training maps' mean, which the
        decoder starts from, and SD; encoders see maps without them. Its latents start
        with an SD of exp(``SURE`` / 2). Without all this latents die in the many steps
        in which the mean map is learned (measured on simulated maps).
    """

    scale: Tensor
    centre: Tensor
    spread: Tensor
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
        self.is_small, n_all = layers.pool > 0, n_background + n_salient
        self.background = Encoder(size, layers, n_background)
        if n_salient:
            self.salient = Encoder(size, layers, n_salient)
            if terms.gamma:
                self.correlation = Correlation(n_all, terms.correlation)
        self.decoder = Decoder(size, layers, n_all)
        for one in self.parameters():  # as the source's library begins
            start = nn.init.xavier_uniform_ if one.ndim > 1 else nn.init.zeros_
            start(one)
        for encoder in self.encoders() if self.is_small else ():
            nn.init.constant_(encoder.log_variance.bias, SURE)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer(
            "centre", torch.zeros((size,) * 3 if self.is_small else ())
        )
        self.register_buffer("spread", torch.ones(()))
        n, wide = n_salient or n_background, torch.float64
        for name, shape in (
            ("mean", n),
            ("scale", n),
            ("weights", n),
            ("intercept", 1),
        ):
            self.register_buffer(f"head_{name}", torch.zeros(shape, dtype=wide))

    def encoders(self) -> list[Encoder]:
        """Return the encoder of the background, and of salient latents if any."""
        return [self.background, *([self.salient] if self.n_salient else [])]

    def samples(self, rows: Volumes) -> Maps:
        """Return the maps of rows."""
        return Maps(rows, self.size)

    def embed(self, batch: Batch) -> Tensor:
        """Return means of the salient latents, or of all where there are none."""
        encoder = self.salient if self.n_salient else self.background
        return encoder(self._seen(batch)).mean

    def latents(self, batch: Batch) -> Tensor:
        """Return means of the background latents, then of the salient ones."""
        means = [self.background(self._seen(batch)).mean]
        if self.n_salient:
            means.append(self.embed(batch))
        return torch.cat(means, dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        """Return maps in the unit of the input; ``latents`` as above."""
        return self._again(latents) * self.scale

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
        seen = self._seen(batch)
        of_all = self.background(seen)
        background = of_all.draw(is_training=self.training)
        divergence = _sum_of_means(of_all.divergence(), is_patient)
        salient = background.new_zeros(len(x), self.n_salient)
        if self.n_salient and is_patient.any():
            of_patients = self.salient(seen[is_patient])
            drawn = of_patients.draw(is_training=self.training)
            salient = salient.index_put((is_patient,), drawn)
            divergence = divergence + of_patients.divergence().mean()
        again = self._again(torch.cat([background, salient], dim=1))
        wrong = N_CELLS * (again - x).square().flatten(1).mean(dim=1)
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

    def start(self, largest: float, mean: Tensor, spread: float) -> None:
        """Take the training maps' largest value, mean map and SD, in their unit."""
        self.scale.fill_(largest)
        if self.is_small:
            self.centre.copy_(mean / largest)
            self.spread.fill_(spread / largest)

    def _seen(self, batch: Batch) -> Tensor:
        return (batch[0] / self.scale - self.centre) / self.spread

    def _again(self, latents: Tensor) -> Tensor:
        """Return maps in (0, 1)."""
        made = self.decoder(latents)
        if self.is_small:
            made = made + torch.logit(self.centre, eps=NEAR)
        return torch.sigmoid(made)


def _sum_of_means(values: Tensor, is_patient: Tensor) -> Tensor:
    """Return the mean of patients plus that of controls; of nobody it is 0."""
    shares = is_patient.float(), (~is_patient).float()
    means = [(values * one).sum() / one.sum().clamp(min=1) for one in shares]
    return means[0] + means[1]
