"""Networks of volumes: time folded into the batch, reading from a disk, and memory.

loop: samples a second of training steps (forward, backward, optimizer) of
   resnet3d-b-bilstm on 20 volumes of 34 x 34 x 34, with time folded into the batch,
   and of the same network in a loop over the 20 steps, which take turns. The loop runs
   twice: with the network's own first layers and with plain ones; the faster counts.
   The aim is judged at the batch size that the variant has; smaller ones are shown.
   A loop at batch 32 gives its kernels 32 volumes at a time, which keep a core's
   multipliers busy: the line on products says what no network can pass. Folding pays
   where a step of the loop is small: at batches of 1 and 2, or on a GPU.

streaming: whole epochs of resnet3d-a-bilstm from the HDF5 store and from memory, which
   take turns: the same network, samples and batches, one process of one thread. The
   store keeps nothing (``kept``: all that may be kept, read before); the system is
   told to forget the file before each epoch, so that it is read from the disk.
memory: the most memory of a process that stores --people people of 20 volumes of
   34 x 34 x 34, and of one that fits resnet3d-a-bilstm to them for an epoch, a tenth
   of them watching. The store goes to --folder, and is removed.

    OMP_NUM_THREADS=1 python benchmarks/volumes.py
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NAME, SIZE, N_STEPS = "resnet3d-b-bilstm", 34, 20
BATCHES = (1, 2, 8, 32)  # the last is the variant's own
FASTER = 2.0  # the aim, times a loop
READ, N_READ, COSTS = "resnet3d-a-bilstm", 64, 1.15  # people, and the aim, times memory
MOST_GB = 1.5  # the aim


def verdict(passed: bool, text: str) -> bool:
    print(f"{'PASS' if passed else 'FAIL'}: {text}")
    return passed


def contenders() -> tuple[Any, dict[str, Callable[[Any, Any], Any]]]:
    """Return a network, and how it turns a batch into features: (B, T, F)."""
    import torch

    from bidsclf.models._base import find
    from bidsclf.models._blocks import fold, unfold

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = find(NAME).make()
    network = model.make(SIZE, **model.settings).train()
    cnn, lean = network.cnn, network.cnn.stem.forward

    def looped(x: Any, lengths: Any) -> Any:
        return torch.stack([cnn(x[:, t : t + 1]) for t in range(N_STEPS)], dim=1)

    def plain(x: Any, lengths: Any) -> Any:
        cnn.stem.forward = cnn.stem.plain
        try:
            return looped(x, lengths)
        finally:
            cnn.stem.forward = lean

    return network, {
        "time in the batch": lambda x, n: unfold(cnn(fold(x, n).unsqueeze(1)), n),
        "loop": looped,
        "loop, plain first layers": plain,
    }


def stepper(network: Any, batch: int) -> Callable[[Any], float]:
    """Return what trains a step with given features, and tells processor seconds."""
    import torch
    from torch.nn import functional as F

    x = torch.randn(batch, N_STEPS, SIZE, SIZE, SIZE)
    lengths, y = torch.full((batch,), N_STEPS), torch.arange(batch) % 2
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def step(features: Callable[[Any, Any], Any]) -> float:
        start = time.process_time()
        optimizer.zero_grad()
        states = network.brnn(features(x, lengths), lengths)
        odds = network.dense(network.dropout(states))[:, 0]
        F.binary_cross_entropy_with_logits(odds, y.float()).backward()
        optimizer.step()
        return time.process_time() - start

    return step


def loop(given: argparse.Namespace) -> bool:
    """Return whether time in the batch is fast enough."""
    network, how = contenders()
    print(f"{NAME}, samples/s of one core: " + ", ".join(how))
    for batch in BATCHES:
        step, n = stepper(network, batch), max(1, 8 // batch)
        rates = []
        for _ in range(given.rounds + 1):  # the first is not counted
            took = [sum(step(one) for _ in range(n)) for one in how.values()]
            rates.append([batch * n / one for one in took])
        middle = np.median(rates[1:], axis=0)
        ratio = np.median([row[0] / max(row[1:]) for row in rates[1:]])
        told = "".join(f"{rate:9.2f}" for rate in middle)
        print(f"batch {batch:3}{told}    {ratio:.2f} x the faster loop")
    print(f"products alone at this core's peak: {ceiling(network):.1f} samples/s")
    text = f"{ratio:.2f} x a loop over time at batch {batch}, aim {FASTER} x"
    return verdict(bool(ratio >= FASTER), text)


def ceiling(network: Any) -> float:
    """Return samples/s of a core that does nothing but the convolutions' products.

    Forward, and backward to weights and, save of the first one, to inputs; what a
    kernel multiplies with the zeros around a map is counted, as a kernel does it.
    """
    import torch
    from torch import nn

    square, times = torch.ones(1024, 1024), []
    for _ in range(20):
        start = time.process_time()
        square @ square
        times.append(time.process_time() - start)
    products: list[float] = []

    def count(layer: Any, _: Any, out: Any) -> None:
        passes = 2 if layer.in_channels == 1 else 3
        products.append(passes * out[0, 0].numel() * layer.weight.numel())

    hooks = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, nn.Conv3d)
    ]
    with torch.no_grad():
        network.cnn.eval()(torch.zeros(1, 1, SIZE, SIZE, SIZE))
    network.train()
    for hook in hooks:
        hook.remove()
    return 1024**3 / min(times) / (N_STEPS * sum(products))


class Made:
    """Random images, made one at a time."""

    def __init__(self, n: int) -> None:
        self.shapes = [(N_STEPS, SIZE, SIZE, SIZE)] * n

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, at: int) -> np.ndarray:
        rng = np.random.default_rng(at)
        return rng.standard_normal(self.shapes[at], np.float32) + 0.1 * (at % 2)


def streaming(given: argparse.Namespace) -> bool:
    """Return whether an epoch from the store costs little more than from memory."""
    import torch

    from bidsclf.models._base import find
    from bidsclf.models._loop import learn
    from bidsclf.models._rows import load_rows, save_rows
    from bidsclf.models._training import Part
    from bidsclf.models._volumes import Volumes

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = find(READ).make(n_epochs=1)
    network = model.make(SIZE, **model.settings)
    y, weight = np.arange(N_READ) % 2, np.ones(N_READ)
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        folder = Path(made)
        save_rows(folder, Volumes.of(Made(N_READ)))
        held = load_rows(folder)
        sources = {
            "memory": Volumes.of(list(held)),
            "store": load_rows(folder, 0),
            "kept": load_rows(folder, 2**30),
        }
        took: dict[str, list[float]] = {name: [] for name in sources}
        for _ in range(given.rounds + 1):  # the first is not counted
            for name, rows in sources.items():
                _forget(next(folder.iterdir()))
                start = time.perf_counter()
                learn(network, Part(network.samples(rows), y, weight), model.training)
                took[name].append(time.perf_counter() - start)
    memory = np.array(took["memory"][1:])
    for name, times in took.items():
        ratio = np.median(np.array(times[1:]) / memory)
        print(f"{name:8} {N_READ / np.median(times[1:]):6.2f} people/s  {ratio:.3f} x")
    ratio = float(np.median(np.array(took["store"][1:]) / memory))
    text = f"an epoch from the store takes {ratio:.3f} x one from memory, aim {COSTS} x"
    return verdict(ratio <= COSTS, text)


def _forget(path: Path) -> None:
    """Let the system drop what it keeps of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def memory(given: argparse.Namespace) -> bool:
    """Return whether processes that store and fit many people stay small."""
    passed = []
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for step in (store, epoch):
            code = (
                f"import volumes; volumes.{step.__name__}({folder!r}, {given.people})"
            )
            subprocess.run(
                [sys.executable, "-c", code], check=True, cwd=Path(__file__).parent
            )
        n_bytes = sum(path.stat().st_size for path in Path(folder).iterdir())
        told = [float(line) for line in Path(folder, "told").read_text().split()]
    for name, peak in zip(("storing", "an epoch of fitting"), told, strict=True):
        text = (
            f"{name} {given.people} people ({n_bytes / 1e9:.1f} GB on the disk) takes"
            f" {peak:.2f} GB of memory, aim below {MOST_GB}"
        )
        passed.append(verdict(peak < MOST_GB, text))
    return all(passed)


def store(folder: str, n: int) -> None:
    """Store people, and note the most memory this process had."""
    from bidsclf.models._rows import save_rows
    from bidsclf.models._volumes import Volumes

    start = time.perf_counter()
    save_rows(Path(folder), Volumes.of(Made(n)))  # type: ignore[arg-type]
    _note(folder, f"stored in {time.perf_counter() - start:.0f} s")


def epoch(folder: str, n: int) -> None:
    """Fit for an epoch, and note the most memory this process had."""
    import torch

    from bidsclf.models._base import find
    from bidsclf.models._rows import load_rows

    torch.set_num_threads(1)
    rows, y, few = load_rows(Path(folder)), np.arange(n) % 2, max(2, n // 10)
    model = find(READ).make(n_epochs=1)
    start = time.perf_counter()
    model.fit(rows[np.arange(few, n)], y[few:], (rows[np.arange(few)], y[:few]))
    _note(folder, f"fitted in {time.perf_counter() - start:.0f} s")


def _note(folder: str, what: str) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"{what}, at most {peak:.2f} GB", flush=True)
    with Path(folder, "told").open("a") as file:
        file.write(f"{peak}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--people", type=int, default=4000, help="of the part memory")
    parser.add_argument("--folder", type=Path, help="on a disk with 14 GB to spare")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args()
    print(f"python {' '.join(sys.argv)}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    passed = [PARTS[name](given) for name in given.only]
    return 0 if all(passed) else 1


PARTS: dict[str, Callable[[argparse.Namespace], bool]] = {
    "loop": loop,
    "streaming": streaming,
    "memory": memory,
}

if __name__ == "__main__":
    sys.exit(main())
