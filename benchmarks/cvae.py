"""Autoencoders of maps: an epoch's time and memory, small and published.

Epochs on --people people, half of them patients, from the store, in turn, one process
of one thread each: cvae, once with everyone and once as in its first epochs, in which
controls alone teach; cvae-published at the small width, and as it is, whose rounds are
--published. What an epoch takes is the median; the first is not counted. The most
memory is of the whole process.
The store goes to --folder, and is removed.

    OMP_NUM_THREADS=1 python benchmarks/cvae.py
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZE, MOST_S, MOST_GB = 64, 2.0, 2.0  # the aims: a batch, and memory
CONTENDERS: dict[str, tuple[str, dict[str, int]]] = {
    "cvae": ("cvae", {}),
    "cvae, controls alone": ("cvae", {}),
    "cvae-published at width 16": ("cvae-published", {"width": 16}),
    "cvae-published": ("cvae-published", {}),
}


def verdict(passed: bool, text: str) -> bool:
    print(f"{'PASS' if passed else 'FAIL'}: {text}")
    return passed


class Made:
    """Random maps, made one at a time."""

    def __init__(self, n: int) -> None:
        self.shapes = [(1, SIZE, SIZE, SIZE)] * n

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, at: int) -> np.ndarray:
        rng = np.random.default_rng(at)
        return rng.random(self.shapes[at], np.float32) * (0.8 + 0.2 * (at % 2))


def epochs(folder: str, name: str, n: int) -> None:
    """Train for some epochs, and print what they took as JSON."""
    import torch

    from bidsclf.models._base import find
    from bidsclf.models._loop import learn
    from bidsclf.models._pairs import Paired
    from bidsclf.models._rows import load_rows
    from bidsclf.models._training import Part

    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = load_rows(Path(folder))
    variant, changed = CONTENDERS[name]
    model = find(variant).make(n_epochs=n + 1, **changed)
    network = model.make(SIZE, **model.settings)
    n_first = 10**9 if "alone" in name else 0  # steps
    network.start(1.0, torch.full((SIZE,) * 3, 0.45), 0.3, n_first)
    y, took = np.arange(len(rows)) % 2, [time.process_time()]
    samples = Paired(rows, SIZE, model.training.batch_size // 2)
    part = Part(samples, y, np.ones(len(y)))
    stamp = lambda *_: took.append(time.process_time())  # noqa: E731
    learned = learn(network, part, model.training, watch=stamp)
    told = {
        "seconds": np.diff(took)[1:].tolist(),
        "batches": samples.n_batches(y),
        "weights": sum(one.numel() for one in network.parameters()),
        "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "loss": learned.history[-1]["train"]["loss"],
    }
    print(json.dumps(told))


def measured(folder: str, name: str, n: int) -> dict:
    """Return what ``epochs`` of a process of its own prints."""
    code = f"import cvae; cvae.epochs({folder!r}, {name!r}, {n})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout)


def main() -> int:
    from bidsclf.models._rows import save_rows
    from bidsclf.models._volumes import Volumes

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--published", type=int, default=1, help="epochs of that width")
    parser.add_argument("--folder", type=Path, help="on a disk with 1 GB to spare")
    given = parser.parse_args()
    print(f"python {' '.join(sys.argv)}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    found = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        save_rows(Path(folder), Volumes.of(Made(given.people)))  # type: ignore[arg-type]
        for name in CONTENDERS:
            n = given.published if name == "cvae-published" else given.rounds
            found[name] = one = measured(folder, name, n)
            seconds, batches = float(np.median(one["seconds"])), one["batches"]
            print(f"{name}: {one['weights'] / 1e6:.1f} M weights, at most", end=" ")
            print(f"{one['gb']:.2f} GB, {seconds:.1f} s an epoch of {batches}", end=" ")
            told = f"batches, {seconds / batches:.2f} s each, loss {one['loss']:.0f}"
            print(told, flush=True)
    small = found[next(iter(CONTENDERS))]
    batch = float(np.median(small["seconds"])) / small["batches"]
    text = f"a batch of cvae takes {batch:.2f} s of a core, aim {MOST_S}"
    passed = verdict(batch <= MOST_S, text)
    text = f"training it takes {small['gb']:.2f} GB of memory, aim below {MOST_GB}"
    return 0 if verdict(small["gb"] < MOST_GB, text) and passed else 1


if __name__ == "__main__":
    sys.exit(main())
