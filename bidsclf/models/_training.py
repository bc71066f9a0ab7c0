"""The one training loop of every network."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scipy.special import expit
from torch import Tensor, nn

from bidsclf.errors import FitError, InputError
from bidsclf.models._rows import canonical_order, check_classes, take


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a network learns.

    Attributes
    ----------
    n_epochs : int
        At most; fewer when the validation loss stops falling.
    patience : int
        Epochs without a better validation loss before the end.
    batch_size : int
        People a step; validation and prediction use as many.
    learning_rate, weight_decay : float
        Of AdamW.
    """

    n_epochs: int = 100
    patience: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4


class TorchClassifier:
    """A network behind the contract of every model.

    A network has ``collate(rows) -> batch``, ``forward(batch) -> logits`` of
    shape (B, 2) and ``loss(batch, y, weight) -> scalar``, the mean over people
    weighted by ``weight``; the loop never asks which network it has.

    Parameters
    ----------
    network : callable
        ``network(width)`` with the last axis of a row; makes an untrained module.
    training : Training
    seed : int
        Of the initial weights, the order of batches and dropout.
    device : str
        As torch names it.
    """

    def __init__(
        self,
        network: Callable[[int], nn.Module],
        training: Training,
        *,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.make, self.training = network, training
        self.seed, self.device = seed, torch.device(device)
        self.history: list[dict[str, float]] = []
        self.held: tuple[np.ndarray, np.ndarray] | None = None

    def fit(
        self,
        x: Any,
        y: np.ndarray,
        valid: tuple[Any, np.ndarray] | None = None,
        people: np.ndarray | None = None,
    ) -> "TorchClassifier":
        """Learn; keep the weights of the epoch with the lowest validation loss.

        Without ``valid`` the weights of the last epoch are kept.

        Raises
        ------
        FitError
            A class is missing, or a loss is not finite.
        """
        y = np.asarray(y, int)
        check_classes(y)
        order = canonical_order(x, y)
        x, y = take(x, order), y[order]
        weight = len(y) / (2 * np.bincount(y))
        with _seeded(self.seed, self.device):
            self.width = int(next(iter(x)).shape[-1])
            self.network: Any = self.make(self.width).to(self.device)
            self._learn((x, y), valid, weight)
        if valid is not None:
            self.held = (self.decide(valid[0]), np.asarray(valid[1], int))
        return self

    def held_out(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return logits and truth of the validation part, which chose the epoch."""
        return self.held

    def decide(self, x: Any) -> np.ndarray:
        """Return the log odds of class 1, float64 of shape (n,)."""
        self.network.eval()
        odds = []
        with torch.inference_mode():
            for rows in self._batches(x, np.arange(len(x))):
                logits = self.network(self._collate(rows)).double().cpu()
                odds.append(logits[:, 1] - logits[:, 0])
        return torch.cat(odds).numpy() if odds else np.empty(0)

    def predict_score(self, x: Any) -> np.ndarray:
        """Return the probability of class 1 the network gives, uncalibrated."""
        return expit(self.decide(x))

    def notes(self) -> dict[str, Any]:
        """Return the kept epoch and the losses of all, as JSON values."""
        return {"epoch": self.epoch, "history": self.history}

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the weights."""
        tensors = {k: v.cpu().contiguous() for k, v in self._state().items()}
        save_file(tensors, folder / "model.safetensors")
        return self.notes() | {"width": self.width, "training": asdict(self.training)}

    def load(self, folder: Path, settings: dict[str, Any]) -> "TorchClassifier":
        """Restore a saved model."""
        self.width = settings["width"]
        self.network = self.make(self.width).to(self.device)
        try:
            self.network.load_state_dict(load_file(folder / "model.safetensors"))
        except RuntimeError as error:
            raise InputError(
                f"{folder}: model.safetensors does not fit this version's network"
                f" ({error}). Fit the model again."
            ) from error
        self.epoch, self.history = settings["epoch"], settings["history"]
        return self

    def _learn(
        self,
        train: tuple[Any, np.ndarray],
        valid: tuple[Any, np.ndarray] | None,
        weight: np.ndarray,
    ) -> None:
        setting = self.training
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=setting.learning_rate,
            weight_decay=setting.weight_decay,
        )
        self.history, self.epoch, best = [], 0, np.inf
        kept = copy.deepcopy(self._state())
        for epoch in range(1, setting.n_epochs + 1):
            losses = {"train": self._epoch(train, weight, optimizer)}
            if valid is not None:
                losses["valid"] = self._epoch(valid, weight, None)
            self._check(losses, epoch)
            self.history.append(losses)
            if valid is None or losses["valid"] < best:
                best = losses.get("valid", np.inf)
                kept, self.epoch = copy.deepcopy(self._state()), epoch
            elif epoch - self.epoch >= setting.patience:
                break
        self.network.load_state_dict(kept)

    def _epoch(
        self,
        part: tuple[Any, np.ndarray],
        weight: np.ndarray,
        optimizer: torch.optim.Optimizer | None,
    ) -> float:
        """Go through a part once and return its mean weighted loss."""
        x, y = part
        self.network.train(optimizer is not None)
        order = np.arange(len(y))
        if optimizer is not None:
            order = torch.randperm(len(y)).numpy()
        total = 0.0
        for rows, truth in zip(
            self._batches(x, order), self._batches(y, order), strict=True
        ):
            batch, labels = self._collate(rows), torch.as_tensor(truth).to(self.device)
            each = torch.as_tensor(weight[truth], dtype=torch.float32).to(self.device)
            with torch.set_grad_enabled(optimizer is not None):
                loss = self.network.loss(batch, labels, each)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += loss.item() * len(truth)
        return total / len(y)

    def _check(self, losses: dict[str, float], epoch: int) -> None:
        for part, loss in losses.items():
            if not np.isfinite(loss):
                raise FitError(
                    f"the {part} loss is {loss} at epoch {epoch} (learning rate"
                    f" {self.training.learning_rate}); a finite loss is expected."
                    " Look for extreme values in the input."
                )

    def _batches(self, x: Any, order: np.ndarray) -> Iterator[Any]:
        for start in range(0, len(order), self.training.batch_size):
            yield take(x, order[start : start + self.training.batch_size])

    def _collate(self, rows: Any) -> Any:
        return _moved(self.network.collate(rows), self.device)

    def _state(self) -> dict[str, Tensor]:
        return self.network.state_dict()


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch inside the block; the generators outside stay as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _moved(batch: Any, device: torch.device) -> Any:
    return tuple(p.to(device) if isinstance(p, Tensor) else p for p in batch)
