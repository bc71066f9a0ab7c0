"""How long the whole evaluation takes: every table that follows from predictions.

Invented predictions of 1,000 people at 20 sites by 10 models in 10 folds; 1,000
bootstraps behind each interval and 1,000 permutations of the standing scores. Each
table is timed in this one process, reading and writing left out.

    OMP_NUM_THREADS=1 python benchmarks/evaluate.py
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import expit

from bidsclf.config import FoldConfig
from bidsclf.evaluate.calibration import reliability_table, scaled
from bidsclf.evaluate.comparison import comparisons_table
from bidsclf.evaluate.confounds import confounds_table
from bidsclf.evaluate.experiment import experiment_table, roc_table
from bidsclf.evaluate.metrics import metrics_table
from bidsclf.evaluate.permutation import fixed_table
from bidsclf.folds import Fold, make_folds, to_table

AIM = 60.0  # seconds on one core
N_DRAWS = 1000  # bootstraps, and permutations


def invented(n_people: int, n_sites: int) -> pd.DataFrame:
    """Return people of unequal sites with traits, as a cohort holds them."""
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.full(n_sites, 3.0))
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{i:04d}" for i in range(n_people)],
            "y": rng.integers(2, size=n_people),
            "site": rng.choice(
                [f"site{i:02d}" for i in range(n_sites)], n_people, p=share
            ),
            "age": rng.uniform(6, 64, n_people),
            "sex": rng.choice(["male", "female"], n_people, p=[0.8, 0.2]),
            "mean_fd": rng.gamma(2, 0.1, n_people),
            "n_volumes": rng.choice([120, 180, 240], n_people),
        }
    )


def predicted(people: pd.DataFrame, folds: list[Fold], n_models: int) -> pd.DataFrame:
    """Return predictions of models between chance and good, before and after."""
    rng = np.random.default_rng(1)
    truth = people["y"].to_numpy()
    parts = []
    for model in range(n_models):
        for fold in folds:
            y = truth[fold.test]
            logit = rng.normal(size=len(y)) + 0.15 * model * (y - 0.5)
            raw = expit(logit)
            frame = people.iloc[fold.test][["participant_id", "site"]].assign(
                model=f"model-{model:02d}",
                repeat=fold.repeat,
                fold=fold.fold,
                truth=y,
                score=raw,
                probability=scaled(raw, 1.5),
                harmonized="none",
            )
            parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def tables(
    people: pd.DataFrame, rows: pd.DataFrame, folds: pd.DataFrame
) -> dict[str, Callable[[], pd.DataFrame]]:
    return {
        "metrics": lambda: metrics_table(rows, people, n_bootstrap=N_DRAWS, seed=0),
        "comparisons": lambda: comparisons_table(rows, folds),
        "permutations": lambda: fixed_table(rows, n_permutations=N_DRAWS, seed=0),
        "calibration": lambda: reliability_table(rows),
        "experiment": lambda: experiment_table(rows, folds),
        "roc": lambda: roc_table(rows),
        "confounds": lambda: confounds_table(rows, people),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--sites", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=1)
    given = parser.parse_args()
    people = invented(given.people, given.sites)
    folds = make_folds(people, FoldConfig(n_repeats=given.repeats))
    rows = predicted(people, folds, given.models)
    print(f"python {' '.join(sys.argv)}")
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, OMP_NUM_THREADS ="
        f" {os.environ.get('OMP_NUM_THREADS', 'unset')}"
    )
    print(
        f"{given.people} people, {given.sites} sites, {given.models} models,"
        f" {len(folds)} folds, {N_DRAWS} bootstraps, {N_DRAWS} permutations\n"
    )
    total = wall = 0.0
    for name, make in tables(people, rows, to_table(folds, people)).items():
        start, cpu = time.perf_counter(), time.process_time()
        table = make()
        took, used = time.perf_counter() - start, time.process_time() - cpu
        print(f"{name:14}{took:7.2f} s wall {used:7.2f} s CPU {len(table):8d} rows")
        wall, total = wall + took, total + used
    passed = max(wall, total) < AIM
    print(f"{'all':14}{wall:7.2f} s wall {total:7.2f} s CPU")
    print(f"{'PASS' if passed else 'FAIL'}: {wall:.1f} s, aim {AIM:.0f} s on one core")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
