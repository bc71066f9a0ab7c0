"""How a network learns, and what the one training loop asks of it."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor

from bidsclf.errors import ConfigError
from bidsclf.models._persons import SCORES, drawn

LAST = "last"  # a monitor: no measure rules, every epoch is run
MONITORS = ("loss", "accuracy", "auc", LAST)  # of every network, beside its parts
PRECISIONS = ("float32", "bf16", "auto")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a network learns.

    Attributes
    ----------
    n_epochs : int
        At most; fewer when the monitored measure stops getting better.
    patience : int
        Epochs without a better measure before the end.
    batch_size : int
        Samples a step; validation and prediction take eight times as many, or what
        the samples say (``evaluated``).
    learning_rate, weight_decay : float
        Of AdamW, which is Adam where ``weight_decay`` is 0.
    monitor : str
        Measure of the validation part that rules the end and the weights that
        are kept: 'loss', 'accuracy', 'auc', or a part of the loss by its name;
        'last' runs every epoch and keeps the weights of the last.
    precision : {'float32', 'bf16', 'auto'}
        Of products; weights, sums and losses are float32 in all. 'auto' is bf16 on
        a GPU and float32 on a CPU.
    per_person : int
        Samples that an epoch draws anew of each person; 0 takes all (ours).
    """

    n_epochs: int = 100
    patience: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    monitor: str = "loss"
    precision: str = "float32"
    per_person: int = 0

    def __post_init__(self) -> None:
        least = {"n_epochs": 1, "patience": 1, "batch_size": 1}
        least |= {"weight_decay": 0, "per_person": 0}
        for name, limit in least.items():
            if not limit <= getattr(self, name) < np.inf:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it takes {limit} or more."
                )
        if not 0 < self.learning_rate < np.inf:
            raise ConfigError(
                f"learning_rate is {self.learning_rate}; it takes more than 0."
            )
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"precision is {self.precision!r}; it is {' or '.join(PRECISIONS)}."
            )


class Losses(NamedTuple):
    """What a network says of a batch of B samples.

    Attributes
    ----------
    total : scalar tensor
        What is minimized: a mean over samples, each with its weight.
    logits : tensor of shape (B, 2) or None
        None for a loss that knows no classes.
    parts : dict of scalar tensors
        Named parts of the loss, for the record and ``monitor``: means over the
        samples of the batch.
    counts : dict of scalar tensors, or None
        Of each part that is a mean over fewer of them: over how many. Such a part
        is in ``total`` with the factor 1. Measures of an epoch are then means over
        all that count, whatever the batches.
    """

    total: Tensor
    logits: Tensor | None
    parts: dict[str, Tensor]
    counts: dict[str, Tensor] | None = None


class Samples(Protocol):
    """What a step takes: people, or windows of people.

    Windows, whose first tensor is of shape (B, T, R) for the same T whoever they are
    of, also tell T as ``length``. Samples of which some belong together in a batch
    offer ``drawn(y) -> list of int arrays``: with the labels of all rows, the batches
    of an epoch, in the random order of torch's global generator; ``batch_size`` and
    ``per_person`` are then theirs to heed.

    Attributes
    ----------
    person : int array of shape (n_samples,)
        Row of x of each sample, ascending; every row has one or more.
    """

    person: np.ndarray

    def __len__(self) -> int:
        """Return how many there are."""

    def batch(self, which: np.ndarray) -> tuple[Any, ...]:
        """Return samples as tensors, or lists, on the CPU."""


class Network(Protocol):
    """What the loop asks of a module; it never asks which network it has.

    A network may also offer ``project()``, called after every step, which puts
    its weights back to where they are allowed to be.
    """

    def samples(self, x: Any) -> Samples:
        """Return the samples of rows."""

    def forward(self, batch: tuple[Any, ...]) -> Tensor:
        """Return logits of shape (B, 2)."""

    def loss(self, batch: tuple[Any, ...], y: Tensor, weight: Tensor) -> Losses:
        """Return the loss of B samples; y is int64, weight float32, both (B,)."""


class Part(NamedTuple):
    """Samples, with the label and the weight of each row of x.

    Attributes
    ----------
    samples : Samples
    y : int array of shape (n_rows,)
    weight : float array of shape (n_rows,)
    """

    samples: Samples
    y: np.ndarray
    weight: np.ndarray


def settings_of(training: Training, **others: Any) -> dict[str, Any]:
    """Return the settings of a variant: those of the training, and its own.

    Examples
    --------
    >>> settings_of(Training(patience=5), n_hidden=20)["patience"]
    5
    """
    return asdict(training) | others


def choices_of(*parts: str) -> dict[str, tuple[str, ...]]:
    """Return the words that each setting of the training takes.

    Parameters
    ----------
    *parts : str
        Names of the parts of the network's loss.

    Examples
    --------
    >>> choices_of("generative")["monitor"]
    ('loss', 'accuracy', 'auc', 'last', 'generative')
    """
    return {"monitor": (*MONITORS, *parts), "precision": PRECISIONS, "score": SCORES}


def balanced(samples: Samples, y: np.ndarray, training: Training) -> np.ndarray:
    """Return the weight of each class that lets both count the same in an epoch.

    Parameters
    ----------
    samples : Samples
    y : int array of shape (n_rows,), 0 or 1
    training : Training

    Returns
    -------
    weight : float64 array of shape (2,)
        With mean 1 over the samples of an epoch.
    """
    counts = drawn(np.bincount(samples.person, minlength=len(y)), training.per_person)
    weight: np.ndarray = counts.sum() / (2 * np.bincount(y, weights=counts))
    return weight
