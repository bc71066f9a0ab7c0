"""Nested 10-fold fc-svm against scikit-learn's pipeline on raw edges.

Both choose C from the same values on the same inner folds by AUC, on one core.
scikit-learn is timed on some of the outer folds, in turn with ours on the same
folds, and scaled to all. Also printed: the accuracy and AUC that the model
reaches on real people, at one site, over all sites and leaving one out.

    OMP_NUM_THREADS=1 python benchmarks/fc.py
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from bidsclf.config import FoldConfig
from bidsclf.crossval import Recipe, fit_fold
from bidsclf.folds import Fold, make_folds
from bidsclf.models._base import prepared
from bidsclf.models._inner import inner_folds
from bidsclf.models._rows import canonical_order, take
from bidsclf.models.fc import COSTS

NAME = "fc-svm"
N_PEOPLE, N_REGIONS = 603, 200
AIM = 20.0  # times faster
ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("BIDSCLF_SHARED", ROOT.parent / "shared"))


def real() -> tuple[pd.DataFrame, np.ndarray]:
    """Return the people of nine ABIDE sites and their Fisher-z edges, CC200."""
    abide = SHARED / "data" / "abide"
    table = pd.read_csv(abide / "Phenotypic_V1_0b_preprocessed1.csv")
    table = table[table["FILE_ID"] != "no_filename"]
    folder = abide / "Outputs/cpac/filt_global/rois_cc200"
    files = [folder / f"{name}_rois_cc200.1D" for name in table["FILE_ID"]]
    is_there = [file.exists() for file in files]
    upper = np.triu_indices(N_REGIONS, k=1)
    edges = []
    for file in np.array(files, object)[is_there]:
        with np.errstate(invalid="ignore"):
            series = pd.read_csv(file, sep="\t").to_numpy()
            r = np.corrcoef(series.T)[upper]
        r = np.nan_to_num(np.clip(r, -1 + 1e-7, 1 - 1e-7))
        edges.append(np.arctanh(r).astype(np.float32))
    people = pd.DataFrame(
        {
            "participant_id": table["SUB_ID"].map("sub-{:07d}".format),
            "y": (table["DX_GROUP"] == 1).astype(int),
            "site": table["SITE_ID"],
        }
    )
    return people[is_there].reset_index(drop=True), np.array(edges)


def invented() -> tuple[pd.DataFrame, np.ndarray]:
    """Return random people of the same number with a weak planted effect."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(N_PEOPLE) % 2)
    people = pd.DataFrame(
        {
            "participant_id": [f"sub-{i:04d}" for i in range(N_PEOPLE)],
            "y": y,
            "site": rng.choice(list("ABCDEFGHI"), N_PEOPLE),
        }
    )
    n_edges = N_REGIONS * (N_REGIONS - 1) // 2
    edges = 0.2 * rng.normal(size=(N_PEOPLE, n_edges)).astype(np.float32)
    edges[:, :200] += 0.1 * y[:, None]
    return people, edges


def peer_scores(edges: np.ndarray, y: np.ndarray, fold: Fold, seed: int) -> np.ndarray:
    """Return scikit-learn's decision values of the test people."""
    train = np.concatenate([fold.train, fold.valid])
    train = train[canonical_order(take(edges, train), y[train])]
    x = edges[train].astype(np.float64)
    scale = ((x - x.mean(axis=0)) ** 2).sum(axis=1).mean()
    search = GridSearchCV(
        make_pipeline(
            StandardScaler(with_std=False),
            SVC(kernel="linear", class_weight="balanced"),
        ),
        {"svc__C": [cost / scale for cost in COSTS]},
        cv=inner_folds(y[train], np.arange(len(train)), seed),
        scoring="roc_auc",
    )
    search.fit(x, y[train])
    return search.decision_function(edges[fold.test].astype(np.float64))


def duel(people: pd.DataFrame, edges: np.ndarray, n_peer: int) -> bool:
    """Time both in turn; return whether the scores agree and the aim is met."""
    y, rows, recipe = (
        people["y"].to_numpy(),
        np.arange(len(people)),
        Recipe(variant=NAME),
    )
    folds = make_folds(people, FoldConfig())
    start = time.perf_counter()
    x = prepared(NAME, edges)
    once, ours, theirs, gap = time.perf_counter() - start, [], [], 0.0
    for number, fold in enumerate(folds):
        start = time.perf_counter()
        result = fit_fold(x, y, rows, fold, recipe)
        ours.append(time.perf_counter() - start)
        if number >= n_peer:
            continue
        start = time.perf_counter()
        expected = peer_scores(edges, y, fold, recipe.seed_of(fold))
        theirs.append(time.perf_counter() - start)
        decided = result.model.decide(x[fold.test])
        gap = max(gap, float(np.abs(decided - expected).max() / np.ptp(expected)))
    total, peer = once + sum(ours), float(np.mean(theirs)) * len(folds)
    ratio = peer / total
    print(f"ours          {total:8.1f} s  (Gram matrix {once:.1f} s, 10 outer folds)")
    print(f"scikit-learn  {peer:8.1f} s  ({n_peer} of 10 folds timed, scaled to 10)")
    print(f"largest difference of decision values: {gap:.1e} of their range")
    passed = ratio >= AIM and gap < 1e-2
    print(f"{'PASS' if passed else 'FAIL'}: {ratio:.0f} x faster, aim {AIM:.0f} x")
    return passed


def reach(people: pd.DataFrame, edges: np.ndarray, config: FoldConfig) -> str:
    """Return accuracy and AUC: their means over folds, and pooled over people."""
    y, x = people["y"].to_numpy(), prepared(NAME, edges)
    sums, each = np.zeros(len(y)), []
    for fold in make_folds(people, config):
        scores = fit_fold(x, y, np.arange(len(y)), fold, Recipe(variant=NAME)).scores
        sums[fold.test] += scores
        truth = y[fold.test]
        each.append([((scores >= 0.5) == truth).mean(), roc_auc_score(truth, scores)])
    n_repeats = 1 if config.scheme == "loso" else config.repeats
    accuracy, auc = np.mean(each, axis=0)
    pooled = ((sums / n_repeats >= 0.5) == y).mean()
    return (
        f"accuracy {accuracy:.3f}, AUC {auc:.3f} (mean of folds);"
        f" {pooled:.3f}, {roc_auc_score(y, sums):.3f} (mean score of a person)"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-folds", type=int, default=2)
    given = parser.parse_args()
    is_real = (SHARED / "data" / "abide").is_dir()
    people, edges = real() if is_real else invented()
    print(f"python {' '.join(sys.argv)}")
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, OMP_NUM_THREADS ="
        f" {os.environ.get('OMP_NUM_THREADS', 'unset')}"
    )
    kind = "ABIDE, CC200" if is_real else "random"
    print(f"{edges.shape[0]} people x {edges.shape[1]} edges ({kind})\n")
    passed = duel(people, edges, given.peer_folds)
    if is_real:
        at_nyu = (people["site"] == "NYU").to_numpy()
        nyu = people[at_nyu].reset_index(drop=True)
        repeated = FoldConfig(n_repeats=5)
        print("\nreal people, C chosen inside each fold")
        print(f"NYU, 5 x 10 folds      {reach(nyu, edges[at_nyu], repeated)}")
        print(f"all, 5 x 10 folds      {reach(people, edges, repeated)}")
        left_out = FoldConfig(scheme="loso")
        print(f"all, leave a site out  {reach(people, edges, left_out)}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
