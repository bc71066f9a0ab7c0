"""Refit permutations of fc-svm from the one Gram matrix, on two processes.

1,000 label vectors, permuted within site and test fold, times ten folds of the
603 real people (random ones of that number where they are absent). Each is the
whole procedure, the choice of C included; some are fitted anew as a check.

    OMP_NUM_THREADS=1 python benchmarks/permutation.py
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from fc import NAME, SHARED, invented, real

from bidsclf.config import FoldConfig
from bidsclf.crossval import Recipe, fit_fold, permute_fold
from bidsclf.evaluate.permutation import label_permutations
from bidsclf.folds import Fold, make_folds
from bidsclf.models._base import prepared
from bidsclf.models._rows import load_rows, save_rows

AIM_S = 300.0
FOLDER = "permutation-rows"


def one_fold(job: tuple[Path, np.ndarray, Fold]) -> np.ndarray:
    folder, labels, fold = job
    x = load_rows(folder)
    return permute_fold(x, labels, np.arange(len(x)), fold, Recipe(variant=NAME))


def gap(x: object, labels: np.ndarray, fold: Fold, scores: np.ndarray) -> float:
    """Return the largest difference between null scores and those of a fit."""
    rows, largest = np.arange(labels.shape[1]), 0.0
    for y, found in zip(labels, scores, strict=True):
        fitted = fit_fold(x, y.astype(int), rows, fold, Recipe(variant=NAME))
        largest = max(largest, float(np.abs(fitted.scores - found).max()))
    return largest


def permuted(people: pd.DataFrame, folds: list[Fold], n: int) -> np.ndarray:
    """Return label vectors, permuted within site and test fold."""
    of = np.zeros(len(people), int)
    for number, fold in enumerate(folds):
        of[fold.test] = number
    cells = np.array([f"{s}/{f}" for s, f in zip(people["site"], of, strict=True)])
    return label_permutations(people["y"].to_numpy(), cells, n=n, seed=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument("--work", type=Path, default=Path("work"))
    given = parser.parse_args()
    is_real = (SHARED / "data" / "abide").is_dir()
    people, edges = real() if is_real else invented()
    folds = make_folds(people, FoldConfig())
    labels = permuted(people, folds, given.permutations)
    print(f"python {' '.join(sys.argv)}")
    threads = os.environ.get("OMP_NUM_THREADS", "unset")
    print(f"{os.cpu_count()} cores, OMP_NUM_THREADS = {threads}")
    print(f"{len(people)} people ({'ABIDE, CC200' if is_real else 'random'})\n")
    x = prepared(NAME, edges)
    folder = given.work / FOLDER
    save_rows(folder, x)
    jobs = [(folder, labels, fold) for fold in folds]
    start = time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        scores = list(pool.map(one_fold, jobs))
    took = (time.perf_counter() - start) * 1000 / given.permutations
    each = took / (1000 * len(folds)) * 2
    print(f"{given.permutations} x {len(folds)} fits, {1000 * each:.0f} ms a fit")
    largest = gap(x, labels[:3], folds[0], scores[0][:3])
    print(f"largest difference from a fit, of three: {largest:.1e}")
    passed = took <= AIM_S and largest < 1e-6
    scaled = "" if given.permutations == 1000 else ", scaled to 1,000"
    word = "PASS" if passed else "FAIL"
    print(f"{word}: {took:.0f} s on two processes{scaled}, aim {AIM_S:.0f} s")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
