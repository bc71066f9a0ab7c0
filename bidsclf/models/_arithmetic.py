"""How a network computes: where, in which precision, and the same each time."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from bidsclf.errors import ConfigError
from bidsclf.models._training import Training


def products(training: Training, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which a network multiplies."""
    precision = training.precision
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" else "float32"
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def check_solid(training: Training, device: torch.device) -> None:
    """Refuse a precision in which the gradients of 3D convolutions would be wrong.

    On a CPU the bf16 slopes of torch 2.13's on maps of 2 x 2 x 2 are other numbers at
    each call, NaN among them.
    """
    if device.type == "cpu" and training.precision == "bf16":
        raise ConfigError(
            "precision is bf16 and the network is trained on a CPU, where torch's 3D"
            " convolutions give wrong gradients in bf16. Take precision=auto, which is"
            " bf16 on a GPU alone, or float32."
        )


def moved(batch: tuple[Any, ...], device: torch.device) -> tuple[Any, ...]:
    """Return a batch on a device."""
    if device.type == "cpu":
        return batch
    return tuple(p.to(device) if isinstance(p, Tensor) else p for p in batch)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch inside the block, exact as well; outside all stays as it was."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), exact(device):
        torch.manual_seed(seed)
        yield


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Let a GPU give the same numbers each time, in float32; a CPU does anyway."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        torch.use_deterministic_algorithms(before)
