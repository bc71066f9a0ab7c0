"""Training as a file, so that one that was killed goes on as if it had not been."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bidsclf import __version__
from bidsclf.errors import FitError
from bidsclf.models._rows import row_digests
from bidsclf.models._training import Training

State = tuple[dict[str, Tensor], dict[str, Any]]
PARTIAL = ".partial-"  # prefix of a file being written; never a checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The file of one training; replaced after each of its epochs.

    Attributes
    ----------
    path : Path
        Its folder is made when the first epoch is done.
    rows : str
        Digest of the rows and labels (``digest_of``): a file of others is ignored.
    settings : mapping
        Of the network, as JSON values: not all of them show in its weights.
    """

    path: Path
    rows: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def key(self, network: nn.Module, training: Training) -> str:
        """Return a hash of all that decides what is learned.

        These are rows and labels, the network's class and settings, how it is
        trained, the weights it starts from, which stand for the seed, and the
        versions.
        """
        kind = type(network)
        made = {
            "rows": self.rows,
            "network": f"{kind.__module__}.{kind.__qualname__}",
            "settings": dict(self.settings),
            "training": asdict(training),
            "versions": [__version__, torch.__version__],
            "device": next(network.parameters()).device.type,
            "start": _digest(network.state_dict()),
        }
        return sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()

    def write(self, key: str, state: State) -> None:
        """Put tensors and JSON values to the file, whole or not at all.

        Raises
        ------
        FitError
            The file cannot be written: a full disk, a folder that is read-only.
        """
        tensors, values = state
        tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        about = {"key": key, "values": json.dumps(values), "digest": _digest(tensors)}
        partial = self.path.with_name(f"{PARTIAL}{os.getpid()}-{self.path.name}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(save(tensors, about))
            partial.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise FitError(
                f"{self.path}: the training cannot be kept ({error.strerror or error})."
                " Make room, make the folder writable or give another one with"
                " --work-dir, and run it again: finished fits are kept."
            ) from error

    def read(self, key: str) -> State | None:
        """Return what was written with this key; None where there is nothing whole."""
        try:
            with safe_open(self.path, "pt") as file:
                about = file.metadata() or {}
                if about.get("key") != key:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if about.get("digest") != _digest(tensors):
                return None
            return tensors, json.loads(about["values"])
        except (OSError, SafetensorError, KeyError, ValueError):
            return None


def digest_of(*parts: tuple[Any, np.ndarray] | None) -> str:
    """Return a hash of parts, each of rows and labels, or None.

    Examples
    --------
    >>> rows, y = np.eye(2), np.array([0, 1])
    >>> digest_of((rows, y), None) == digest_of((rows, 1 - y), None)
    False
    """
    told = [
        None if part is None else [row_digests(part[0]), np.asarray(part[1]).tolist()]
        for part in parts
    ]
    return sha256(json.dumps(told).encode()).hexdigest()


def state_of(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return all that the next epoch depends on: weights, averages, generators."""
    tensors = named("weights", network.state_dict())
    for number, one in optimizer.state_dict()["state"].items():
        tensors |= named(f"optimizer.{number}", one)
    tensors["random.cpu"] = torch.get_rng_state()
    device = next(network.parameters()).device
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    return tensors


def restore(
    network: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Go back to what ``state_of`` returned."""
    network.load_state_dict(under("weights", tensors))
    averages: dict[int, dict[str, Tensor]] = {}
    for name, tensor in under("optimizer", tensors).items():
        number, _, one = name.partition(".")
        averages.setdefault(int(number), {})[one] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": averages, "param_groups": groups})
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors:
        device = next(network.parameters()).device
        torch.cuda.set_rng_state(tensors["random.cuda"], device)


def named(head: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with ``head.`` before their names."""
    return {f"{head}.{name}": tensor for name, tensor in tensors.items()}


def under(head: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with ``head.``, without it."""
    return {
        name.removeprefix(f"{head}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{head}.")
    }


def _digest(tensors: dict[str, Tensor]) -> str:
    found = sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        flat = tensor.detach().cpu().contiguous().view(-1)
        found.update(flat.view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
