"""A network behind the contract of every model."""

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scipy.special import expit
from torch import Tensor, nn

from bidsclf.errors import ConfigError, FitError, InputError
from bidsclf.models._arithmetic import (
    check_solid,
    exact,
    moved,
    products,
    seeded,
)
from bidsclf.models._checkpoint import Checkpoint, digest_of
from bidsclf.models._loop import EVALUATED, Watch, learn
from bidsclf.models._persons import SCORES, log_odds
from bidsclf.models._progress import shown
from bidsclf.models._regions import Muted, dead_regions
from bidsclf.models._rows import canonical_order, check_classes, take
from bidsclf.models._settings import restored
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
        samples that are called positive, smoothed: see ``log_odds``.
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
        self.folder: Path | None = None
        self.watch: Watch | None = None
        self.name, self.rows = "", ""
        self.dead = np.empty(0, int)
        with seeded(seed, torch.device("cpu")):
            tried = network(2, **self.settings)  # refuses settings out of range
        self.is_solid = any(isinstance(part, nn.Conv3d) for part in tried.modules())

    def check(self) -> None:
        """Refuse a precision that the device does not do well: ConfigError."""
        if self.is_solid:
            check_solid(self.training, self.device)

    def keep_in(self, folder: Path) -> None:
        """Keep a checkpoint of every epoch in a folder, and go on from one there."""
        self.folder = folder

    def show_as(self, name: str) -> None:
        """Show how training goes under this name, if it is seen on a terminal."""
        self.name = name

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
        check_classes(np.asarray(y, int))
        self.check()
        self.order = canonical_order(x, np.asarray(y, int))
        x, y = take(x, self.order), np.asarray(y, int)[self.order]
        ordered = None if valid is None else _ordered(*valid)
        self.dead = dead_regions(x)
        self.rows = digest_of((x, y), ordered) if self.folder is not None else ""
        with seeded(self.seed, self.device), shown(self.name) as self.watch:
            self._build(int(next(iter(x)).shape[-1]))
            self._begin(x, y)
            train, stop = self._parts(x, y, ordered)
            learned = learn(
                self.network,
                train,
                self.training,
                valid=stop,
                checkpoint=self._checkpoint("fit"),
                watch=self.watch,
            )
            self._finish(x, y)
        self.history, self.epoch = learned.history, learned.epoch
        if valid is not None:
            self.held = (self.decide(valid[0]), np.asarray(valid[1], int))
        return self

    def held_out(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return logits and truth of the validation part.

        With the monitor 'last' these people chose nothing: they serve the
        calibration and the curves. With any other they chose the epoch, which
        was kept because it suits them: a temperature learned from them is
        optimistic.
        """
        return self.held

    def decide(self, x: Any) -> np.ndarray:
        """Return the log odds of class 1, finite, float64 of shape (n,)."""
        if not len(x):
            return np.empty(0)
        samples = self.samples(x)
        return log_odds(self._odds(samples), samples.person, self.score)

    def predict_score(self, x: Any) -> np.ndarray:
        """Return the score of class 1 the network gives, uncalibrated."""
        return expit(self.decide(x))

    def embed(self, x: Any) -> np.ndarray:
        """Return what the last layer of the network reads of each person.

        Returns
        -------
        embedded : float32 array of shape (n, d)
            The mean over a person's samples.

        Raises
        ------
        FitError
            This network has no ``embed``.
        """
        if not hasattr(self.network, "embed"):
            raise FitError(
                f"{type(self.network).__name__} has no embedding, which harmonization"
                " behind a network takes. Give --harmonize none or another model."
            )
        samples = self.samples(x)
        exactly = replace(self.training, precision="float32")  # others learn from them
        each = self._said(self.network.embed, samples, exactly).double().numpy()
        sums = np.zeros((len(x), each.shape[1]))
        np.add.at(sums, samples.person, each)
        counts = np.bincount(samples.person, minlength=len(x))
        embedded: np.ndarray = (sums / counts[:, None]).astype(np.float32)
        return embedded

    def notes(self) -> dict[str, Any]:
        """Return the kept epoch and the measures of all, as JSON values."""
        return {
            "epoch": self.epoch,
            "monitor": self.training.monitor,
            "n_dead_regions": len(self.dead),
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
            "dead_regions": self.dead.tolist(),
        }

    def load(self, folder: Path, settings: dict[str, Any]) -> "TorchClassifier":
        """Restore a saved model."""
        self.training = Training(**settings["training"])
        self.score, self.settings = settings["score"], restored(settings["network"])
        self.dead = np.array(settings["dead_regions"], int)
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

    def _begin(self, x: Any, y: np.ndarray) -> None:
        """Do what comes before the training, with the training rows only.

        They are in canonical order, which is ``order`` of the rows as they came.
        """

    def _finish(self, x: Any, y: np.ndarray) -> None:
        """Do what comes after the training, with the training rows only."""

    def _parts(
        self, x: Any, y: np.ndarray, valid: tuple[Any, np.ndarray] | None
    ) -> tuple[Part, Part | None]:
        """Return training and validation; both weigh classes as training asks."""
        samples = self.samples(x)
        weight = balanced(samples, y, self.training)
        train = Part(samples, y, weight[y])
        if valid is None:
            return train, None
        truth = np.asarray(valid[1], int)
        return train, Part(self.samples(valid[0]), truth, weight[truth])

    def _checkpoint(self, phase: str) -> Checkpoint | None:
        """Return the file of a phase of the training, None if none is kept."""
        if self.folder is None:
            return None
        path = self.folder / f"{phase}.safetensors"
        return Checkpoint(path=path, rows=self.rows, settings=self.settings)

    def samples(self, x: Any) -> Samples:
        """Return samples in which regions that are dead in training are 0."""
        samples: Samples = self.network.samples(x)
        if not len(self.dead):
            return samples
        return Muted(samples, self.dead, self.width)

    def _build(self, width: int) -> None:
        self.width = width
        self.network: Any = self.make(width, **self.settings).to(self.device)

    def _odds(self, samples: Samples) -> np.ndarray:
        """Return the log odds of class 1 of samples, float64 of shape (n_samples,)."""
        wide = self._said(self.network, samples).double()
        return (wide[:, 1] - wide[:, 0]).numpy()

    def _said(
        self,
        say: Callable[[Any], Tensor],
        samples: Samples,
        training: Training | None = None,
    ) -> Tensor:
        """Return what a part of the network says of samples, on the CPU."""
        training = training or self.training
        self.network.eval()
        times = getattr(samples, "evaluated", EVALUATED)
        said, size = [], max(1, int(times * self.training.batch_size))
        with torch.inference_mode(), exact(self.device):
            for start in range(0, len(samples), size):
                which = np.arange(start, min(start + size, len(samples)))
                batch = moved(samples.batch(which), self.device)
                with products(training, self.device):
                    said.append(say(batch).cpu())
        return torch.cat(said)


def _ordered(x: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return rows in the order that does not depend on how they came."""
    y = np.asarray(y, int)
    order = canonical_order(x, y)
    return take(x, order), y[order]
