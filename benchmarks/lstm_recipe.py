"""Settings of an LSTM, judged on people of Yale and Leuven alone.

None of these sites is in ``abide_series.py``, so that what is chosen here was not
chosen on its test people. Rounds of folds, each with its own seed. Every epoch's
scores of the test people are kept, of every fourth window, and from one training
each rule of stopping is read.

    bidsclf-data abide-pcp SOURCE DATA
    OMP_NUM_THREADS=1 python benchmarks/lstm_recipe.py DATA lstm-dg balance=1

With ``--fit`` it judges any model as the group level fits it, all windows scored.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bidsclf.cohort import build_cohort
from bidsclf.config import CohortConfig, FoldConfig
from bidsclf.crossval import Recipe, fit_fold
from bidsclf.evaluate.measures import measure
from bidsclf.folds import Fold, make_folds
from bidsclf.models._arithmetic import seeded
from bidsclf.models._base import find, prepared
from bidsclf.models._loop import learn
from bidsclf.models._persons import auc, log_odds
from bidsclf.models._rows import Series
from bidsclf.models._settings import read_settings
from bidsclf.models._training import Part, balanced

SITES = "site in ('YALE', 'LEUVEN_1', 'LEUVEN_2')"
N_EPOCHS, PATIENCE, FIXED = 30, 10, 25
PLATEAU = slice(9, None)  # from the tenth epoch on
STEP = 4  # windows of test people: every fourth


def trace(
    x: Series, y: np.ndarray, fold: Fold, model: Any, n_epochs: int
) -> list[dict[str, float]]:
    """Train on a fold; return each epoch's validation measures and test AUC."""
    training = replace(model.training, n_epochs=n_epochs, monitor="last")
    found: list[dict[str, float]] = []
    with seeded(model.seed, torch.device("cpu")):
        network = model.make(x.volumes.shape[1], **model.settings)
        train, valid, test = (
            network.samples(x[rows]) for rows in (fold.train, fold.valid, fold.test)
        )
        weight = balanced(train, y[fold.train], training)
        seen = np.arange(0, len(test), STEP)

        def watch(_: int, entry: dict[str, Any]) -> None:
            network.eval()
            with torch.inference_mode():
                told = network(test.batch(seen)).double()
            odds, person = (told[:, 1] - told[:, 0]).numpy(), test.person[seen]
            areas = {
                f"test {score}": auc(log_odds(odds, person, score), y[fold.test])
                for score in ("mean", "share")
            }
            found.append(entry["valid"] | areas)

        parts = (Part(s, y[r], weight[y[r]]) for s, r in
                 ((train, fold.train), (valid, fold.valid)))  # fmt: skip
        learn(network, next(parts), training, valid=next(parts), watch=watch)
    return found


def stopped(epochs: list[dict[str, float]], monitor: str) -> int:
    """Return the epoch, from 0, whose weights early stopping would keep."""
    sign = -1 if monitor == "auc" else 1
    best = 0
    for at, measures in enumerate(epochs):
        if sign * measures[monitor] < sign * epochs[best][monitor]:
            best = at
        elif at - best >= PATIENCE:
            break
    return best


def print_rules(traces: list[list[dict[str, float]]]) -> None:
    """Print the mean test AUC by each rule, and the median epoch it keeps."""
    rules: dict[str, Callable[[list[dict[str, float]]], int]] = {
        f"stopped by {name}": lambda epochs, name=name: stopped(epochs, name)
        for name in ("loss", "discriminative", "auc")
    }
    rules[f"after {FIXED} epochs"] = lambda epochs: min(FIXED, len(epochs)) - 1
    for name, rule in rules.items():
        kept = [rule(epochs) for epochs in traces]
        areas = [
            epochs[at]["test mean"] for epochs, at in zip(traces, kept, strict=True)
        ]
        print(f"{name:28} AUC {np.mean(areas):.3f}, epoch {np.median(kept) + 1:.0f}")
    for score in ("mean", "share"):
        area = np.mean([[e[f"test {score}"] for e in t[PLATEAU]] for t in traces])
        print(f"{'epochs 10 on, ' + score:28} AUC {area:.3f}")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="what bidsclf-data abide-pcp wrote")
    parser.add_argument("model")
    parser.add_argument("settings", nargs="*", help="NAME=VALUE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--n-folds", type=int, default=5)
    parser.add_argument("--n-epochs", type=int, default=N_EPOCHS)
    parser.add_argument("--fit", action="store_true", help="as the group level fits")
    parser.add_argument("--seed", type=int, help="of the fits, if not the round's")
    return parser.parse_args()


def main() -> None:
    """Train every round and fold, and print what each rule gives."""
    args = arguments()
    settings = read_settings(args.model, [f"{args.model}:{s}" for s in args.settings])
    cohort = build_cohort(
        args.data, CohortConfig(include=SITES, positive_label="autism")
    )
    x = prepared(args.model, cohort.load(find(args.model).input))
    y, rows = cohort.people["y"].to_numpy(), np.arange(len(cohort.people))
    traces, fitted = [], []
    for number in range(args.rounds):
        seed = number if args.seed is None else args.seed
        recipe = Recipe(variant=args.model, seed=seed, settings=settings)
        config = FoldConfig(n_folds=args.n_folds, seed=number)
        for fold in make_folds(cohort.people, config):
            if args.fit:
                told = measure(y[fold.test], fit_fold(x, y, rows, fold, recipe).scores)
                fitted.append([told["auc"][0], told["accuracy"][0]])
                continue
            model = find(args.model).make(seed=recipe.seed_of(fold), **settings)
            traces.append(trace(x, y, fold, model, args.n_epochs))
    print(f"{len(y)} people, {args.rounds} rounds of {args.n_folds} folds")
    if args.fit:
        area, accuracy = np.mean(fitted, axis=0)
        print(f"AUC {area:.3f}, accuracy {accuracy:.3f}")
    else:
        print_rules(traces)


if __name__ == "__main__":
    main()
