"""The network of the contrastive autoencoder: two encoders, a decoder, and its loss."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bidsclf.errors import ConfigError
from bidsclf.models._blocks import check_counts
from bidsclf.models._codec import Decoder, Encoder, Layers, Normal
from bidsclf.models._correlation import DISCRIMINATORS, Correlation
from bidsclf.models._independence import dependence, discrepancy
from bidsclf.models._pairs import MIXED, PAIRINGS, Batch, Maps, is_first
from bidsclf.models._training import Losses
from bidsclf.models._volumes import Volumes

MATCHED = "matched"
CORRELATIONS = (MATCHED, *DISCRIMINATORS)
APART = ("correlation", "dependence", "discrepancy")  # the terms that gamma weighs
N_CELLS = 64**3  # the source's factor of its mean squared error, at any size (ours)
SITES = 2  # place in a batch
NEAR = 1e-3  # from 0 and 1, where the log odds of the mean map end; ours
SURE = -4.0  # log-variance that latents start with; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How the terms of the loss are weighed.

    Attributes
    ----------
    beta, gamma : float
        Of the divergence, and of what keeps salient and background latents apart; a
        gamma of 0 leaves that out.
    correlation : {'matched', 'published', 'adversarial'}
        'matched' (ours): what salient latents of patients share with their background
        (``dependence``), and how far the background of patients differs from that of
        controls (``discrepancy``), of the means in units of how sure they are, so that
        nothing hides on a small scale; and, where sites are known, what salient latents
        share with these. The others are the total correlation that a
        discriminator finds: see ``Correlation``. It is 0 wherever a factor goes whole
        into either part, so that it lets what patients alone have be background; the
        second term of 'matched' does not.
    controls_first : float
        Share of the epochs, in [0, 1), in which controls alone are learned from (ours):
        what all people share is then in the background before salient latents begin.
    """

    beta: float = 1.0
    gamma: float = 200.0
    correlation: str = MATCHED
    controls_first: float = 0.5

    def __post_init__(self) -> None:
        for name in ("beta", "gamma"):
            if not getattr(self, name) >= 0:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it takes 0 or more."
                )
        if not 0 <= self.controls_first < 1:
            raise ConfigError(
                f"controls_first is {self.controls_first}; it lies in [0, 1)."
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
        in which the mean map is learned (measured on simulated maps). And the log odds
        that the salient latents stand for are added to those of the background: a
        decoder of both lets one background mean one thing in patients and another in
        controls, and what patients alone have be hidden there.
    n_first : int64 scalar tensor
        Steps that are left in which controls alone are learned from.
    """

    scale: Tensor
    centre: Tensor
    spread: Tensor
    n_first: Tensor
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
            if terms.gamma and terms.correlation != MATCHED:
                self.correlation = Correlation(n_all, terms.correlation)
        is_added = self.is_small and n_salient > 0
        self.decoder = Decoder(size, layers, n_background if is_added else n_all)
        self.added = Decoder(size, layers, n_salient) if is_added else None
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
        self.register_buffer("n_first", torch.zeros((), dtype=torch.int64))
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
        parts = latents[:, : self.n_background], latents[:, self.n_background :]
        everyone = torch.ones(len(latents), dtype=torch.bool, device=latents.device)
        return self._again(*parts, everyone) * self.scale

    def forward(self, batch: Batch) -> Tensor:
        """Return logits of shape (B, 2): 0, and what the linear head says."""
        standard = (self.embed(batch).double() - self.head_mean) / self.head_scale
        odds = standard @ self.head_weights + self.head_intercept
        return torch.stack([torch.zeros_like(odds), odds], dim=1)

    def loss(self, batch: Batch, y: Tensor, weight: Tensor) -> Losses:
        """Return the loss; patients and controls are each a mean of their own.

        In training the first ``n_first`` calls look at controls alone. A class that is
        not in the batch adds nothing; ``weight`` is not read.
        """
        if self.training and bool(self.n_first):
            self.n_first -= 1
            batch, y = tuple(one[y == 0] for one in batch), y[y == 0]
        x, is_patient = batch[0] / self.scale, y == 1
        seen = self._seen(batch)
        of_all = self.background(seen)
        background = of_all.draw(is_training=self.training)
        parts = {"divergence": _sum_of_means(of_all.divergence(), is_patient)}
        salient = background.new_zeros(int(is_patient.sum()), self.n_salient)
        if self.n_salient:  # of nobody slopes are 0: Adam's steps after are larger
            of_patients = self.salient(seen[is_patient])
            salient = of_patients.draw(is_training=self.training)
            more = of_patients.divergence().sum() / max(len(salient), 1)
            parts["divergence"] = parts["divergence"] + more
            if self.terms.gamma:
                parts |= (
                    self._matched(of_patients, of_all, is_patient, batch)
                    if self.terms.correlation == MATCHED
                    else self._told(salient, background[is_patient])
                )
        again = self._again(background, salient, is_patient)
        wrong = N_CELLS * (again - x).square().flatten(1).mean(dim=1)
        parts["reconstruction"] = _sum_of_means(wrong, is_patient)
        weights = {"divergence": self.terms.beta}
        weights |= dict.fromkeys(APART, self.terms.gamma)
        each = [weights.get(name, 1.0) * one for name, one in parts.items()]
        return Losses(torch.stack(each).sum(), None, parts)

    def _matched(
        self, of_patients: Normal, of_all: Normal, is_patient: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """Return what keeps salient latents of patients and the background apart.

        Parameters
        ----------
        of_patients, of_all : Normal
            Salient latents of patients, and background latents of everyone.
        is_patient : bool tensor of shape (B,)
        batch : Batch
            Who is in it twice would go together with themselves: they count once.
            Where it tells sites, salient latents are held apart from these too: what
            tells some sites from the others could else be salient, and what tells the
            rest be background, without a trace in the dependence of the two.
        """
        once = is_first(batch)
        salient = of_patients.standard()[once[is_patient]]
        background = of_all.standard()
        own, others = background[is_patient & once], background[~is_patient & once]
        found = dependence(salient, own)
        if len(batch) > SITES:
            code = batch[SITES][is_patient & once]
            found = found + dependence(
                salient, (code[:, None] == code.unique()).float()
            )
        return {"dependence": found, "discrepancy": discrepancy(own, others)}

    def _told(self, salient: Tensor, background: Tensor) -> dict[str, Tensor]:
        """Return what a discriminator says of latents of patients."""
        found, told = self.correlation(salient, background)
        return {"correlation": found, "discriminator": told}

    def start(self, largest: float, mean: Tensor, spread: float, n_first: int) -> None:
        """Take the training maps' largest value, mean map and SD, in their unit.

        And the steps in which controls alone are learned from.
        """
        self.scale.fill_(largest)
        self.n_first.fill_(n_first if self.n_salient else 0)
        if self.is_small:
            self.centre.copy_(mean / largest)
            self.spread.fill_(spread / largest)

    def _seen(self, batch: Batch) -> Tensor:
        return (batch[0] / self.scale - self.centre) / self.spread

    def _again(self, background: Tensor, salient: Tensor, which: Tensor) -> Tensor:
        """Return maps in (0, 1); ``salient`` is of those rows that have any."""
        if self.added is None:
            every = background.new_zeros(len(background), self.n_salient)
            every = every.index_put((which,), salient)
            made = self.decoder(torch.cat([background, every], dim=1))
        else:
            made = self.decoder(background)
            nothing = salient.new_zeros(1, self.n_salient)
            more = self.added(torch.cat([salient, nothing]))
            more = more[:-1] - more[-1:]
            made = made + torch.zeros_like(made).index_put((which,), more)
        if self.is_small:
            made = made + torch.logit(self.centre, eps=NEAR)
        return torch.sigmoid(made)


def _sum_of_means(values: Tensor, is_patient: Tensor) -> Tensor:
    """Return the mean of patients plus that of controls; of nobody it is 0."""
    shares = is_patient.float(), (~is_patient).float()
    means = [(values * one).sum() / one.sum().clamp(min=1) for one in shares]
    return means[0] + means[1]
