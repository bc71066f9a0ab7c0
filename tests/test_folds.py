"""Splits: disjoint, balanced in every cell, blind to the order of the table."""

from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bidsclf.config import FoldConfig
from bidsclf.errors import InputError
from bidsclf.folds import PARTS, Fold, make_folds, notes, to_table, whole
from bidsclf.folds.fold import checked
from bidsclf.folds.schemes import strata


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


def related(seed: int, n: int = 120, n_families: int = 15) -> pd.DataFrame:
    """Some people in families of two to four, across sites; the others alone."""
    people, rng = crowd(seed, n), np.random.default_rng(seed)
    sizes = rng.integers(2, 5, n_families)
    family = np.repeat([f"F{i}" for i in range(n_families)], sizes).tolist()
    family += [np.nan] * (n - len(family))
    return people.assign(group=np.array(family, object)[rng.permutation(n)])


def parts_of(fold: Fold, people: pd.DataFrame) -> list[set[str]]:
    """Return the families of each part; a person alone is a family."""
    family = people["group"].fillna(people["participant_id"]).to_numpy()
    return [set(family[getattr(fold, part)]) for part in PARTS]


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
@given(
    seed=st.integers(0, 2**16),
    scheme=st.sampled_from(["kfold", "loso", "bootstrap"]),
    people_of=st.sampled_from([crowd, related]),
)
def test_the_order_of_the_table_says_nothing(seed, scheme, people_of):
    people = people_of(seed)
    shuffled = people.sample(frac=1, random_state=seed).reset_index(drop=True)
    config = FoldConfig(scheme=scheme, n_folds=4, n_repeats=2, seed=3)
    if people["site"].nunique() < 2 and scheme == "loso":
        return
    first, second = (
        to_table(make_folds(table, config), table)
        .sort_values(["repeat", "fold", "part", "participant_id"])
        .to_csv(index=False)
        for table in (people, shuffled)
    )
    assert first == second


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


@pytest.mark.parametrize(
    ("how", "frozen"),
    [
        ({"n_folds": 5, "n_repeats": 2, "seed": 3}, "ec46a05f74301aa9"),
        ({}, "7c27ddb775b45740"),
        ({"scheme": "loso"}, "e1f08d667b138758"),
    ],
)
def test_published_folds_stay_what_they_were(how, frozen):
    people, config = crowd(0, n=120), FoldConfig(**how)
    table = to_table([*make_folds(people, config), whole(people, config)], people)
    table = table.sort_values(["repeat", "fold", "participant_id"])
    written = table.to_csv(sep="\t", index=False, lineterminator="\n")
    assert sha256(written.encode()).hexdigest()[:16] == frozen
    alone = people.assign(group=[f"g{i}" for i in range(len(people))])
    again = to_table([*make_folds(alone, config), whole(alone, config)], alone)
    assert again.sort_values(["repeat", "fold", "participant_id"]).equals(table)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_a_bootstrap_draws_each_cell_s_size_and_tests_who_was_not_drawn(seed):
    people = crowd(seed, n=120, n_sites=3)
    config = FoldConfig(scheme="bootstrap", n_repeats=3, seed=seed)
    folds = make_folds(people, config)
    assert [(fold.repeat, fold.fold) for fold in folds] == [(1, 1), (2, 1), (3, 1)]
    sizes = people.groupby(["y", "site"]).size()
    for fold in folds:
        drawn = np.concatenate([fold.train, fold.valid])
        assert sorted(set(drawn) | set(fold.test)) == list(range(len(people)))
        assert len(drawn) == len(people)
        assert not set(drawn) & set(fold.test)
        assert not set(fold.train) & set(fold.valid)
        n_drawn = people.loc[drawn].groupby(["y", "site"]).size()
        if sizes.min() > 1:  # others are drawn together
            assert n_drawn.reindex(sizes.index, fill_value=0).equals(sizes)


def test_a_bootstrap_leaves_out_whom_chance_leaves_out():
    people = crowd(11, n=200, n_sites=2)
    folds = make_folds(people, FoldConfig(scheme="bootstrap", n_repeats=200))
    sizes = people.groupby(["y", "site"]).size().to_numpy()
    expected = (sizes * (1 - 1 / sizes) ** sizes).sum() / 200  # each cell by itself
    found = np.mean([len(fold.test) for fold in folds]) / 200
    assert found == pytest.approx(expected, abs=0.005)
    times = [np.bincount(np.r_[f.train, f.valid], minlength=200) for f in folds]
    assert np.mean(times, axis=0) == pytest.approx(1, abs=0.35)
    assert len({tuple(fold.test) for fold in folds}) == 200


def test_a_label_moves_only_the_draws_of_its_own_cells():
    people = crowd(12, n=120, n_sites=3)
    config = FoldConfig(scheme="bootstrap", n_repeats=1)
    before = make_folds(people, config)[0]
    at = before.test[0]
    other = people.assign(y=people["y"].where(people.index != at, 1 - people["y"]))
    after = make_folds(other, config)[0]
    elsewhere = np.flatnonzero(people["site"] != people.loc[at, "site"])
    for person in elsewhere:
        drawn = [
            (np.r_[fold.train, fold.valid] == person).sum() for fold in (before, after)
        ]
        assert drawn[0] == drawn[1]


def test_the_labels_of_a_tested_site_decide_nothing_elsewhere():
    people = crowd(13)
    config = FoldConfig(scheme="loso")
    before = make_folds(people, config)[0]
    flipped = people["y"].where(~people.index.isin(before.test), 1 - people["y"])
    after = make_folds(people.assign(y=flipped), config)[0]
    assert named([before], people) == named([after], people)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**16), scheme=st.sampled_from(["kfold", "loso", "bootstrap"])
)
def test_families_are_on_one_side_of_every_split(seed, scheme):
    people = related(seed)
    config = FoldConfig(scheme=scheme, n_folds=5, n_repeats=2, seed=seed)
    for fold in [*make_folds(people, config), whole(people, config)]:
        train, valid, test = parts_of(fold, people)
        assert train.isdisjoint(valid)
        assert test.isdisjoint(train | valid)
        for part in (fold.train, fold.valid):
            assert set(people["y"].to_numpy()[part]) == {0, 1}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), n_folds=st.integers(2, 8))
def test_families_are_dealt_out_evenly(seed, n_folds):
    people = related(seed, n=160)
    folds = make_folds(people, FoldConfig(n_folds=n_folds, seed=seed))
    assert sorted(np.concatenate([f.test for f in folds])) == list(range(160))
    for label in (0, 1):
        counts = [(people["y"].to_numpy()[fold.test] == label).sum() for fold in folds]
        assert np.ptp(counts) <= 2  # singles are dealt last and fill the gaps


def test_families_are_dealt_out_over_cells_better_than_by_chance():
    rng, found, chance = np.random.default_rng(0), 0, 0
    for seed in range(5):
        people = related(seed, n=160)
        family = people["group"].fillna(people["participant_id"])
        at_random = dict(zip(family.unique(), rng.integers(0, 5, 160), strict=False))
        fold_of = np.empty(160, int)
        for number, fold in enumerate(make_folds(people, FoldConfig(n_folds=5))):
            fold_of[fold.test] = number
        for _, cell in people.groupby(["y", "site"]):
            found += np.ptp(np.bincount(fold_of[cell.index], minlength=5))
            random = family[cell.index].map(at_random)
            chance += np.ptp(np.bincount(random, minlength=5))
    assert found < chance / 2


def test_relatives_of_a_tested_site_are_in_no_part_and_it_is_said():
    people = related(14)
    folds = make_folds(people, FoldConfig(scheme="loso"))
    said = notes(folds, people)
    ids, n_left = people["participant_id"], 0
    for fold in folds:
        tested = set(people.loc[fold.test, "group"].dropna())
        is_left = people["group"].isin(tested) & ~people.index.isin(fold.test)
        inside = np.concatenate([fold.train, fold.valid, fold.test])
        assert sorted(np.setdiff1d(range(len(ids)), inside)) == sorted(
            ids[is_left].index
        )
        if is_left.any():
            first = f"fold {fold.fold}: {is_left.sum()} people ({ids[is_left].min()}"
            assert any(first in n and "in no part" in n for n in said)
        n_left += is_left.sum()
    assert n_left > 0


def test_pairs_of_one_of_each_class_can_be_split():
    people = crowd(15, n=40).sort_values("y", ignore_index=True)
    people["group"] = [f"F{i % 20}" for i in range(40)]  # a patient and a control
    for scheme in ("kfold", "bootstrap"):
        config = FoldConfig(scheme=scheme, n_folds=4, n_repeats=2)
        for fold in make_folds(people, config):
            assert set(people["y"].to_numpy()[fold.valid]) == {0, 1}
            assert people["y"].to_numpy()[fold.test].mean() == 0.5


def test_too_few_families_for_the_folds_are_counted():
    people = crowd(16, n=60)
    people["group"] = np.where(
        people["y"] == 1, "F" + (people.index % 3).astype(str), None
    )
    with pytest.raises(
        InputError, match=r"class 1 has 30 people in 3 groups and --n-fo"
    ):
        make_folds(people, FoldConfig(n_folds=5))
    people["group"] = np.where(people["y"] == 1, "F", None)
    with pytest.raises(InputError, match=r"30 people of class 1 in 1 groups are left"):
        whole(people, FoldConfig())


def test_cells_of_one_are_drawn_together_and_large_cells_alone():
    people = crowd(17, n=8, n_sites=1).assign(y=[0] * 5 + [1] * 3)
    people["site"] = ["A", "A", "A", "X", "Y", "B", "B", "X"]
    table = checked(people)
    found = dict(zip(table["row"], strata(table)[table["unit"]], strict=True))
    assert [found[row] for row in range(8)] == [
        *["0|A"] * 3, *["0|"] * 2, *["1|B"] * 2, "1|B",
    ]  # fmt: skip


def test_cells_of_one_size_are_drawn_apart():
    people = crowd(21, n=80).sort_values(["participant_id"], ignore_index=True)
    people["y"], people["site"] = (
        np.arange(80) // 40,
        ["A"] * 20 + ["B"] * 20 + ["A"] * 40,
    )
    fold = make_folds(people, FoldConfig(scheme="bootstrap", n_repeats=1))[0]
    times = np.bincount(np.r_[fold.train, fold.valid], minlength=80)
    assert times[:20].tolist() != times[20:40].tolist()


def test_a_cell_of_one_is_drawn_with_others_and_said():
    people = crowd(17, n=60, n_sites=2)
    people.loc[[0, 1], "site"], people.loc[[0, 1], "y"] = ["Y", "Z"], 1
    config = FoldConfig(scheme="bootstrap", n_repeats=40)
    folds = make_folds(people, config)
    for at in (0, 1):
        assert 0 < sum(at in fold.test for fold in folds) < 40
    said = notes(folds, people, config)
    both = sorted(people.loc[[0, 1], "participant_id"])
    assert [f"2 people ({', '.join(both)}) are alone" in n for n in said] == [
        False,
        True,
    ]


def test_a_single_person_of_a_class_at_the_only_small_site_is_still_tested():
    people = crowd(18, n=40, n_sites=1)
    people.loc[0, ["site", "y"]] = ["Z", 1]
    config = FoldConfig(scheme="bootstrap", n_repeats=40)
    assert 5 < sum(0 in fold.test for fold in make_folds(people, config)) < 30


def test_a_bootstrap_of_too_few_people_gives_up_with_the_counts():
    people = crowd(19, n=40).query("y == 0 or index < 2").reset_index(drop=True)
    people = people[(people["y"] == 0) | (~people["y"].duplicated())]
    with pytest.raises(InputError, match=r"100 draws .* no two people .*, 1\] people"):
        make_folds(people.reset_index(drop=True), FoldConfig(scheme="bootstrap"))


def test_small_sites_and_lone_people_are_said_for_kfold():
    people = crowd(20, n=60, n_sites=1)
    people.loc[:2, "site"], people.loc[:2, "y"] = "tiny", [1, 0, 0]
    config = FoldConfig(n_folds=5)
    said = notes(make_folds(people, config), people, config)
    assert any("fewer people than the 5 folds: tiny (3)" in note for note in said)
    assert any("alone of a site and class: tiny, class 1;" in note for note in said)


@pytest.mark.parametrize("scheme", ["kfold", "loso", "bootstrap"])
def test_sites_of_one_class_are_named_whatever_the_scheme(scheme):
    people = crowd(21, n=80, n_sites=2).assign(site=["A"] * 40 + ["B"] * 40)
    config = FoldConfig(scheme=scheme, n_repeats=2)
    assert not any("one class only" in n for n in notes([], people, config))
    people.loc[people["site"] == "B", "y"] = 0
    (said,) = [n for n in notes([], people, config) if "one class only" in n]
    assert "sites of one class only: B (40 of class 0). There class and site" in said
    people["site"] = "A"
    assert not any("one class only" in n for n in notes([], people, config))
