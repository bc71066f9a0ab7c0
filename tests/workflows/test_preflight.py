"""What is refused before anything is fitted, and what is said."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bidsclf.config import (
    AnalysisConfig,
    CohortConfig,
    Config,
    FoldConfig,
    HarmonizeConfig,
)
from bidsclf.errors import ConfigError, InputError
from bidsclf.folds import Fold
from bidsclf.workflows import _preflight

NOBODY = np.empty(0, int)


def config_of(tmp_path, method="combat", unseen=None, models=("fc-svm",), **cohort):
    return Config(
        bids_dir=tmp_path,
        output_dir=tmp_path,
        level="group",
        cohort=CohortConfig(**cohort),
        folds=FoldConfig(n_folds=2),
        harmonize=HarmonizeConfig(method=method, unseen=unseen),
        analysis=AnalysisConfig(models=models),
    )


def cohort_of(sites, rows=None):
    rows = np.arange(len(sites)) if rows is None else np.array(rows)
    people = pd.DataFrame({"site": list(sites)})
    return SimpleNamespace(people=people, rows=rows, traits=people)


def fold_of(train, test=(), valid=()):
    parts = [np.array(part, int) for part in (train, valid, test)]
    return Fold(1, 3, *parts)


def test_what_can_be_harmonized_is_not_refused(tmp_path):
    fold = fold_of([0, 1, 3, 4], [2, 5])
    for unseen in (None, "refuse", "identity", "batch"):
        _preflight.check(
            config_of(tmp_path, unseen=unseen), cohort_of("AAABBB"), [fold]
        )


def test_without_harmonization_a_single_site_is_no_trouble(tmp_path):
    fold = fold_of([0, 1], [2])
    _preflight.check(config_of(tmp_path, "none"), cohort_of("AAA"), [fold])


def test_a_single_site_cannot_be_harmonized(tmp_path):
    with pytest.raises(ConfigError, match=r"combat and everyone is of site 'A'.*two"):
        _preflight.check(config_of(tmp_path), cohort_of("AAA"), [])


def test_models_of_which_none_can_be_harmonized_are_refused(tmp_path):
    config = config_of(tmp_path, models=("control-site", "control-motion"))
    with pytest.raises(ConfigError, match=r"acts on none of --models control-si"):
        _preflight.check(config, cohort_of("AABB"), [])


@pytest.mark.parametrize(
    ("unseen", "sites", "train", "test", "message"),
    [
        (None, "AAABBC", [0, 1, 3, 4], [2, 5], r"fold 3: 0 at C to learn from.*2 or"),
        ("refuse", "AAABBCC", [0, 1, 3, 4, 5], [6], r"1 at C to learn.*--include"),
        ("batch", "AAABBC", [0, 1, 3, 4], [2, 5], r"fold 3: C has a single person"),
        ("batch", "AAABBCCC", [0, 1, 3, 4, 5], [6, 7], r"C has a single person.*ident"),
        ("identity", "AAABB", [0, 1, 3], [2, 4], r"1 at B, 2 at A to learn.*two sites"),
    ],
)
def test_a_site_too_small_is_named(tmp_path, unseen, sites, train, test, message):
    config = config_of(tmp_path, unseen=unseen)
    with pytest.raises(InputError, match=message):
        _preflight.check(config, cohort_of(sites), [fold_of(train, test)])


def test_a_person_drawn_twice_is_still_one(tmp_path):
    fold = fold_of([0, 1, 3, 3], [2])
    with pytest.raises(InputError, match="1 at B to learn from"):
        _preflight.check(config_of(tmp_path), cohort_of("AAAB"), [fold])


def test_two_runs_of_one_person_are_two_rows(tmp_path):
    cohort = cohort_of("AAAB", rows=[0, 1, 2, 3, 3])
    _preflight.check(config_of(tmp_path), cohort, [fold_of([0, 1, 3], [2])])


def test_the_final_model_is_told_by_name(tmp_path):
    everyone = replace(fold_of([0, 1, 2, 3]), repeat=0, fold=0)
    with pytest.raises(InputError, match="the final model, which learns from everyone"):
        _preflight.check(config_of(tmp_path), cohort_of("AAAB"), [everyone])


def test_models_that_run_as_they_are_are_named(tmp_path):
    config = config_of(tmp_path, models=("fc-svm", "control-motion", "control-site"))
    large = cohort_of("AAAAABBBBB")
    (note,) = _preflight.notes(config, large)
    assert note.startswith("not harmonized: control-motion, control-site.")
    assert not list(_preflight.notes(config_of(tmp_path, "none"), large))
    asked = config_of(tmp_path, "none", covariates=("age",))
    (note,) = _preflight.notes(asked, large)
    assert "--covariates age" in note
    assert "change nothing" in note


def test_sites_are_screened_where_two_have_people_enough(tmp_path):
    assert _preflight.can_screen(cohort_of("AAAAABBBBB"))
    small = cohort_of("AAAAABBBBCCCC")
    assert not _preflight.can_screen(small)
    (note,) = _preflight.notes(config_of(tmp_path, "none"), small)
    assert "not screened: fewer than two sites have 5 people" in note
    twins = cohort_of("AAAAABBBBB")
    twins.traits["group"] = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert not _preflight.can_screen(twins)
