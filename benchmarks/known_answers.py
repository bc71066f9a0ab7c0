"""Real edges, made-up diagnoses: what is found where nothing is to be found.

The people, sites, ages and edges of ABIDE are real. Diagnoses are drawn: four of
five people at every other site, one of five at the rest, at random within each
site, so that a model which knows no site has an AUC of .5. Compared are: raw edges;
edges harmonized inside the fold, on training people only; and two leaks, everyone
harmonized before the folds, without the diagnosis and with it kept. METHODS.md §5
gives .68, .32 and .68 for raw, the first and the second leak of ComBat.

    OMP_NUM_THREADS=1 python benchmarks/known_answers.py
"""

import argparse
import os
import platform
import sys
import time

import numpy as np
import pandas as pd
from fc import SHARED, real
from sklearn.metrics import roc_auc_score

from bidsclf.config import FoldConfig, HarmonizeConfig
from bidsclf.crossval import Recipe, permute_fold
from bidsclf.evaluate.delong import within_site_interval
from bidsclf.evaluate.permutation import label_permutations
from bidsclf.folds import Fold, make_folds
from bidsclf.harmonize import make
from bidsclf.models._base import prepared

NAME = "fc-svm"
METHODS = ("combat", "combat-gam", "covbat")
TRUTH = 0.5


def ages(people: pd.DataFrame) -> np.ndarray:
    """Return the age of everyone, in years."""
    table = pd.read_csv(
        SHARED / "data" / "abide" / "Phenotypic_V1_0b_preprocessed1.csv"
    )
    label = table["SUB_ID"].map("sub-{:07d}".format)
    found = people["participant_id"].map(table.set_index(label)["AGE_AT_SCAN"])
    return found.to_numpy(float)


def drawn(people: pd.DataFrame, seed: int) -> np.ndarray:
    """Return labels, 80 % positive at every other site by size, 20 % at the rest."""
    rng, y = np.random.default_rng(seed), np.zeros(len(people), int)
    for number, site in enumerate(people["site"].value_counts().index):
        rows = rng.permutation(np.flatnonzero(people["site"] == site))
        share = 0.8 if number % 2 == 0 else 0.2
        y[rows[: round(share * len(rows))]] = 1
    return y


class Study:
    """Real rows, and several draws of labels that share their folds."""

    def __init__(self, n_draws: int, n_folds: int) -> None:
        self.people, self.edges = real()
        self.traits = pd.DataFrame(
            {"site": self.people["site"].astype(object), "age": ages(self.people)}
        )
        self.people["y"] = drawn(self.people, 0)
        y = self.people["y"].to_numpy()
        self.folds: list[Fold] = make_folds(self.people, FoldConfig(n_folds=n_folds))
        fold_of = np.zeros(len(y), int)
        for fold in self.folds:
            fold_of[fold.test] = fold.fold
        cells = self.people["site"] + "/" + pd.Series(fold_of).astype(str)
        self.labels = label_permutations(y, cells.to_numpy(), n=n_draws, seed=1)

    def scores(self, edges: np.ndarray, labels: np.ndarray, method: str) -> np.ndarray:
        """Return out-of-fold scores, one row a draw, harmonized inside the fold."""
        recipe = Recipe(variant=NAME, harmonize=HarmonizeConfig(method=method))
        x, rows = prepared(NAME, edges), np.arange(len(self.people))
        scores = np.empty(labels.shape)
        for fold in self.folds:
            scores[:, fold.test] = permute_fold(
                x, labels, rows, fold, recipe, traits=self.traits
            )
        return scores

    def everyone(self, method: str, y: np.ndarray | None = None) -> np.ndarray:
        """Return edges harmonized before the folds: the leak."""
        covariates = self.traits[["age"]]
        if y is not None:
            covariates = covariates.assign(diagnosis=y.astype(float))
        sites = self.traits["site"].to_numpy(object)
        learner = make(HarmonizeConfig(method=method))
        return learner.fit(self.edges, sites, covariates).apply(
            self.edges, sites, covariates
        )

    def told(self, name: str, labels: np.ndarray, scores: np.ndarray) -> float:
        """Print the AUC over draws, pooled and within site; return the mean."""
        aucs = [roc_auc_score(y, s) for y, s in zip(labels, scores, strict=True)]
        sites = self.traits["site"].to_numpy(object)
        within = [
            within_site_interval(y, s, sites).estimate
            for y, s in zip(labels, scores, strict=True)
        ]
        print(
            f"{name:34} {np.mean(aucs):.3f} (sd {np.std(aucs, ddof=1):.3f})"
            f"   within site {np.mean(within):.3f}   {len(aucs)} draws",
            flush=True,
        )
        return float(np.mean(aucs))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--kept-draws", type=int, default=3)
    parser.add_argument("--n-folds", type=int, default=5)
    given = parser.parse_args()
    if not (SHARED / "data" / "abide").is_dir():
        print("no ABIDE here (BIDSCLF_SHARED): nothing measured")
        return 0
    start, study = time.perf_counter(), Study(given.draws, given.n_folds)
    labels, kept, n = study.labels, study.labels[: given.kept_draws], len(study.people)
    margin = 1.96 * np.sqrt((n + 1) / (12 * (n / 2) ** 2))
    print(f"python {' '.join(sys.argv)}")
    print(f"{platform.platform()}, {os.cpu_count()} cores")
    print(f"{n} people x {study.edges.shape[1]} edges, truth {TRUTH}, {NAME}")
    print(f"interval of one AUC: {TRUTH} +- {margin:.3f}\n")
    raw = study.told("raw", labels, study.scores(study.edges, labels, "none"))
    passed = raw > TRUTH + margin
    for method in METHODS:
        ours = study.told(
            f"{method}, ours", labels, study.scores(study.edges, labels, method)
        )
        whole = study.everyone(method)
        below = study.told(
            f"{method}, everyone at once", labels, study.scores(whole, labels, "none")
        )
        told = [
            study.scores(study.everyone(method, y), y[None], "none")[0] for y in kept
        ]
        above = study.told(f"{method}, diagnosis kept", kept, np.array(told))
        passed &= abs(ours - TRUTH) < margin
        passed &= below < TRUTH - margin and above > TRUTH + margin
    print(f"{time.perf_counter() - start:.0f} s")
    print(f"{'PASS' if passed else 'FAIL'}: ours at {TRUTH}, raw and leaks off it")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
