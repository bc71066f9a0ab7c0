"""Stacked LSTMs over whole scans, padded to one length."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bidsclf.errors import ConfigError
from bidsclf.models._base import Variant
from bidsclf.models._classifier import TorchClassifier
from bidsclf.models._rows import Series
from bidsclf.models._training import Losses, Training, choices_of, settings_of

Batch = tuple[Tensor, Tensor]
POOLS = ("last", "mean")
UNITS: dict[str, tuple[int, ...]] = {  # empty: by the halving rule
    "rsnlstm": (),
    "rsnlstm-notebook": (70, 60, 50, 40),
}
TRAINING = Training(n_epochs=30, weight_decay=0.0)
OWN: dict[str, Any] = {
    "mask": True,
    "pool": "last",
    "dropout": 0.4,
    "recurrent_dropout": 0.15,
}


def halved(n_regions: int) -> tuple[int, ...]:
    """Return the nodes of three layers: as many as regions, then half each time.

    Examples
    --------
    >>> halved(70)
    (70, 35, 18)
    """
    second = (n_regions + 1) // 2
    return n_regions, second, (second + 1) // 2


class Padded:
    """A sample a person: the whole scan, with zeros after its end.

    Parameters
    ----------
    rows : Series
    n_volumes : int
        Length to which every scan that is shorter is brought; longer ones stay.

    Attributes
    ----------
    person : int array of shape (n,)
    """

    def __init__(self, rows: Series, n_volumes: int):
        self.rows, self.n_volumes = rows, n_volumes
        self.person = np.arange(len(rows))

    def __len__(self) -> int:
        """Return how many people there are."""
        return len(self.rows)

    def batch(self, which: np.ndarray) -> Batch:
        """Return scans (B, T, R) and the volumes of each that count, int64 (B,)."""
        scans = [torch.from_numpy(np.array(one)) for one in self.rows[which]]
        counts = torch.tensor([max(len(one), self.n_volumes) for one in scans])
        padded = nn.utils.rnn.pad_sequence(scans, batch_first=True)
        return F.pad(padded, (0, 0, 0, int(counts.max()) - padded.shape[1])), counts


class DroppedLSTM(nn.LSTM):
    """A layer that drops inputs, and weights from state to state.

    Inputs are dropped by region for a whole scan, as Keras does. Recurrent weights
    are dropped for a whole batch (Merity et al. 2018, arXiv:1708.02182), which
    leaves the fused kernel in use; weights start as Keras' do, with one bias.

    Parameters
    ----------
    n_inputs, n_nodes : int
    shares : (float, float)
        Dropped of the inputs and of the recurrent weights, in [0, 1).
    """

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, n_inputs: int, n_nodes: int, shares: tuple[float, float]):
        super().__init__(n_inputs, n_nodes, batch_first=True)
        self.shares = shares

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights; forget gates start open, and the second bias stays 0."""
        nn.init.xavier_uniform_(self.weight_ih_l0)
        nn.init.orthogonal_(self.weight_hh_l0)
        nn.init.zeros_(self.bias_ih_l0)
        nn.init.zeros_(self.bias_hh_l0).requires_grad_(False)
        self.bias_ih_l0[self.hidden_size : 2 * self.hidden_size] = 1  # i, f, c, o

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return the states after every volume, of shape (B, T, H)."""
        inputs, recurrent = self.shares
        kept = F.dropout(torch.ones_like(x[:, :1]), inputs, self.training)
        weights = [
            self.weight_ih_l0,
            F.dropout(self.weight_hh_l0, recurrent, self.training),
            self.bias_ih_l0,
            self.bias_hh_l0,
        ]
        if x.is_cuda:
            weights = _in_one_piece(weights)
        start = x.new_zeros(1, len(x), self.hidden_size)
        states: Tensor = torch.lstm(
            x * kept, (start, start), weights, True, 1, 0.0, self.training, False, True
        )[0]
        return states


def _in_one_piece(tensors: list[Tensor]) -> list[Tensor]:
    """Return copies that lie end to end, as cuDNN wants its weights."""
    pieces = torch.cat([one.flatten() for one in tensors])
    parts = pieces.split([one.numel() for one in tensors])
    return [part.view(one.shape) for part, one in zip(parts, tensors, strict=True)]


class RSNLSTM(nn.Module):
    """Stacked LSTMs over a whole scan, then one dense node.

    Reading the state after the last volume is the source's choice; on ABIDE such
    networks sit near chance (AUC .51-.57, where the mean over time has .68; Popov
    et al. 2024, doi:10.1016/j.neuroimage.2024.120909): ``pool=mean`` is offered.

    Parameters
    ----------
    n_regions : int
    units : tuple of int
        Nodes of each layer; empty for the halving rule, 70, 35, 18 of 70 regions.
    mask : bool
        Whether zeros after the end of a scan are left out, so that padding means
        nothing. The source reads through them, as False does.
    pool : {'last', 'mean'}
        Of the states of the volumes that count.
    dropout, recurrent_dropout : float
        Shares of inputs and of recurrent weights that each layer drops.

    References
    ----------
    Karni (2019), Classifying ADHD from Healthy Controls using LSTMs with rs-fMRI
    Data, a tutorial; its text has the halving rule, its notebook 70, 60, 50, 40.
    Departures: recurrent weights are dropped, not states; classes weigh the same;
    early stopping. Not taken over: its notebook trains one model through all
    rounds, so that people are tested who were learned from; it resamples without
    replacement, and draws the ROC from hard labels with controls as positive.
    """

    n_volumes: Tensor

    def __init__(
        self,
        n_regions: int,
        *,
        units: tuple[int, ...] = (),
        mask: bool = True,
        pool: str = "last",
        dropout: float = 0.4,
        recurrent_dropout: float = 0.15,
    ):
        super().__init__()
        self.mask, self.pool = mask, pool
        shares = (dropout, recurrent_dropout)
        units = units or halved(n_regions)
        _check(units, pool, shares)
        inputs = (n_regions, *units[:-1])
        self.layers = nn.Sequential(
            *(DroppedLSTM(*sizes, shares) for sizes in zip(inputs, units, strict=True))
        )
        self.dense = nn.Linear(units[-1], 1)
        self.register_buffer("n_volumes", torch.zeros(1, dtype=torch.int64))

    def samples(self, rows: Series) -> Padded:
        """Return the scan of each person, padded where padding counts."""
        return Padded(rows, 0 if self.mask else int(self.n_volumes))

    def forward(self, batch: Batch) -> Tensor:
        """Return logits of shape (B, 2): 0, and the log odds of class 1."""
        scans, counts = batch
        states = self.layers(scans)  # (B, T, H)
        if self.pool == "mean":
            volume = torch.arange(states.shape[1], device=states.device)
            kept = (volume < counts[:, None])[..., None]  # (B, T, 1)
            pooled = (states * kept).sum(dim=1) / counts[:, None]  # (B, H)
        else:
            pooled = states[torch.arange(len(states)), counts - 1]  # (B, H)
        odds = self.dense(pooled)  # (B, 1)
        return torch.cat([torch.zeros_like(odds), odds], dim=1)

    def loss(self, batch: Batch, y: Tensor, weight: Tensor) -> Losses:
        """Return the mean binary cross-entropy of people, weighted by class."""
        logits = self(batch)
        each = F.cross_entropy(logits.float(), y, reduction="none")
        return Losses((weight * each).mean(), logits, {})


class PaddedClassifier(TorchClassifier):
    """A classifier that pads scans to the longest one of its training."""

    def _begin(self, x: Series, y: np.ndarray) -> None:
        self.network.n_volumes.fill_(max(len(one) for one in x))


def _check(units: tuple[int, ...], pool: str, shares: tuple[float, float]) -> None:
    if min(units) < 1:
        raise ConfigError(
            f"units is {','.join(map(str, units))}; every layer takes 1 or more."
        )
    if pool not in POOLS:
        raise ConfigError(f"pool is {pool!r}; it is {' or '.join(POOLS)}.")
    for name, share in zip(("dropout", "recurrent_dropout"), shares, strict=True):
        if not 0 <= share < 1:
            raise ConfigError(f"{name} is {share}; it lies in [0, 1).")


VARIANTS = {
    name: Variant(
        input="timeseries",
        prepare=Series.of,
        make=partial(PaddedClassifier, RSNLSTM, TRAINING, units=units),
        needs_valid=True,
        settings=settings_of(TRAINING, units=units, **OWN),
        choices=choices_of() | {"pool": POOLS},
        sees_order=True,
        explained=("gradient",),
    )
    for name, units in UNITS.items()
}
