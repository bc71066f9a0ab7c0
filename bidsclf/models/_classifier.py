"""A network behind the contract of every model."""

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scipy.special import expit
from torch import nn

from bidsclf.errors import ConfigError, InputError
from bidsclf.models._loop import EVALUATED, learn, moved, products, seeded
from bidsclf.models._persons import SCORES, log_odds, positive_share
from bidsclf.models._rows import canonical_order, check_classes, take
from bidsclf.models._training import Part, Samples, Training, balanced

WEIGHTS = "model.safetensors"


class TorchClassifier:
    """A network behind the contract of every model.

    Parameters
    ----------
    network : callable
        ``network(width, **settings)`` makes an untrained module that is a
        ``Network``; width is the last axis of a row.
    training : Training
    seed : int
        Of the initial weights, the order of samples and dropout.
    device : str
        As torch names it.
    score : {'mean', 'share'}
        A person's score: the mean probability of the samples, or the share of
        samples that are called positive, of which a tie counts half.
    **settings
        Those named as a field of Training replace it; the others are the
        network's.
    """

    def __init__(
        self,
        network: Callable[..., nn.Module],
        training: Training,
        *,
        seed: int = 0,
        device: str = "cpu",
        score: str = "mean",
        **settings: Any,
    ) -> None:
        if score not in SCORES:
            raise ConfigError(f"score is {score!r}; it is {' or '.join(SCORES)}.")
        ruled = {field.name for field in fields(Training)} & set(settings)
        self.training = replace(training, **{name: settings[name] for name in ruled})
        self.settings = {k: v for k, v in settings.items() if k not in ruled}
        self.make, self.score = network, score
        self.seed, self.device = seed, torch.device(device)
        self.history: list[dict[str, Any]] = []
        self.held: tuple[np.ndarray, np.ndarray] | None = None

    def fit(
        self,
        x: Any,
        y: np.ndarray,
        valid: tuple[Any, np.ndarray] | None = None,
        people: np.ndarray | None = None,
    ) -> "TorchClassifier":
        """Learn; keep the weights of the epoch that was best on ``valid``.

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
        with seeded(self.seed, self.device):
            self._build(int(next(iter(x)).shape[-1]))
            samples = self.network.samples(x)
            weight = balanced(samples, y, self.training)
            train, stop = Part(samples, y, weight), None
            if valid is not None:
                truth = np.asarray(valid[1], int)
                by_class = np.array([weight[y == label][0] for label in (0, 1)])
                stop = Part(self.network.samples(valid[0]), truth, by_class[truth])
            learned = learn(self.network, train, self.training, valid=stop)
        self.history, self.epoch = learned.history, learned.epoch
        if valid is not None:
            self.held = (self.decide(valid[0]), np.asarray(valid[1], int))
        return self

    def held_out(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return logits and truth of the validation part, which chose the epoch."""
        return self.held

    def decide(self, x: Any) -> np.ndarray:
        """Return the log odds of class 1, finite, float64 of shape (n,)."""
        if not len(x):
            return np.empty(0)
        samples = self.network.samples(x)
        return log_odds(self._odds(samples), samples.person, self.score)

    def predict_score(self, x: Any) -> np.ndarray:
        """Return the score of class 1 the network gives, uncalibrated."""
        if self.score == "mean" or not len(x):
            return expit(self.decide(x))
        samples = self.network.samples(x)
        return positive_share(self._odds(samples), samples.person)

    def notes(self) -> dict[str, Any]:
        """Return the kept epoch and the measures of all, as JSON values."""
        return {
            "epoch": self.epoch,
            "monitor": self.training.monitor,
            "history": self.history,
        }

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the weights."""
        state = self.network.state_dict()
        tensors = {k: v.cpu().contiguous() for k, v in state.items()}
        save_file(tensors, folder / WEIGHTS)
        return self.notes() | {
            "width": self.width,
            "training": asdict(self.training),
            "score": self.score,
            "network": self.settings,
        }

    def load(self, folder: Path, settings: dict[str, Any]) -> "TorchClassifier":
        """Restore a saved model."""
        self.training = Training(**settings["training"])
        self.score, self.settings = settings["score"], settings["network"]
        self._build(settings["width"])
        try:
            self.network.load_state_dict(load_file(folder / WEIGHTS))
        except RuntimeError as error:
            raise InputError(
                f"{folder}: {WEIGHTS} does not fit this version's network"
                f" ({error}). Fit the model again."
            ) from error
        self.network.eval()
        self.epoch, self.history = settings["epoch"], settings["history"]
        return self

    def _build(self, width: int) -> None:
        self.width = width
        self.network: Any = self.make(width, **self.settings).to(self.device)

    def _odds(self, samples: Samples) -> np.ndarray:
        """Return the log odds of class 1 of samples, float64 of shape (n_samples,)."""
        self.network.eval()
        odds, size = [], EVALUATED * self.training.batch_size
        with torch.inference_mode(), products(self.training, self.device):
            for start in range(0, len(samples), size):
                which = np.arange(start, min(start + size, len(samples)))
                logits = self.network(moved(samples.batch(which), self.device))
                odds.append(logits.double().cpu())
        wide = torch.cat(odds)
        return (wide[:, 1] - wide[:, 0]).numpy()
