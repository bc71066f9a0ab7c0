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
    RunConfig,
)
from bidsclf.errors import ConfigError, InputError
from bidsclf.files import store
from bidsclf.folds import Fold
from bidsclf.workflows import _preflight
from bidsclf.workflows.group import run_group

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
    return SimpleNamespace(people=people, rows=rows, traits=people, notes=())


def cohort_with(sites, **covariates):
    cohort = cohort_of(sites)
    ids = [f"sub-{i}" for i in range(len(sites))]
    cohort.traits = cohort.people.assign(**covariates)
    cohort.people = cohort.people.assign(participant_id=ids)
    return cohort


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


SITES = "AAAAABBBBB"
AGE = np.array([9.0, 12, 11, 14, 10, 8, 13, 9.5, 15, 7])


@pytest.mark.parametrize("method", ["combat", "combat-gam", "covbat"])
@pytest.mark.parametrize(
    ("covariates", "message"),
    [
        ({"age": AGE, "age2": 2 * AGE + 1}, r"3: covariate 'age2' is collinear"),
        ({"age": AGE, "site2": list("aaaaabbbbb")}, r"'site2' is collinear.* the site"),
        ({"age": AGE, "iq": [9.0, *[1.0] * 9]}, r"fold 3: covariate 'iq' is 1.0 in ev"),
        (
            {"age": AGE, "sex": list("XFMFMFMFMF")},
            r"'sex' is 'X' for sub-0, and for no",
        ),
    ],
)
def test_covariates_that_a_fold_cannot_use_are_named(
    tmp_path, method, covariates, message
):
    cohort = cohort_with(SITES, **covariates)
    config = config_of(tmp_path, method, covariates=tuple(covariates))
    with pytest.raises(InputError, match=message):
        _preflight.check(config, cohort, [fold_of([1, 2, 3, 4, 6, 7, 8, 9], [0, 5])])


def test_people_beyond_what_was_learned_are_counted_and_named(tmp_path):
    cohort = cohort_with(SITES, age=AGE, sex=list("MFMFMFMFMF"))
    config = config_of(tmp_path, covariates=("age", "sex"))
    folds = [fold_of([*range(8)], [8, 9]), fold_of([*range(2, 10)], [0, 1])]
    (note,) = _preflight.check(config, cohort, folds)
    assert note.startswith("2 people have a covariate beyond")
    assert "sub-8, sub-9. A line goes on" in note


def test_a_level_of_an_unseen_site_that_stays_as_it_is_is_no_trouble(tmp_path):
    sites, sex = "AAAAABBBBBC", list("MFMFMFMFMFX")
    cohort = cohort_with(sites, sex=sex)
    fold = fold_of([*range(10)], [10])
    config = config_of(tmp_path, unseen="identity", covariates=("sex",))
    assert _preflight.check(config, cohort, [fold]) == []


def test_a_site_that_a_given_fold_leaves_out_is_no_trouble(tmp_path):
    sites, age = SITES + "CC", [*AGE, 10.0, 11.0]
    cohort = cohort_with(sites, age=age)
    config = config_of(tmp_path, covariates=("age",))
    fold = fold_of([1, 2, 3, 4, 6, 7, 8, 9], [0, 5])  # nobody of C is taught or tested
    assert _preflight.check(config, cohort, [fold]) == []


def test_people_left_as_they_are_may_be_of_any_age(tmp_path):
    cohort = cohort_with(SITES + "C", age=[*AGE, 95.0])
    config = config_of(tmp_path, unseen="identity", covariates=("age",))
    assert _preflight.check(config, cohort, [fold_of([*range(10)], [10])]) == []


def test_a_cell_to_be_filled_is_no_new_level(tmp_path):
    cohort = cohort_with(SITES, sex=[None, *"FMFMFMFMF"])
    how = {"covariates": ("sex",), "missing": "impute-train-median"}
    fold = fold_of([1, 2, 3, 4, 6, 7, 8, 9], [0, 5])
    assert _preflight.check(config_of(tmp_path, **how), cohort, [fold]) == []


def test_a_covariate_that_nearly_tells_the_target_is_said(people, capsys):
    table = store.read_table(people / "participants.tsv", text=True)
    is_patient = (table["diagnosis"] == "autism").to_numpy()
    table["severity"] = np.arange(40) // 2 % 10 + 4.0 * is_patient
    store.write_table(people / "participants.tsv", table)
    config = config_of(people, covariates=("severity",))
    assert run_group(replace(config, run=RunConfig(dry_run=True))) == 0
    said = capsys.readouterr().out
    assert "note: covariate 'severity'" in said


def test_settings_and_options_that_act_on_no_model_are_refused_at_once(tmp_path):
    config = config_of(
        tmp_path, "none", models=("fc-svm",), source="age < 9", resample_tr_s=2.0
    )
    analysis = replace(config.analysis, settings=("fc-svm:oops=1",))
    with pytest.raises(ConfigError) as caught:
        _preflight.check_models(replace(config, analysis=analysis))
    first, second, third = str(caught.value).splitlines()
    assert "fc-svm:oops=1: this model has no settings" in first
    assert "--source is 'age < 9' and none of --models fc-svm learns from" in second
    assert "--resample-tr is 2 and acts on none of --models fc-svm" in third
    _preflight.check_models(config_of(tmp_path, "none"))


def test_a_precision_that_the_device_does_not_do_is_refused_at_once(tmp_path):
    config = config_of(tmp_path, "none", models=("cnn3d", "lstm-s"))
    words = ("cnn3d:precision=bf16", "lstm-s:precision=bf16")
    analysis = replace(config.analysis, settings=words, device="cpu")
    with pytest.raises(ConfigError, match=r"precision is bf16 .* on a CPU") as caught:
        _preflight.check_models(replace(config, analysis=analysis))
    assert len(str(caught.value).splitlines()) == 1  # lstm-s has no 3D convolution
