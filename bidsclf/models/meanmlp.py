"""The same small network on every volume, averaged over time."""

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bidsclf.errors import ConfigError
from bidsclf.models._base import Variant
from bidsclf.models._classifier import TorchClassifier
from bidsclf.models._rows import Series
from bidsclf.models._training import Losses, Training, choices_of, settings_of

Batch = tuple[Tensor, list[int]]
TRAINING = Training(learning_rate=3e-3)


class ByteDropout(nn.Module):
    """Dropout whose mask takes a random byte a cell: eight cells a draw.

    torch's own draws one number a cell, which was 40 % of the training time.
    The share dropped is ``share`` rounded to a 256th.

    Parameters
    ----------
    share : float
        In [0, 1).
    """

    def __init__(self, share: float):
        super().__init__()
        self.limit = round(256 * share)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with cells dropped and the rest scaled up, in training only."""
        if not self.training:
            return x
        n_words = -(-x.numel() // 8)
        words = torch.empty(n_words, dtype=torch.int64, device=x.device)
        drawn = words.random_(-(2**63), None).view(torch.uint8)[: x.numel()]
        kept = drawn.view(x.shape) >= self.limit
        return x * kept * (256 / (256 - self.limit))


class Scans:
    """Whole series of people, one sample each.

    Attributes
    ----------
    person : int array of shape (n_people,)
    """

    def __init__(self, rows: Series) -> None:
        self.rows, self.person = rows, np.arange(len(rows))

    def __len__(self) -> int:
        return len(self.person)

    def batch(self, which: np.ndarray) -> Batch:
        """Join the volumes of B people: (all volumes, R) and B lengths."""
        series = list(self.rows[which])
        return torch.from_numpy(np.concatenate(series)), [len(one) for one in series]


class MeanMLP(nn.Module):
    """Linear, layer norm, ReLU and dropout on each volume; mean; linear.

    The order of volumes says nothing to it, and scans may differ in length.

    Parameters
    ----------
    n_regions : int
    n_hidden : int
    dropout : float

    References
    ----------
    Popov et al. (2024), NeuroImage 303, 120909, doi:10.1016/j.neuroimage.2024.120909;
    code: github.com/neuroneural/meanMLP (width 160, dropout 0.49, no further block).
    Departures: the mean is taken before the last layer, which commutes with it;
    AdamW, classes weigh the same, early stopping on our validation part.
    """

    def __init__(self, n_regions: int, *, n_hidden: int = 160, dropout: float = 0.49):
        super().__init__()
        if n_hidden < 1:
            raise ConfigError(f"n_hidden is {n_hidden}; it takes 1 or more.")
        if not 0 <= dropout < 1:
            raise ConfigError(
                f"dropout is {dropout}; it takes at least 0 and less than 1."
            )
        self.body = nn.Sequential(
            nn.Linear(n_regions, n_hidden),
            nn.LayerNorm(n_hidden),
            nn.ReLU(),
            ByteDropout(dropout),
        )
        self.head = nn.Linear(n_hidden, 2)

    @staticmethod
    def samples(rows: Series) -> "Scans":
        """Return a sample a person."""
        return Scans(rows)

    def forward(self, batch: Batch) -> Tensor:
        """Return logits of shape (B, 2)."""
        volumes, lengths = batch
        hidden = self.body(volumes)  # (all volumes, H)
        means = [person.mean(dim=0) for person in hidden.split(lengths)]
        return self.head(torch.stack(means))  # (B, 2)

    def loss(self, batch: Batch, y: Tensor, weight: Tensor) -> Losses:
        """Return the mean cross-entropy of people, weighted by class."""
        logits = self(batch)
        each = F.cross_entropy(logits, y, reduction="none")
        return Losses((weight * each).mean(), logits, {})


VARIANTS = {
    "meanmlp": Variant(
        input="timeseries",
        prepare=Series.of,
        make=partial(TorchClassifier, MeanMLP, TRAINING),
        needs_valid=True,
        settings=settings_of(TRAINING, n_hidden=160, dropout=0.49),
        choices=choices_of(),
        explained=("gradient",),
    )
}
