"""The one training loop of every network."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bidsclf.errors import ConfigError, FitError
from bidsclf.models._persons import auc, log_odds
from bidsclf.models._training import Losses, Part, Training

UPWARDS = ("auc", "accuracy")  # measures of which more is better
EVALUATED = 4  # times the batch size, where no gradient is kept; ours
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
    watch: Watch | None = None,
) -> Learned:
    """Train a network, and leave the best weights in it.

    The order of samples and dropout come from torch's global generator: seed it
    (``seeded``). Without ``valid`` the weights of the last epoch are the best.

    Parameters
    ----------
    network : Network, an nn.Module
        Learns on the device of its parameters.
    train : Part
    training : Training
    valid : Part or None
        Rules the end and the weights kept; nothing is learned from it.
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
    while not loop.is_over:
        loop.go_on()
        if watch is not None:
            watch(training.n_epochs, loop.history[-1])
    network.load_state_dict(loop.kept)
    network.eval()
    return Learned(loop.history, loop.epoch)


class _Loop:
    """Where learning stands: the weights, the optimizer, and what was best so far."""

    def __init__(
        self, network: Any, training: Training, train: Part, valid: Part | None
    ) -> None:
        self.network, self.training = network, training
        self.device = next(network.parameters()).device
        self.train = _Side(train, self.device)
        self.valid = None if valid is None else _Side(valid, self.device)
        self.optimizer = torch.optim.AdamW(
            (p for p in network.parameters() if p.requires_grad),
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
        )
        self.project = getattr(network, "project", None)
        self.history: list[dict[str, Any]] = []
        self.epoch, self.best = 0, np.inf
        self.kept: dict[str, Tensor] = network.state_dict()

    @property
    def is_over(self) -> bool:
        """Whether the last epoch is done, or none was better for long."""
        done, setting = len(self.history), self.training
        return done >= setting.n_epochs or done - self.epoch >= setting.patience

    def go_on(self) -> None:
        """Learn for an epoch, and keep the weights if it is the best so far."""
        entry: dict[str, Any] = {"epoch": len(self.history) + 1}
        which = self.train.draw(self.training.per_person)
        entry["train"] = self._pass(self.train, which, is_training=True)
        if self.valid is not None:
            every = np.arange(len(self.valid.samples))
            entry["valid"] = self._pass(self.valid, every, is_training=False)
        self._check(entry)
        self.history.append(entry)
        if self.valid is None:
            self.epoch = entry["epoch"]
        elif (value := self._monitored(entry["valid"])) < self.best:
            self.best, self.epoch = value, entry["epoch"]
            state = self.network.state_dict()
            self.kept = {name: tensor.clone() for name, tensor in state.items()}

    def _pass(
        self, side: "_Side", which: np.ndarray, *, is_training: bool
    ) -> dict[str, float | None]:
        """Go through samples once and return the measures."""
        self.network.train(is_training)
        size = self.training.batch_size * (1 if is_training else EVALUATED)
        person = torch.from_numpy(side.samples.person[which]).to(self.device)
        y, weight = side.y[person], side.weight[person]
        seen: list[Losses] = []
        with torch.set_grad_enabled(is_training):
            for start in range(0, len(which), size):
                part = slice(start, start + size)
                batch = moved(side.samples.batch(which[part]), self.device)
                with products(self.training, self.device):
                    losses = self.network.loss(batch, y[part], weight[part])
                if is_training:
                    self._step(losses.total)
                seen.append(_detached(losses))
        measures = _means(seen, len(which), size)
        if seen[0].logits is None:
            return measures
        odds = _odds(torch.cat([one.logits for one in seen]))  # type: ignore[misc]
        measures["accuracy"] = ((odds > 0) == (y.cpu().numpy() == 1)).mean().item()
        if not is_training:
            people = log_odds(odds, side.samples.person, "mean")
            measures["auc"] = auc(people, side.y.cpu().numpy())
        return measures

    def _step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.project is not None:
            self.project()

    def _check(self, entry: dict[str, Any]) -> None:
        for part in ("train", "valid"):
            loss = entry.get(part, {"loss": 0.0})["loss"]
            if not np.isfinite(loss):
                raise FitError(
                    f"the {part} loss is {loss} at epoch {entry['epoch']} (learning"
                    f" rate {self.training.learning_rate}); a finite loss is expected."
                    " Look for extreme values in the input, or lower learning_rate."
                )

    def _monitored(self, measures: dict[str, float | None]) -> float:
        """Return the monitored measure, less is better."""
        name = self.training.monitor
        value = measures.get(name)
        if name not in measures:
            raise ConfigError(
                f"monitor is {name!r}; this network has {', '.join(measures)}."
            )
        if value is None:
            raise FitError(
                f"monitor is {name!r} and the validation part holds one class; it"
                " takes both. Take monitor=loss, or fewer folds."
            )
        return -value if name in UPWARDS else value


class _Side:
    """A part with its labels and weights as tensors."""

    def __init__(self, part: Part, device: torch.device) -> None:
        self.samples = part.samples
        self.y = torch.as_tensor(np.asarray(part.y, np.int64)).to(device)
        self.weight = torch.as_tensor(np.asarray(part.weight, np.float32)).to(device)

    def draw(self, per_person: int) -> np.ndarray:
        """Return the samples of an epoch in random order."""
        if not per_person:
            return torch.randperm(len(self.samples)).numpy()
        person = self.samples.person
        keys = torch.rand(len(person), dtype=torch.float64).numpy()
        shuffled = np.lexsort((keys, person))  # people in order, samples not
        counts = np.bincount(person)
        place = np.arange(len(person)) - np.repeat(np.cumsum(counts) - counts, counts)
        taken = shuffled[place < per_person]
        return taken[torch.randperm(len(taken)).numpy()]


def _detached(losses: Losses) -> Losses:
    total, logits, parts = losses
    return Losses(
        total.detach(),
        None if logits is None else logits.detach(),
        {name: part.detach() for name, part in parts.items()},
    )


def _means(seen: list[Losses], n: int, size: int) -> dict[str, float | None]:
    """Return the means over n samples of what batches of ``size`` said."""
    share = torch.full((len(seen),), float(size), dtype=torch.float64)
    share[-1] = n - size * (len(seen) - 1)
    means: dict[str, float | None] = {}
    for name in ("loss", *seen[0].parts):
        each = [one.total if name == "loss" else one.parts[name] for one in seen]
        values = torch.stack(each).double().cpu()
        means[name] = (values @ share).item() / n
    return means


def _odds(logits: Tensor) -> np.ndarray:
    """Return the log odds of class 1, float64 of shape (B,)."""
    wide = logits.double().cpu()
    odds: np.ndarray = (wide[:, 1] - wide[:, 0]).numpy()
    return odds


def products(training: Training, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which a network multiplies."""
    if training.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def moved(batch: tuple[Any, ...], device: torch.device) -> tuple[Any, ...]:
    """Return a batch on a device."""
    if device.type == "cpu":
        return batch
    return tuple(p.to(device) if isinstance(p, Tensor) else p for p in batch)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch inside the block; the generators outside stay as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
