"""Sites of unequal case mix, features that know no diagnosis: the truth is AUC .5.

Raw features find the site, and the site tells the diagnosis. Harmonized inside the
fold nothing is left to find. Two leaks, written out here, show what a careless
harmonization would have reported: far below .5, and far above (METHODS.md §5).
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bidsclf.config import FoldConfig, HarmonizeConfig
from bidsclf.crossval import Recipe, fit_fold
from bidsclf.evaluate.metrics import metrics_table
from bidsclf.folds import make_folds
from bidsclf.harmonize import make
from bidsclf.models._base import prepared

N, N_EDGES, N_SEEDS = 160, 400, 6
METHODS = ("combat", "combat-gam", "covbat")
TRUTH = 0.5
# an AUC of 80 and 80 people without a signal has this standard error (Hanley &
# McNeil 1982, doi:10.1148/radiology.143.1.7063747); that of the mean over seeds is
# larger by the sites' common errors, which this doubles
MARGIN = 4 * np.sqrt((N + 1) / (12 * (N / 2) ** 2)) / np.sqrt(N_SEEDS)
SITE = np.repeat(np.array(["A", "B"], object), N // 2)
Y = np.r_[np.arange(N // 2) < 0.8 * N / 2, np.arange(N // 2) < 0.2 * N / 2].astype(int)
PEOPLE = pd.DataFrame(
    {"participant_id": [f"sub-{i:03d}" for i in range(N)], "y": Y, "site": SITE}
)


@cache
def study(seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Features with an effect of site and age; labels do not enter."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(6, 40, N)
    x = rng.normal(size=(N, N_EDGES)) * np.where(SITE == "A", 1.0, 1.4)[:, None]
    x += 0.5 * (SITE == "A")[:, None] * rng.normal(size=N_EDGES)
    x += 0.02 * age[:, None] * rng.normal(size=N_EDGES)
    return x.astype(np.float32), pd.DataFrame({"site": SITE, "age": age})


def predictions(x: np.ndarray, traits: pd.DataFrame, method: str, seed: int):
    """Our pipeline: five folds, harmonized inside each."""
    recipe = Recipe(
        variant="fc-svm", seed=seed, harmonize=HarmonizeConfig(method=method)
    )
    rows, made = prepared("fc-svm", x), []
    for fold in make_folds(PEOPLE, FoldConfig(n_folds=5, seed=seed)):
        result = fit_fold(rows, Y, np.arange(N), fold, recipe, traits=traits)
        table = PEOPLE.iloc[fold.test].rename(columns={"y": "truth"})
        made.append(
            table.assign(repeat=1, fold=fold.fold, model="m", score=result.scores)
        )
    return pd.concat(made, ignore_index=True)


@cache
def ours(method: str) -> tuple[float, ...]:
    found = [predictions(*study(s), method, s) for s in range(N_SEEDS)]
    return tuple(roc_auc_score(table["truth"], table["score"]) for table in found)


def leaky(method: str, *, keeps_target: bool) -> float:
    """Harmonize everyone before the folds, as is often done; return the mean AUC."""
    aucs = []
    for seed in (0, 1):
        x, traits = study(seed)
        covariates = traits[["age"]]
        if keeps_target:
            covariates = covariates.assign(diagnosis=Y.astype(float))
        learner = make(HarmonizeConfig(method=method, smooth_terms=()))
        everyone = learner.fit(x, SITE, covariates).apply(x, SITE, covariates)
        table = predictions(everyone, traits, "none", seed)
        aucs.append(roc_auc_score(table["truth"], table["score"]))
    return float(np.mean(aucs))


def test_raw_features_find_the_site_and_within_site_there_is_nothing():
    assert np.mean(ours("none")) > TRUTH + 2 * MARGIN
    table = metrics_table(predictions(*study(0), "none", 0), n_bootstrap=100, seed=0)
    within = table[(table["scope"] == "within site") & (table["method"] == "delong")]
    (row,) = within.to_dict("records")
    assert row["low"] < TRUTH < row["high"]
    pooled = table[(table["scope"] == "pooled") & (table["metric"] == "auc")]
    assert (pooled["low"] > TRUTH).all()


@pytest.mark.parametrize("method", METHODS)
def test_our_pipeline_finds_nothing_where_nothing_is(method):
    assert abs(np.mean(ours(method)) - TRUTH) < MARGIN


@pytest.mark.parametrize("method", METHODS)
def test_everyone_harmonized_at_once_is_caught_far_below(method):
    assert leaky(method, keeps_target=False) < TRUTH - MARGIN


@pytest.mark.parametrize("method", METHODS)
def test_a_kept_target_is_caught_far_above(method):
    assert leaky(method, keeps_target=True) > TRUTH + MARGIN


def test_a_harmonizer_that_peeks_at_test_rows_is_caught(monkeypatch):
    """Its arrays follow the test rows; ours do not."""
    x, traits = study(0)
    fold = make_folds(PEOPLE, FoldConfig(n_folds=5))[0]
    recipe = Recipe(variant="fc-svm", harmonize=HarmonizeConfig(method="combat"))

    def learned(x):
        rows = prepared("fc-svm", x)
        found = fit_fold(rows, Y, np.arange(N), fold, recipe, traits=traits)
        return {name: a.tobytes() for name, a in found.harmonizer.state()[0].items()}

    changed = x.copy()
    changed[fold.test] += 1
    assert learned(x) == learned(changed)

    class Peeking:
        """Learns from whatever study it can see, and ignores what it is given."""

        def __init__(self, everyone):
            self.everyone = everyone

        def fit(self, x, sites, covariates):
            known = traits[["age"]]
            return make(recipe.harmonize).fit(self.everyone, SITE, known)

    seen = []
    for features in (x, changed):
        peek = Peeking(features)
        monkeypatch.setattr("bidsclf.crossval.rows.make", lambda *_, peek=peek: peek)
        seen.append(learned(features))
    assert seen[0] != seen[1]
