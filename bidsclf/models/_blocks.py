"""What networks of volumes are built of: time in the batch, recurrence, memory."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.checkpoint import checkpoint

from bidsclf.errors import ConfigError
from bidsclf.models._base import Variant
from bidsclf.models._classifier import TorchClassifier
from bidsclf.models._crops import PICKS, Crops
from bidsclf.models._training import Losses, Training, choices_of, settings_of
from bidsclf.models._volumes import Volumes

Batch = tuple[Tensor, Tensor]
TRAINING = Training(  # of the source of resnet3d; the others share it
    n_epochs=100, patience=5, learning_rate=1e-4, weight_decay=0.0, precision="auto"
)
SAMPLED: dict[str, Any] = {"n_steps": 20, "pick": "even", "dropout": 0.5}
CELLS: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU}


class VolumeNetwork(nn.Module, ABC):
    """What networks of volumes share: samples, the last layer and the loss.

    A subclass gives ``embed`` and sets ``dense``, which reads an embedding.

    Parameters
    ----------
    n_steps : int
        Volumes of a sample; 0 takes the whole scan.
    pick : {'even', 'middle', 'crops'}
        Which: see ``Crops``.
    dropout : float
        Of the embedding, in [0, 1).
    """

    dense: nn.Linear

    def __init__(
        self, *, n_steps: int = 20, pick: str = "even", dropout: float = 0.5
    ) -> None:
        super().__init__()
        if pick not in PICKS:
            raise ConfigError(f"pick is {pick!r}; it is {' or '.join(PICKS)}.")
        if not 0 <= dropout < 1:
            raise ConfigError(f"dropout is {dropout}; it lies in [0, 1).")
        check_counts(0, n_steps=n_steps)
        self.n_steps, self.pick = n_steps, pick
        self.dropout = nn.Dropout(dropout)

    def samples(self, rows: Volumes) -> Crops:
        """Return the crops of every person."""
        return Crops(rows, self.n_steps, self.pick)

    @abstractmethod
    def embed(self, batch: Batch) -> Tensor:
        """Return what the last layer reads, of shape (B, d)."""

    def forward(self, batch: Batch) -> Tensor:
        """Return logits of shape (B, 2): 0, and the log odds of class 1."""
        odds = self.dense(self.dropout(self.embed(batch)))  # (B, 1)
        return torch.cat([torch.zeros_like(odds), odds], dim=1)

    def loss(self, batch: Batch, y: Tensor, weight: Tensor) -> Losses:
        """Return the mean binary cross-entropy of samples, weighted by class."""
        logits = self(batch)
        each = F.cross_entropy(logits.float(), y, reduction="none")
        return Losses((weight * each).mean(), logits, {})


def volume_variant(
    network: Callable[..., VolumeNetwork], *, sees_order: bool = True, **settings: Any
) -> Variant:
    """Return a variant whose network reads images; ``settings`` are its own."""
    given = SAMPLED | settings
    return Variant(
        input="volume",
        prepare=Volumes.of,
        make=partial(TorchClassifier, network, TRAINING, **given),
        needs_valid=True,
        harmonize_at="embedding",
        settings=settings_of(TRAINING, score="mean", **given),
        choices=choices_of() | {"pick": PICKS},
        sees_order=sees_order,
        explained=("volume",),
    )


class Convolution(nn.Module):
    """3 x 3 x 3 on each volume, batch norm and ReLU, then half the size."""

    def __init__(self, n_inputs: int, width: int):
        super().__init__()
        self.conv = nn.Conv3d(n_inputs, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm3d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (V, width, X / 2, Y / 2, Z / 2)."""
        return max_pool(F.relu(self.bn(self.conv(x)), inplace=True))


class Recurrence(nn.Module):
    """A recurrent layer over time, of which the last states are kept.

    Parameters
    ----------
    cell : {'lstm', 'gru'}
    n_inputs, n_hidden : int
    is_both_ways : bool
        Reads time in both directions; the states of both are joined.
    """

    def __init__(
        self, cell: str, n_inputs: int, n_hidden: int, *, is_both_ways: bool
    ) -> None:
        super().__init__()
        self.rnn = CELLS[cell](
            n_inputs, n_hidden, batch_first=True, bidirectional=is_both_ways
        )
        self.n_outputs = n_hidden * (1 + is_both_ways)

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """Return the states after the last volume of each: (B, T, F) -> (B, d)."""
        packed: Any = steps
        if not is_full(steps, lengths):
            packed = pack_padded_sequence(
                steps, lengths.cpu(), batch_first=True, enforce_sorted=False
            )
        last = self.rnn(packed)[1]
        states: Tensor = last[0] if isinstance(last, tuple) else last  # (1 or 2, B, H)
        return states.transpose(0, 1).flatten(1)


def is_full(x: Tensor, lengths: Tensor) -> bool:
    """Return whether every sample has all T steps of ``x``, (B, T, ...)."""
    return bool((lengths == x.shape[1]).all())


def fold(x: Tensor, lengths: Tensor) -> Tensor:
    """Return all volumes of a batch, without those after the end of a scan.

    Parameters
    ----------
    x : tensor of shape (B, T, ...)
    lengths : int64 tensor of shape (B,)

    Returns
    -------
    volumes : tensor of shape (V, ...)
        Person by person, V the sum of lengths; a view where all are T.

    Examples
    --------
    >>> fold(torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1]))
    tensor([1, 2, 3])
    """
    if is_full(x, lengths):
        return x.flatten(0, 1)
    return torch.cat([one[:n] for one, n in zip(x, lengths.tolist(), strict=True)])


def unfold(volumes: Tensor, lengths: Tensor) -> Tensor:
    """Undo ``fold``: (V, ...) -> (B, T, ...), zeros at the end.

    Examples
    --------
    >>> unfold(torch.tensor([1, 2, 3]), torch.tensor([2, 1]))
    tensor([[1, 2],
            [3, 0]])
    """
    counts = lengths.tolist()
    if len(set(counts)) == 1:
        return volumes.unflatten(0, (len(counts), counts[0]))
    return pad_sequence(list(volumes.split(counts)), batch_first=True)


def recomputed(
    block: nn.Module, x: Tensor, run: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Return ``block(x)``, or ``run(x)`` of it, keeping only ``x`` for the gradient.

    The second forward pass leaves running means and variances as they are, so that
    the numbers are those of a plain call.
    """
    if not torch.is_grad_enabled():
        result: Tensor = (run or block)(x)
        return result
    kinds = (nn.BatchNorm2d, nn.BatchNorm3d)
    norms = [part for part in block.modules() if isinstance(part, kinds)]
    again: Callable[[], Any] = lambda: (nullcontext(), _still(norms))  # noqa: E731
    kept: Tensor = checkpoint(
        run or block, x, use_reentrant=False, preserve_rng_state=False, context_fn=again
    )
    return kept


@contextmanager
def _still(norms: list[Any]) -> Iterator[None]:
    """Keep batch norms from counting what they have seen already."""
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counted


def max_pool(x: Tensor, *, size: int = 3, stride: int = 2, padding: int = 1) -> Tensor:
    """Return the 3D maxima, (V, C, X, Y, Z) -> (V, C, X', Y', Z').

    A plane first and then the third axis, which gives the same maxima in half the
    time; and torch's own has no backward pass on a GPU that gives the same each time.
    """
    plane = F.max_pool2d(x.flatten(1, 2), size, stride, padding)
    tall = plane.unflatten(1, x.shape[1:3]).flatten(3)  # (V, C, X, Y' Z')
    pooled = F.max_pool2d(tall, (size, 1), (stride, 1), (padding, 0))
    return pooled.unflatten(3, plane.shape[2:])


def check_counts(least: int, **counts: int) -> None:
    """Refuse a setting below the least that it takes."""
    for name, value in counts.items():
        if value < least:
            raise ConfigError(f"{name} is {value}; it takes {least} or more.")
