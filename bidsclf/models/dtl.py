"""Deep transfer learning: a network that has learned connectomes of other people."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bidsclf.errors import ConfigError, InputError
from bidsclf.models._arithmetic import seeded
from bidsclf.models._autoencoder import (
    Penalties,
    SparseAutoencoder,
    Stack,
    Vectors,
    unit_interval,
)
from bidsclf.models._base import Variant
from bidsclf.models._checkpoint import Checkpoint, digest_of
from bidsclf.models._classifier import TorchClassifier
from bidsclf.models._loop import learn
from bidsclf.models._rows import Edges, canonical_order, edges
from bidsclf.models._training import (
    Losses,
    Part,
    Training,
    choices_of,
    settings_of,
)

TRAINING = Training(patience=20)
PENALTIES = {"rho": 0.05, "beta": 1.0, "decay": 1e-3}
SOURCE = {"source_epochs": (10, 200), "source_batch": 32, "source_rate": 3e-3}


class DeepNetwork(nn.Module):
    """Layers of sigmoid units over the edges, then a softmax over two classes.

    Parameters
    ----------
    n_edges : int
    layers : tuple of int
        Units of each layer.
    """

    baseline = 0.5  # what an edge of no correlation is to it

    def __init__(self, n_edges: int, *, layers: tuple[int, ...] = (100, 50)):
        super().__init__()
        self.encoders = Stack(n_edges, layers)
        self.head = nn.Linear(layers[-1], 2)

    @staticmethod
    def samples(rows: Edges) -> Vectors:
        """Return a sample a person."""
        return Vectors(unit_interval(rows))

    def forward(self, batch: tuple[Tensor]) -> Tensor:
        """Return logits of shape (B, 2)."""
        return self.head(self.encoders(batch[0]))

    def loss(self, batch: tuple[Tensor], y: Tensor, weight: Tensor) -> Losses:
        """Return the mean cross-entropy of people, weighted by class."""
        logits = self(batch)
        each = F.cross_entropy(logits, y, reduction="none")
        return Losses((weight * each).mean(), logits, {})


class TransferClassifier(TorchClassifier):
    """A deep network whose layers come from people outside the study.

    Sparse autoencoders learn the connectomes of the source people, layer by layer
    and without a label; with a softmax layer on top the whole is then trained on
    the training people, with early stopping. Without source people the layers
    learn from the training people of class 0, and ``notes`` says so.

    Parameters
    ----------
    layers : tuple of int
        Units of each layer.
    seed : int
    **settings
        ``rho``, ``beta``, ``decay`` as in ``Penalties``; of the pre-training,
        ``source_epochs`` of each layer, the last number for all further ones,
        ``source_batch`` and ``source_rate``; the rest is ``TorchClassifier``'s.

    References
    ----------
    Li, Parikh and He (2018), Frontiers in Neuroscience 12, 491,
    doi:10.3389/fnins.2018.00491.
    Assumptions, not verified with the paper: two layers of 100 and 50 units; rho,
    beta and decay are the defaults of MATLAB's trainAutoencoder (recalled). Ours:
    epochs and rate of the pre-training, by what it left of the error of controls
    of ABIDE, the benchmarks' sites among them (no label was used). Controls of Yale
    and Leuven alone would take a slower first layer (benchmarks/RESULTS.md); the
    values were not changed for it. Patience, by Yale and Leuven.
    Departures: Adam on batches in place of a gradient over everyone; correlations
    are put on [0, 1] as (r + 1) / 2, which learns nothing, in place of each edge's
    range over people; classes weigh the same; early stopping. Rows are never
    harmonized: source people are not of the study's sites.
    """

    def __init__(
        self, *, layers: tuple[int, ...] = (100, 50), seed: int = 0, **settings: Any
    ) -> None:
        if not layers or min(layers) < 1:
            raise ConfigError(
                f"layers is {','.join(map(str, layers))!r}; it takes one or more"
                " units a layer, such as 100,50."
            )
        own = {k: settings.pop(k, v) for k, v in (PENALTIES | SOURCE).items()}
        super().__init__(DeepNetwork, TRAINING, seed=seed, layers=layers, **settings)
        self.penalties = Penalties(**{name: own[name] for name in PENALTIES})
        self.pretraining = _pretraining(self.training, own)
        self.source: Stack | None = None
        self.told: dict[str, Any] = {}

    def learn_from(self, x: Edges) -> "TransferClassifier":
        """Pre-train the layers on people outside the study; no label is told.

        The layers depend on these rows and the seed alone, in whatever order.

        Raises
        ------
        InputError
            There are fewer than two of them.
        """
        if len(x) < 2:
            raise InputError(
                f"{len(x)} source people; the layers of dtl learn from two or more."
                " Widen --source, or leave it out."
            )
        self.source = self._pretrained(x, "people outside the study")
        return self

    def notes(self) -> dict[str, Any]:
        """Return the course of the training, and of the pre-training."""
        return super().notes() | {"pretraining": self.told}

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the weights."""
        return super().save(folder) | {"penalties": asdict(self.penalties)}

    def load(self, folder: Path, settings: dict[str, Any]) -> "TransferClassifier":
        """Restore a saved model."""
        super().load(folder, settings)
        self.told = settings["pretraining"]
        self.penalties = Penalties(**settings["penalties"])
        return self

    def _begin(self, x: Edges, y: np.ndarray) -> None:
        """Put the pre-trained layers into a network that is about to learn."""
        layers = self.source
        if layers is None:
            layers = self._pretrained(x[y == 0], "training people of class 0")
        if layers.n_values != self.width:
            raise InputError(
                f"source people have {layers.n_values} edges, those of the study"
                f" {self.width}; both take the same atlas. Prepare them again."
            )
        self.network.encoders.load_state_dict(layers.state_dict())

    def _pretrained(self, x: Edges, who: str) -> Stack:
        """Return layers that learned from rows, greedily, and tell of it."""
        unlabelled = np.zeros(len(x), int)
        x = x[canonical_order(x, unlabelled)]
        rows = f"{digest_of((x, unlabelled))} {self.penalties}"
        values = unit_interval(x).to(self.device)
        with seeded(_seed(self.seed, 0), self.device):
            layers = Stack(values.shape[1], self.settings["layers"]).to(self.device)
        self.told = {"people": who, "n_people": len(x), "layers": []}
        for number, encoder in enumerate(layers.encoders(), start=1):
            training = self.pretraining[min(number, len(self.pretraining)) - 1]
            part = Part(Vectors(values.cpu()), unlabelled, np.ones(len(x)))
            with seeded(_seed(self.seed, number), self.device):
                one = SparseAutoencoder(encoder, values, self.penalties)
                file = self._layer_file(number, rows)
                told = learn(one, part, training, checkpoint=file, watch=self.watch)
            entries = {"first": told.history[0], "last": told.history[-1]}
            self.told["layers"].append(entries)
            with torch.inference_mode():
                values = encoder(values)
        return layers

    def _layer_file(self, number: int, rows: str) -> Checkpoint | None:
        if self.folder is None:
            return None
        return Checkpoint(path=self.folder / f"layer-{number}.safetensors", rows=rows)


def _pretraining(training: Training, own: dict[str, Any]) -> list[Training]:
    """Return how each layer is pre-trained; decay is a part of its loss."""
    try:
        if not own["source_epochs"]:
            raise ConfigError("source_epochs is empty; it takes a number a layer.")
        return [
            Training(
                n_epochs=n_epochs,
                batch_size=own["source_batch"],
                learning_rate=own["source_rate"],
                weight_decay=0.0,
                precision=training.precision,
            )
            for n_epochs in own["source_epochs"]
        ]
    except ConfigError as error:
        raise ConfigError(f"pre-training ({', '.join(SOURCE)}): {error}") from error


def _seed(seed: int, phase: int) -> int:
    """Return the seed of a phase, so that none depends on how another ended."""
    return int(np.random.SeedSequence([seed, phase]).generate_state(1)[0])


VARIANTS = {
    "dtl": Variant(
        input="fisherz",
        prepare=edges,
        make=TransferClassifier,
        needs_valid=True,
        settings=settings_of(TRAINING, layers=(100, 50), **PENALTIES, **SOURCE),
        choices=choices_of(),
        source=True,
        explained=("gradient",),
    )
}
