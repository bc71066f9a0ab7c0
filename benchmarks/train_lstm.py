"""Training lstm-dg: its speed against Keras, and its memory.

1. Samples a second of whole epochs (order, batches, forward, backward, optimizer,
   projection, losses) of our loop and of Keras on each of its backends: the same
   network, constraint, optimizer and batch size. Each contender is a process of one
   thread on one core; all take turns, an epoch each. Keras holds its windows in
   memory, ready made, and reports the loss alone. Needs the extra ``bench``.
2. Memory of an epoch over every window of NYU's people, beside their series.

    OMP_NUM_THREADS=1 python benchmarks/train_lstm.py
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Epoch = tuple[Callable[[], object], int]
NAME = "lstm-dg"
WINDOW, N_REGIONS, N_VOLUMES = 30, 116, 176
N_HIDDEN, N_SECOND, BATCH, RATE, BALANCE, DROPOUT = 50, 20, 32, 1e-3, 0.1, 0.5
N_NYU, FASTER, SPARE_MB = 175, 2.5, 200.0  # the last two are the aims
EVERY = {"n_epochs": 1, "per_person": 0, "weight_decay": 0.0}  # an epoch, all windows
OURS = {"ours": "float32", "ours, bf16 products": "bf16"}  # the claim is the first's
KERAS = {  # contender: backend, its module, compile(**options)
    "keras tensorflow": ("tensorflow", {"jit_compile": False}),
    "keras tensorflow, XLA": ("tensorflow", {"jit_compile": True}),
    "keras jax": ("jax", {"jit_compile": True}),
    "keras jax, 10 steps": ("jax", {"jit_compile": True, "steps_per_execution": 10}),
    "keras torch": ("torch", {"jit_compile": False}),
}
ALONE = {  # one thread, whichever library reads it
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("BIDSCLF_SHARED", ROOT.parent / "shared"))


def verdict(passed: bool, text: str) -> bool:
    print(f"{'PASS' if passed else 'FAIL'}: {text}")
    return passed


def people(n: int) -> list[np.ndarray]:
    """Return random series: n of (N_VOLUMES, N_REGIONS)."""
    shape = (n, N_VOLUMES, N_REGIONS)
    return list(np.random.default_rng(0).normal(size=shape).astype(np.float32))


def our_model() -> tuple[Any, list[int]]:
    """Return our variant, and a list that gets the size of each batch it takes."""
    import torch

    from bidsclf.models import _base, _windows

    torch.set_num_threads(1)
    seen, of = [], _windows.Windows
    take = of.batch
    of.batch = lambda self, which: seen.append(len(which)) or take(self, which)
    return _base.find(NAME), seen


def our_epoch(name: str, n: int) -> Epoch:
    """Return a fit of our model, start to end, and its number of windows."""
    (variant, seen), n_windows = our_model(), n * (N_VOLUMES - WINDOW + 1)
    x, y = variant.prepare(people(n)), np.arange(n) % 2
    given = EVERY | {"batch_size": BATCH, "learning_rate": RATE}

    def epoch() -> None:
        seen.clear()
        variant.make(**given, precision=OURS[name]).fit(x, y)
        assert sum(seen) == n_windows, f"{sum(seen)} windows, not {n_windows}"

    return epoch, n_windows


def keras_epoch(name: str, n: int) -> Epoch:
    """Return an epoch of the same network in Keras, and its number of windows."""
    backend, options = KERAS[name]
    os.environ["KERAS_BACKEND"] = backend
    import keras
    from keras import layers

    if backend == "torch":
        import torch

        torch.set_num_threads(1)
    at = layers.Input((WINDOW, N_REGIONS))
    hidden, _, cell = layers.LSTM(
        N_HIDDEN, return_sequences=True, return_state=True, kernel_constraint="non_neg"
    )(at)
    states = layers.LSTM(N_SECOND, return_sequences=True)(hidden)
    each = layers.Dropout(DROPOUT)(layers.Dense(1)(layers.Dropout(DROPOUT)(states)))
    odds = layers.GlobalAveragePooling1D()(each)
    said = layers.Activation("sigmoid", name="label")(odds)
    guess = layers.Dense(N_REGIONS, kernel_constraint="non_neg", name="after")
    made = guess(layers.Dropout(DROPOUT)(cell))
    model = keras.Model(at, {"label": said, "after": made})
    model.compile(
        optimizer=keras.optimizers.Adam(RATE),
        loss={"label": "binary_crossentropy", "after": "mse"},
        loss_weights={"label": BALANCE, "after": 1.0},
        **options,
    )
    x, target = ready(n)
    given = {"batch_size": BATCH, "epochs": 1, "shuffle": True, "verbose": 0}
    return lambda: model.fit(x, target, **given), len(x)


def ready(n: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return every window as a copy, its label and the volume after it."""
    view = np.lib.stride_tricks.sliding_window_view
    series = np.stack(people(n))  # (n, N_VOLUMES, R)
    windows = view(series, WINDOW, axis=1).transpose(0, 1, 3, 2)
    x = np.ascontiguousarray(windows).reshape(-1, WINDOW, N_REGIONS)
    after = np.concatenate([series[:, WINDOW:], series[:, :1]], axis=1)
    label = np.repeat(np.arange(n) % 2, windows.shape[1]).astype(np.float32)
    return x, {"label": label[:, None], "after": after.reshape(-1, N_REGIONS)}


def work(name: str, n: int) -> None:
    """Be a contender: train an epoch a line of stdin; write seconds, wall and cpu."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    epoch, n_windows = our_epoch(name, n) if name in OURS else keras_epoch(name, n)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        epoch()
        took = (time.perf_counter() - wall, time.process_time() - cpu)
        print(json.dumps([n_windows / one for one in took]), flush=True)


class Contender:
    """A process that trains one epoch when asked."""

    def __init__(self, name: str, n: int) -> None:
        self.name, pipe = name, subprocess.PIPE
        command = [sys.executable, __file__, "--work", name, "--people", str(n)]
        ends = {"stdin": pipe, "stdout": pipe, "stderr": subprocess.DEVNULL}
        env = os.environ | ALONE
        self.process = subprocess.Popen(command, text=True, env=env, **ends)

    def epoch(self) -> list[float] | None:
        """Return samples a second, of wall and of processor time; None if it died."""
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def end(self) -> None:
        """Let it go."""
        self.process.stdin.close()
        self.process.wait()


def duel(n: int, n_rounds: int) -> bool:
    """Let all train in turn; return whether ours is fast enough.

    Each contender has one core, so that on an idle machine wall and processor time
    are the same; on a busy one the smaller of both ratios counts.
    """
    if find_spec("keras") is None:
        print("Keras is not installed: speed is not measured. pip install '.[bench]'")
        return True
    names = [name for name, (module, _) in KERAS.items() if find_spec(module)]
    all_of = [Contender(name, n) for name in (*OURS, *names)]
    first = {one.name: one.epoch() for one in all_of}  # compiles; not counted
    dead = [name for name, rate in first.items() if rate is None]
    print("does not run here, left out:", ", ".join(dead) or "none")
    if "ours" in dead:
        return verdict(False, "ours does not run: try --work ours, and press enter")
    runs = [one for one in all_of if first[one.name] is not None]
    rates = np.array([[one.epoch() for one in runs] for _ in range(n_rounds)])
    for one in runs:
        one.end()
    return compare([one.name for one in runs], rates)


def ceiling() -> float:
    """Return samples/s of a core that does nothing but the network's products.

    Of each weight: forward, and backward to it and to its input, save the regions.
    """
    import torch

    torch.set_num_threads(1)
    square, times = torch.ones(1024, 1024), []
    for _ in range(20):
        start = time.process_time()
        square @ square
        times.append(time.process_time() - start)
    peak = 2 * len(square) ** 3 / min(times)
    outer = N_REGIONS * 4 * N_HIDDEN
    inner = (N_HIDDEN + N_SECOND) * 4 * N_SECOND + N_HIDDEN * 4 * N_HIDDEN
    return peak / (2 * WINDOW * (2 * outer + 3 * inner))


def compare(names: list[str], rates: np.ndarray) -> bool:
    """Print the rates, (rounds, contenders, 2), and judge the first contender."""
    ratios = np.median(rates[:, :1] / rates, axis=0)
    print(f"{'':28}samples/s: wall, processor    ours is faster: wall, processor")
    for name, rate, ratio in zip(names, np.median(rates, axis=0), ratios, strict=True):
        print(f"{name:28}{rate[0]:15.0f}{rate[1]:11.0f}", end="")
        print(f"{ratio[0]:22.2f}{ratio[1]:11.2f}")
    peers = {n: r.min() for n, r in zip(names, ratios, strict=True) if n not in OURS}
    print(f"products alone at this core's peak: {ceiling():.0f} samples/s")
    best = min(peers, key=peers.__getitem__)
    text = f"{peers[best]:.2f} x {best}, the fastest of Keras; aim {FASTER} x"
    return verdict(bool(peers[best] >= FASTER), text)


def nyu() -> tuple[list[np.ndarray], str]:
    """Return the series of NYU's people, or random ones of that number."""
    abide = SHARED / "data" / "abide"
    folder = abide / "Outputs/cpac/filt_global/rois_cc200"
    if not folder.is_dir():
        return people(N_NYU), "random"
    table = pd.read_csv(abide / "Phenotypic_V1_0b_preprocessed1.csv")
    of = table.loc[table["SITE_ID"] == "NYU", "FILE_ID"]
    files = [path for name in of if (path := folder / f"{name}_rois_cc200.1D").exists()]
    series = [pd.read_csv(path, sep="\t").to_numpy(np.float32) for path in files]
    spread = [np.where(one.std(axis=0) > 0, one.std(axis=0), 1) for one in series]
    pairs = zip(series, spread, strict=True)
    return [(one - one.mean(axis=0)) / by for one, by in pairs], "ABIDE, CC200"


def remember() -> None:
    """Train an epoch on NYU's windows, a tenth for validation; write MB as JSON."""
    (series, what), (variant, seen) = nyu(), our_model()
    size, shapes = sum(one.nbytes for one in series), [one.shape for one in series]
    before = resident() - size
    x, y = variant.prepare(series), np.arange(len(series)) % 2
    del series
    valid, train = np.split(np.arange(len(y)), [len(y) // 10])
    variant.make(**EVERY).fit(x[train], y[train], (x[valid], y[valid]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert sum(seen) >= sum(t - WINDOW + 1 for t, _ in shapes), "some windows not seen"
    windows = sum(4 * (t - WINDOW + 1) * WINDOW * r for t, r in shapes)
    found = {"before": before, "series": size, "peak": peak, "windows": windows}
    mb = {key: value / 1e6 for key, value in found.items()}
    print(json.dumps(mb | {"of": f"{len(y)} people x {shapes[0][1]} regions ({what})"}))


def resident() -> int:
    statm = Path("/proc/self/statm").read_text()
    return int(statm.split()[1]) * resource.getpagesize()


def memory() -> bool:
    command = [sys.executable, __file__, "--work", "memory"]
    mb = json.loads(subprocess.check_output(command, env=os.environ | ALONE))
    print(
        f"\n{mb['of']}: series {mb['series']:.0f} MB, all windows {mb['windows']:.0f}"
    )
    print(f"process before {mb['before']:.0f} MB, at its peak {mb['peak']:.0f} MB")
    more = mb["peak"] - mb["before"] - mb["series"]
    return verdict(more <= SPARE_MB, f"{more:.0f} MB beside them, aim {SPARE_MB:.0f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.people) if given.work != "memory" else remember()
        return 0
    print(f"python {' '.join(sys.argv)}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    passed = [PARTS[name](given) for name in given.only]
    return 0 if all(passed) else 1


PARTS: dict[str, Callable[[argparse.Namespace], bool]] = {
    "speed": lambda given: duel(given.people, given.rounds),
    "memory": lambda _: memory(),
}

if __name__ == "__main__":
    sys.exit(main())
