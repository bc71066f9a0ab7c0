"""Splits: disjoint, balanced in every cell, blind to the order of the table."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bidsclf.config import FoldConfig
from bidsclf.errors import InputError
from bidsclf.folds import PARTS, Fold, make_folds, notes, to_table, whole


def crowd(seed: int, n: int = 80, n_sites: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2)
    sites = rng.choice(n_sites, n, p=rng.dirichlet(np.ones(n_sites)))
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{i:03d}" for i in rng.permutation(n)],
            "y": y,
            "site": [f"S{site}" for site in sites],
        }
    )


def named(folds: list[Fold], people: pd.DataFrame) -> list[list[set[str]]]:
    ids = people["participant_id"].to_numpy()
    return [[set(ids[getattr(fold, part)]) for part in PARTS] for fold in folds]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), n_folds=st.integers(2, 10))
def test_everyone_is_tested_once_and_each_cell_is_shared_out(seed, n_folds):
    people = crowd(seed)
    folds = make_folds(people, FoldConfig(n_folds=n_folds, seed=seed))
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested) == list(range(len(people)))
    fold_of = pd.Series(
        np.repeat(range(n_folds), [len(f.test) for f in folds]), index=tested
    )
    for keys in (["y", "site"], ["y"], []):
        groups = people.groupby(keys) if keys else [((), people)]
        for _, cell in groups:
            sizes = np.bincount(fold_of[cell.index], minlength=n_folds)
            assert np.ptp(sizes) <= 1
    for fold in folds:
        assert sorted(np.concatenate([fold.train, fold.valid, fold.test])) == sorted(
            tested
        )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), scheme=st.sampled_from(["kfold", "loso"]))
def test_the_order_of_the_table_says_nothing(seed, scheme):
    people = crowd(seed)
    shuffled = people.sample(frac=1, random_state=seed).reset_index(drop=True)
    config = FoldConfig(scheme=scheme, n_folds=4, n_repeats=2, seed=3)
    if people["site"].nunique() < 2 and scheme == "loso":
        return
    assert named(make_folds(people, config), people) == named(
        make_folds(shuffled, config), shuffled
    )


def test_repeats_and_seeds_differ_and_the_same_seed_repeats():
    people = crowd(0)
    first, second = (
        make_folds(people, FoldConfig(n_folds=5, n_repeats=2, seed=s)) for s in (1, 2)
    )
    again = make_folds(people, FoldConfig(n_folds=5, n_repeats=2, seed=1))
    assert named(first, people) == named(again, people)
    assert named(first, people) != named(second, people)
    assert named(first[:5], people) != named(first[5:], people)
    assert [(f.repeat, f.fold) for f in first[4:6]] == [(1, 5), (2, 1)]


def test_valid_is_a_stratified_share_of_the_training_part():
    people = crowd(1, n=400)
    for fold in make_folds(people, FoldConfig(n_folds=5, valid_fraction=0.15)):
        learn = np.concatenate([fold.train, fold.valid])
        assert len(fold.valid) == pytest.approx(0.15 * len(learn), abs=2)
        for _, cell in people.loc[learn].groupby(["y", "site"]):
            n_held = np.isin(cell.index, fold.valid).sum()
            assert n_held == pytest.approx(0.15 * len(cell), abs=1.01)


def test_leaving_one_site_out_tests_each_site_whole():
    people = crowd(2)
    folds = make_folds(people, FoldConfig(scheme="loso", n_repeats=3))
    sites = [set(people["site"].to_numpy()[fold.test]) for fold in folds]
    assert sites == [{site} for site in sorted(set(people["site"]))]


def test_a_site_of_one_person_is_tested_and_reported():
    people = crowd(3)
    people.loc[0, ["site", "y"]] = ["ZZ", 1]
    folds = make_folds(people, FoldConfig(scheme="loso"))
    assert folds[-1].test.tolist() == [0]
    assert any(
        "(ZZ): all 1 test people are of class 1" in n for n in notes(folds, people)
    )


def test_a_missing_site_is_a_cell_of_its_own_for_kfold_only():
    people = crowd(4)
    people.loc[[1, 5], "site"] = np.nan
    assert len(make_folds(people, FoldConfig())) == 10
    with pytest.raises(InputError, match=r"2 people have no site: .*Fill the column"):
        make_folds(people, FoldConfig(scheme="loso"))


def test_the_final_fit_tests_nobody():
    people = crowd(5)
    fold = whole(people, FoldConfig())
    assert (fold.repeat, fold.fold, len(fold.test)) == (0, 0, 0)
    assert len(fold.train) + len(fold.valid) == len(people)


def test_the_table_names_everyone_s_part_in_each_fold():
    people = crowd(6)
    folds = make_folds(people, FoldConfig(n_folds=3, n_repeats=2))
    table = to_table(folds, people)
    assert len(table) == len(folds) * len(people)
    for fold in folds:
        rows = table[(table["repeat"] == fold.repeat) & (table["fold"] == fold.fold)]
        parts = {part: set(ids) for part, ids in rows.groupby("part")["participant_id"]}
        assert [parts[part] for part in PARTS] == named([fold], people)[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.assign(participant_id="sub-1"), "sub-1 is in the cohort twice"),
        (lambda p: p.assign(y=2), "y holds 2; it is 0 or 1"),
        (
            lambda p: p[(p.y == 0) | (p.index < 4)],
            r"class 1 has \d people and --n-folds",
        ),
    ],
)
def test_says_what_is_wrong_with_the_people(change, message):
    with pytest.raises(InputError, match=message):
        make_folds(change(crowd(7)).reset_index(drop=True), FoldConfig())


def test_says_so_when_a_site_holds_a_whole_class():
    people = crowd(8)
    people["site"] = np.where(people["y"] == 1, "A", "B")
    with pytest.raises(InputError, match="fold 1: 0 people of class 1 are left"):
        make_folds(people, FoldConfig(scheme="loso"))
    with pytest.raises(InputError, match="everyone is of site 'A'"):
        make_folds(people.assign(site="A"), FoldConfig(scheme="loso"))


def test_a_person_in_two_parts_is_refused():
    with pytest.raises(InputError, match="a person is in two parts"):
        Fold(1, 1, np.array([0, 1]), np.array([1]), np.array([2]))
