"""Ten folds of lstm-dg by ``run.py ... group``: one process against two.

A node of the workflow fits one fold, with one thread. The ten folds are timed from
the end of the preparation to the last fold's scores; the whole command, which also
reads the cohort, trains the final model and writes the report, is printed beside.

    OMP_NUM_THREADS=1 python benchmarks/train_folds.py
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from train_lstm import ALONE, N_REGIONS, NAME, ROOT, people, verdict

AT_ONCE = 1.8  # the aim


def study(folder: Path, n: int) -> Path:
    """Write random people in the layout of ABIDE, and convert them."""
    signals = folder / "in/Outputs/cpac/filt_global/rois_aal"
    signals.mkdir(parents=True)
    names = [f"NYU_{number:07d}" for number in range(1, n + 1)]
    header = "\t".join(f"#{region}" for region in range(1, N_REGIONS + 1))
    for name, series in zip(names, people(n), strict=True):
        path = signals / f"{name}_rois_aal.1D"
        np.savetxt(path, series, "%.4f", delimiter="\t", header=header, comments="")
    table = pd.DataFrame({"FILE_ID": names, "SUB_ID": range(1, n + 1)})
    table = table.assign(SITE_ID="NYU", DX_GROUP=1 + np.arange(n) % 2)
    blank = {"HANDEDNESS_CATEGORY": "R", "EYE_STATUS_AT_SCAN": 1, "func_mean_fd": 0.1}
    table = table.assign(SEX=1, AGE_AT_SCAN=12.5, FIQ=100, **blank)
    table.to_csv(folder / "in/Phenotypic.csv", index=False)
    tool = Path(sys.executable).with_name("bidsclf-data")
    quietly(tool, "abide-pcp", folder / "in", folder / "out")
    return folder / "out"


def quietly(*command: object) -> None:
    words = [str(word) for word in command]
    env = os.environ | ALONE
    subprocess.run(words, check=True, env=env, stdout=subprocess.DEVNULL)


def ten_folds(out: Path, nprocs: int, n_epochs: int) -> tuple[float, float, float]:
    """Return seconds of a group run, of its ten folds alone, and of processors."""
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, ROOT / "run.py", out, out, "group", "-w", work]
        command += ["--target", "diagnosis", "--models", NAME, "--nprocs", nprocs]
        settings = {"n_epochs": n_epochs, "per_person": 0, "monitor": "last"}
        words = [f"{NAME}:{name}={value}" for name, value in settings.items()]
        command += ["--model-settings", *words]
        start, before = time.perf_counter(), spent()
        quietly(*command, "--analysis-id", f"with{nprocs}")
        whole, used = time.perf_counter() - start, spent() - before
        begin = next(Path(work).glob("*/notes/prepare-*.json")).stat().st_mtime
        files = Path(work).glob(f"*/scores/{NAME}_fold-*.json")
        return whole, max(path.stat().st_mtime for path in files) - begin, used


def spent() -> float:
    """Return processor seconds of the commands so far."""
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime + use.ru_stime


def folds(n: int, n_rounds: int, n_epochs: int) -> bool:
    """Run ten folds on one process and on two, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        out, taken = study(Path(folder), n), []
        for _ in range(n_rounds):
            taken.append([ten_folds(out, nprocs, n_epochs) for nprocs in (1, 2)])
            shutil.rmtree(out / "derivatives")
    middle = np.median(taken, axis=0)  # of (rounds, processes, 3)
    print(f"\n{NAME}, {n} people, ten folds of {n_epochs} epochs, random series")
    for nprocs, (whole, alone, used) in enumerate(middle, start=1):
        print(f"--nprocs {nprocs}: {whole:.1f} s, the ten folds {alone:.1f} s;", end="")
        print(f" {used:.1f} s of processors")
    each = np.array(taken)
    total, ratio, _ = np.median(each[:, 0] / each[:, 1], axis=0)
    text = f"ten folds {ratio:.2f} x faster on two cores ({total:.2f} x the whole"
    return verdict(bool(ratio >= AT_ONCE), f"{text} command), aim {AT_ONCE} x")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    print(f"python {' '.join(sys.argv)}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    return 0 if folds(given.people, given.rounds, given.epochs) else 1


if __name__ == "__main__":
    sys.exit(main())
