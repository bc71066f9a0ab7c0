"""Settings of a series model, judged on people of Yale and Leuven alone.

None of these sites is in ``abide_series.py``, so that what is chosen here was not
chosen on its test people. Several rounds of folds, each with its own seed: 119
people are few, and one round differs from the next by .1 of AUC.

    bidsclf-data abide-pcp SOURCE DATA
    OMP_NUM_THREADS=1 python benchmarks/lstm_recipe.py DATA lstm-dg monitor=auc
"""

import argparse
from pathlib import Path

import numpy as np

from bidsclf.cohort import build_cohort
from bidsclf.config import CohortConfig, FoldConfig
from bidsclf.crossval import Recipe, fit_fold
from bidsclf.evaluate.measures import measure
from bidsclf.folds import make_folds
from bidsclf.models._base import find, prepared
from bidsclf.models._settings import read_settings

SITES = "site in ('YALE', 'LEUVEN_1', 'LEUVEN_2')"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="what bidsclf-data abide-pcp wrote")
    parser.add_argument("model")
    parser.add_argument("settings", nargs="*", help="NAME=VALUE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--n-folds", type=int, default=5)
    return parser.parse_args()


def main() -> None:
    """Print AUC and accuracy, the mean over folds, of each round and of all."""
    args = arguments()
    settings = read_settings(args.model, [f"{args.model}:{s}" for s in args.settings])
    cohort = build_cohort(
        args.data, CohortConfig(include=SITES, positive_label="autism")
    )
    x = prepared(args.model, cohort.load(find(args.model).input))
    y, rows, found = cohort.people["y"].to_numpy(), np.arange(len(cohort.people)), []
    for seed in range(args.rounds):
        recipe = Recipe(variant=args.model, seed=seed, settings=settings)
        each = []
        for fold in make_folds(
            cohort.people, FoldConfig(n_folds=args.n_folds, seed=seed)
        ):
            scores = fit_fold(x, y, rows, fold, recipe).scores
            told = measure(y[fold.test], scores)
            each.append([float(told[name][0]) for name in ("auc", "accuracy")])
        found.append(np.mean(each, axis=0))
        print(f"round {seed}: AUC {found[-1][0]:.3f}, accuracy {found[-1][1]:.3f}")
    auc, accuracy = np.mean(found, axis=0)
    print(f"{len(y)} people, all rounds: AUC {auc:.3f}, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
