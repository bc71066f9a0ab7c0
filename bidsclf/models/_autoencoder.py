"""A stack of sparse autoencoders, trained greedily: a layer, then the next one."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bidsclf.errors import ConfigError
from bidsclf.models._training import Losses

NEAR = 1e-6  # from 0 and 1, where a logarithm ends; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalties:
    """What a sparse autoencoder pays beside its error.

    Attributes
    ----------
    rho : float
        Mean activity that a unit should have, in (0, 1).
    beta : float
        Weight of the divergence from ``rho``.
    decay : float
        Weight of half the sum of squared weights (lambda).
    """

    rho: float
    beta: float
    decay: float

    def __post_init__(self) -> None:
        if not 0 < self.rho < 1:
            raise ConfigError(
                f"rho is {self.rho}; the activity that a unit should have lies"
                " between 0 and 1, both excluded."
            )
        for name in ("beta", "decay"):
            if not getattr(self, name) >= 0:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it takes 0 or more."
                )


class Vectors:
    """A sample a person.

    Attributes
    ----------
    values : float32 tensor of shape (n, n_values)
    person : int array of shape (n,)
    """

    def __init__(self, values: Tensor):
        self.values, self.person = values, np.arange(len(values))

    def __len__(self) -> int:
        """Return how many people there are."""
        return len(self.values)

    def batch(self, which: np.ndarray) -> tuple[Tensor]:
        """Return people as a tensor of shape (B, n_values)."""
        return (self.values[torch.from_numpy(which)],)


class Encoder(nn.Module):
    """A layer of sigmoid units: ``sigmoid(W (x - centre) + b)``.

    The centre is the mean person of the pre-training. It moves the bias only and
    is ours: values have a mean far from 0, and without it a step on thousands of
    weights saturates every unit at once.

    Parameters
    ----------
    n_values, n_units : int
    """

    centre: Tensor

    def __init__(self, n_values: int, n_units: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_units, n_values))
        self.bias = nn.Parameter(torch.zeros(n_units))
        self.register_buffer("centre", torch.zeros(n_values))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return activities of shape (B, n_units), in (0, 1)."""
        return torch.sigmoid(F.linear(x - self.centre, self.weight, self.bias))


class SparseAutoencoder(nn.Module):
    """An encoder with a decoder of sigmoid units, for values in [0, 1].

    The loss is the squared error summed over values, its mean over people, plus
    ``decay / 2`` times the squared weights of both layers, plus ``beta`` times
    the divergence KL(rho || rho_hat) summed over units; rho_hat is the mean
    activity over a batch (ours: over everyone would need full batches).

    Parameters
    ----------
    encoder : Encoder
        Is trained in place. Starts centred on the mean person, with ``rho`` as
        the activity there; the decoder starts by giving the mean person (ours).
    values : tensor of shape (n, n_values), in [0, 1]
        Everyone that the layer will learn from.
    penalties : Penalties
    """

    def __init__(self, encoder: Encoder, values: Tensor, penalties: Penalties):
        super().__init__()
        self.encoder, self.penalties = encoder, penalties
        weight = torch.empty_like(
            encoder.weight.T, memory_format=torch.contiguous_format
        )
        self.weight = nn.Parameter(nn.init.xavier_uniform_(weight))
        mean, rho = values.mean(dim=0), penalties.rho
        with torch.no_grad():
            encoder.centre.copy_(mean)
            encoder.bias.fill_(np.log(rho / (1 - rho)))
            start = torch.logit(mean, eps=1e-3) - rho * self.weight.sum(dim=1)
        self.bias = nn.Parameter(start)

    @staticmethod
    def samples(values: Tensor) -> Vectors:
        """Return a sample a person."""
        return Vectors(values)

    def forward(self, batch: tuple[Tensor]) -> tuple[Tensor, Tensor]:
        """Return activities (B, n_units) and reconstructions (B, n_values)."""
        active = self.encoder(batch[0])
        return active, torch.sigmoid(F.linear(active, self.weight, self.bias))

    def loss(self, batch: tuple[Tensor], y: Tensor, weight: Tensor) -> Losses:
        """Return the loss of B people; their labels and weights are not read."""
        active, again = self(batch)
        squares = self.encoder.weight.square().sum() + self.weight.square().sum()
        parts = {
            "reconstruction": (again - batch[0]).square().sum(dim=1).mean(),
            "decay": self.penalties.decay / 2 * squares,
            "sparsity": self.penalties.beta * divergence(active, self.penalties.rho),
        }
        return Losses(torch.stack(list(parts.values())).sum(), None, parts)


def divergence(active: Tensor, rho: float) -> Tensor:
    """Return KL(rho || rho_hat), summed over units; rho_hat is the mean over people.

    Parameters
    ----------
    active : tensor of shape (B, n_units), in [0, 1]
    rho : float

    Examples
    --------
    >>> divergence(torch.tensor([[0.1, 0.5], [0.3, 0.5]]), 0.2).round(decimals=4)
    tensor(0.1927)
    """
    found = active.float().mean(dim=0).clamp(NEAR, 1 - NEAR)
    on = rho * torch.log(rho / found)
    return (on + (1 - rho) * torch.log((1 - rho) / (1 - found))).sum()


def unit_interval(rows: Iterable[np.ndarray]) -> Tensor:
    """Return Fisher-z edges as correlations on [0, 1], ``(tanh(z) + 1) / 2``.

    Learns nothing from anyone: the same scale at every site.

    Parameters
    ----------
    rows : iterable of float arrays of shape (n_edges,)

    Returns
    -------
    values : float32 tensor of shape (n, n_edges)

    Examples
    --------
    >>> unit_interval(np.array([[0.0, 9.0, -9.0]])).round(decimals=3)
    tensor([[0.5000, 1.0000, 0.0000]])
    """
    values = torch.from_numpy(np.stack([np.asarray(row, np.float32) for row in rows]))
    return values.tanh_().add_(1).div_(2)


class Stack(nn.Sequential):
    """Encoders, each over the units of the one before.

    Parameters
    ----------
    n_values : int
    layers : tuple of int
        Units of each.
    """

    def __init__(self, n_values: int, layers: tuple[int, ...]):
        widths = (n_values, *layers)
        super().__init__(*map(Encoder, widths[:-1], widths[1:]))
        self.n_values = n_values

    def encoders(self) -> list[Encoder]:
        """Return the encoders, lowest first."""
        return [one for one in self.children() if isinstance(one, Encoder)]
