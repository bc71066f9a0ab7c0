"""The one training loop of every network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bidsclf.errors import ConfigError, FitError
from bidsclf.models._arithmetic import moved, products
from bidsclf.models._checkpoint import (
    Checkpoint,
    State,
    named,
    restore,
    state_of,
    under,
)
from bidsclf.models._persons import auc, log_odds
from bidsclf.models._sides import Side, cut
from bidsclf.models._training import LAST, Losses, Part, Training

UPWARDS = ("auc", "accuracy")  # measures of which more is better
EVALUATED = 8  # times the batch size, where no gradient is kept; ours
Watch = Callable[[int, dict[str, Any]], None]


class Learned(NamedTuple):
    """What learning was like.

    Attributes
    ----------
    history : list of dict
        An epoch each: its number, and its measures by part, 'train' and 'valid'.
    epoch : int
        Whose weights were kept.
    """

    history: list[dict[str, Any]]
    epoch: int


def learn(
    network: Any,
    train: Part,
    training: Training,
    *,
    valid: Part | None = None,
    checkpoint: Checkpoint | None = None,
    watch: Watch | None = None,
) -> Learned:
    """Train a network, and leave the best weights in it.

    The order of samples and dropout come from torch's global generator: seed it
    (``seeded``). Without ``valid``, or with the monitor 'last', the weights of the
    last epoch are the best.

    Parameters
    ----------
    network : Network, an nn.Module
        Learns on the device of its parameters.
    train : Part
    training : Training
    valid : Part or None
        Rules the end and the weights kept; nothing is learned from it.
    checkpoint : Checkpoint or None
        Written after every epoch. If it holds this very training, which was
        killed or had ended, that goes on where it stood, to the same weights.
    watch : callable or None
        ``watch(n_epochs, history[-1])`` after every epoch.

    Raises
    ------
    FitError
        A loss is not finite.
    ConfigError
        The network has no measure that is called as ``training.monitor``.
    """
    loop = _Loop(network, training, train, valid)
    key = "" if checkpoint is None else checkpoint.key(network, training)
    if checkpoint is not None and (state := checkpoint.read(key)) is not None:
        loop.restore(state)
    while not loop.is_over:
        with _told(checkpoint, len(loop.history)):
            loop.go_on()
        if checkpoint is not None:
            checkpoint.write(key, loop.state())
        if watch is not None:
            watch(training.n_epochs, loop.history[-1])
    network.load_state_dict(loop.kept)
    network.eval()
    return Learned(loop.history, loop.epoch)


@contextmanager
def _told(checkpoint: Checkpoint | None, n_done: int) -> Iterator[None]:
    """Say in an error where the weights of the last good epoch are."""
    try:
        yield
    except FitError as error:
        if checkpoint is None or not n_done:
            raise
        kept = f"Weights of epoch {n_done} are kept in {checkpoint.path}."
        raise FitError(f"{error} {kept}") from error


class _Loop:
    """Where learning stands: the weights, the optimizer, and what was best so far."""

    def __init__(
        self, network: Any, training: Training, train: Part, valid: Part | None
    ) -> None:
        self.network, self.training = network, training
        self.device = next(network.parameters()).device
        self.train = Side(train, self.device)
        self.valid = None if valid is None else Side(valid, self.device)
        self.learning = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.learning,
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
        )
        self.project = getattr(network, "project", None)
        self.history: list[dict[str, Any]] = []
        self.epoch, self.best = 0, np.inf
        self.kept: dict[str, Tensor] = network.state_dict()
        self.is_ruled = valid is not None and training.monitor != LAST

    @property
    def is_over(self) -> bool:
        """Whether the last epoch is done, or none was better for long."""
        done, setting = len(self.history), self.training
        return done >= setting.n_epochs or done - self.epoch >= setting.patience

    def go_on(self) -> None:
        """Learn for an epoch, and keep the weights if it is the best so far."""
        entry: dict[str, Any] = {"epoch": len(self.history) + 1}
        size, setting = self.training.batch_size, self.training
        drawn = self.train.batches(size, setting.per_person)
        entry["train"] = self._pass(self.train, drawn, is_training=True)
        if self.valid is not None:
            samples = self.valid.samples
            times = getattr(samples, "evaluated", EVALUATED)
            every = cut(np.arange(len(samples)), max(1, int(size * times)))
            entry["valid"] = self._pass(self.valid, every, is_training=False)
        self.history.append(entry)
        if not self.is_ruled:
            self.epoch = entry["epoch"]
        elif (value := self._monitored(entry["valid"])) < self.best:
            self.best, self.epoch = value, entry["epoch"]
            state = self.network.state_dict()
            self.kept = {name: tensor.clone() for name, tensor in state.items()}

    def state(self) -> State:
        """Return where learning stands, as tensors and JSON values."""
        tensors = state_of(self.network, self.optimizer)
        if self.epoch < len(self.history):
            tensors |= named("kept", self.kept)
        best = self.best if self.is_ruled else None
        return tensors, {"history": self.history, "epoch": self.epoch, "best": best}

    def restore(self, state: State) -> None:
        """Go back to what ``state`` returned."""
        tensors, values = state
        restore(self.network, self.optimizer, tensors)
        self.history, self.epoch = values["history"], values["epoch"]
        if self.is_ruled:
            self.best = values["best"]
            head = "kept" if self.epoch < len(self.history) else "weights"
            self.kept = under(head, tensors)

    def _pass(
        self, side: Side, batches: list[np.ndarray], *, is_training: bool
    ) -> dict[str, float | None]:
        """Go through samples once and return the measures."""
        self.network.train(is_training)
        which = np.concatenate(batches)
        person = torch.from_numpy(side.samples.person[which]).to(self.device)
        sizes = [len(one) for one in batches]
        y, weight = side.y[person], side.weight[person]
        parts = zip(batches, y.split(sizes), weight.split(sizes), strict=True)
        seen: list[Losses] = []
        with torch.set_grad_enabled(is_training):
            for one, truth, weights in parts:
                batch = moved(side.samples.batch(one), self.device)
                with products(self.training, self.device):
                    losses = self.network.loss(batch, truth, weights)
                if is_training:
                    self._step(losses.total)
                seen.append(_detached(losses))
        measures = _means(seen, sizes)
        self._check(measures["loss"], is_training=is_training)
        if seen[0].logits is None:
            return measures
        odds = _odds(torch.cat([one.logits for one in seen]))  # type: ignore[misc]
        measures["accuracy"] = ((odds > 0) == (y.cpu().numpy() == 1)).mean().item()
        if not is_training:
            people = log_odds(odds, side.samples.person, "mean")
            measures["auc"] = auc(people, side.y.cpu().numpy())
        return measures

    def _step(self, loss: Tensor) -> None:
        for parameter in self.learning:  # zero_grad does the same, 20 times slower
            parameter.grad = None
        loss.backward()
        self.optimizer.step()
        if self.project is not None:
            self.project()

    def _check(self, loss: float, *, is_training: bool) -> None:
        if not np.isfinite(loss):
            raise FitError(
                f"the {'train' if is_training else 'valid'} loss is {loss} at epoch"
                f" {len(self.history) + 1} (learning rate"
                f" {self.training.learning_rate}); a finite loss is expected."
                " Look for extreme values in the input, or lower learning_rate."
            )

    def _monitored(self, measures: dict[str, float | None]) -> float:
        """Return the monitored measure, less is better."""
        name = self.training.monitor
        value = measures.get(name)
        if name not in measures:
            raise ConfigError(
                f"monitor is {name!r}; this network has {', '.join(measures)}, and"
                f" {LAST!r} runs every epoch."
            )
        if value is None:
            raise FitError(
                f"monitor is {name!r} and the validation part holds one class; it"
                " takes both. Take monitor=loss, or fewer folds."
            )
        return -value if name in UPWARDS else value


def _detached(losses: Losses) -> Losses:
    total, logits, parts, counts = losses
    return Losses(
        total.detach(),
        None if logits is None else logits.detach(),
        {name: part.detach() for name, part in parts.items()},
        counts,
    )


def _means(seen: list[Losses], n_samples: list[int]) -> dict[str, Any]:
    """Return the means over samples of what batches of so many said.

    A part with counts is a mean over what it counts, in the loss as well.
    """
    sizes, n = torch.tensor(n_samples, dtype=torch.float64), sum(n_samples)
    loss = _joined([one.total for one in seen])
    means: dict[str, Any] = {"loss": (loss @ sizes).item() / n}
    for name in seen[0].parts:
        values = _joined([one.parts[name] for one in seen])
        means[name] = (values @ sizes).item() / n
        if name in (seen[0].counts or {}):
            counts = _joined([(one.counts or {})[name] for one in seen])
            exact = (values @ counts).item() / max(counts.sum().item(), 1)
            means["loss"] += exact - means[name]
            means[name] = exact
    return means


def _joined(scalars: list[Tensor]) -> Tensor:
    return torch.stack(scalars).double().cpu()


def _odds(logits: Tensor) -> np.ndarray:
    """Return the log odds of class 1, float64 of shape (B,)."""
    wide = logits.double().cpu()
    odds: np.ndarray = (wide[:, 1] - wide[:, 0]).numpy()
    return odds
