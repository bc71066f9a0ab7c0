"""Planted site effects are seen before harmonization and not after; nothing leaks."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from bidsclf.config import HarmonizeConfig
from bidsclf.errors import InputError
from bidsclf.harmonize import make
from bidsclf.screening import N_FOLDS, _folds, _without_small_sites, screen
from bidsclf.screening import _by_person as by_person

COMBAT = partial(make, HarmonizeConfig(method="combat"))


def study(sizes=(40, 30, 20), *, effect=1.0, n_features=80, seed=0):
    """Features with a site effect; the first ten follow motion."""
    rng = np.random.default_rng(seed)
    sites = np.repeat([f"S{i}" for i in range(len(sizes))], sizes)
    sites = rng.permutation(sites)
    n = len(sites)
    shift = {site: effect * rng.normal(size=n_features) for site in sorted(set(sites))}
    motion = 0.1 + 0.2 * rng.random(n)
    x = rng.normal(size=(n, n_features)) + np.array([shift[site] for site in sites])
    x[:, :10] += 10 * motion[:, None]
    people = pd.DataFrame(
        {"participant_id": [f"sub-{i:03d}" for i in range(n)], "mean_fd": motion}
    )
    return x.astype(np.float32), np.arange(n), pd.DataFrame({"site": sites}), people


def screened(x, rows, traits, people, make_harmonizer=COMBAT, seed=0):
    return screen(
        x, rows, traits, people=people, make_harmonizer=make_harmonizer, seed=seed
    )


def test_combat_hides_the_site_that_was_plain_before():
    tables, notes = screened(*study())
    before, after = tables["sites"].to_dict("records")
    assert (before["stage"], after["stage"]) == ("before", "after")
    assert before["accuracy"] == 1
    assert before["chance"] == after["chance"] == pytest.approx(40 / 90)
    assert after["accuracy"] < 0.5
    assert after["low"] < after["accuracy"] < after["high"]
    assert np.isnan(before["p_change"])
    assert after["p_change"] < 1e-6
    assert (after["n"], after["n_sites"]) == (90, 3)
    assert notes == []


@pytest.mark.parametrize("method", ["combat", "combat-gam", "covbat"])
def test_every_harmonizer_can_be_screened(method):
    x, rows, traits, people = study()
    traits = traits.assign(age=np.random.default_rng(1).uniform(6, 60, len(x)))
    how = partial(make, HarmonizeConfig(method=method))
    before, after = screened(x, rows, traits, people, how)[0]["sites"]["accuracy"]
    assert before == 1
    assert after < 0.55


def test_noise_has_no_site():
    tables, _ = screened(*study((60, 60), effect=0.0), make_harmonizer=None)
    found = tables["sites"].iloc[0]
    assert len(tables["sites"]) == 1
    assert found["low"] < 0.5 < found["high"]
    assert found["balanced_accuracy"] == pytest.approx(found["accuracy"])


def test_the_map_before_is_that_of_scikit_learn():
    x, rows, traits, people = study()
    table = screened(x, rows, traits, people)[0]["site_map"]
    before = table[table["stage"] == "before"]
    expected = PCA(2).fit_transform(x)
    found = before[["pc1", "pc2"]].to_numpy()
    sign = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found, sign * expected, atol=1e-3)
    assert before["participant_id"].tolist() == people["participant_id"].tolist()
    assert before["site"].tolist() == traits["site"].tolist()


def test_the_map_after_has_the_sites_on_one_another():
    table = screened(*study(effect=3.0))[0]["site_map"]
    apart = table.groupby(["stage", "site"])["pc1"].mean().groupby("stage").std()
    assert apart["before"] > 5 * apart["after"]


def test_motion_is_counted_before_and_after():
    table = screened(*study())[0]["qcfc"]
    assert table["stage"].tolist() == ["before", "after"]
    assert table["n_edges"].tolist() == [80, 80]
    assert 10 / 80 <= table["share_p05"][1] < 0.3
    assert table["share_fdr05"][1] >= 5 / 80


@pytest.mark.parametrize("motion", [None, 0.2, "n/a"])
def test_without_motion_there_is_no_qcfc(motion):
    x, rows, traits, people = study()
    people = people.drop(columns="mean_fd")
    people = people if motion is None else people.assign(mean_fd=motion)
    assert screened(x, rows, traits, people)[0]["qcfc"].empty


def test_people_without_motion_are_left_out_of_qcfc_alone():
    x, rows, traits, people = study()
    x[0] = 50.0  # would rule every correlation
    lost = people.assign(mean_fd=people["mean_fd"].mask(people.index == 0))
    tables, _ = screened(x, rows, traits, lost, make_harmonizer=None)
    rest = np.arange(1, len(x))
    alone, _ = screened(x[1:], rest - 1, traits[1:], people[1:], make_harmonizer=None)
    pd.testing.assert_frame_equal(tables["qcfc"], alone["qcfc"])
    assert tables["sites"]["n"][0] == 90


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_people_changes_nothing(seed):
    x, rows, traits, people = study()
    order = np.random.default_rng(seed).permutation(len(x))
    shuffled = (x[order], rows, traits.iloc[order], people.iloc[order])
    mine, other = screened(x, rows, traits, people), screened(*shuffled)
    for name in mine[0]:
        pd.testing.assert_frame_equal(mine[0][name], other[0][name])


def test_several_rows_of_a_person_are_averaged_first():
    x, rows, traits, people = study()
    noise = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    both = np.concatenate([x + noise, x - noise])
    mine, _ = screened(x, rows, traits, people)
    twice, _ = screened(both, np.r_[rows, rows], traits, people)
    for name in mine:
        pd.testing.assert_frame_equal(mine[name], twice[name], atol=1e-4)


def test_the_harmonizer_never_learns_from_whom_it_is_judged_on():
    x, rows, traits, people = study()
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    class Spy:
        def fit(self, x, sites, covariates):
            self.learned = x.copy()
            assert list(covariates) == ["age"]
            return self

        def apply(self, x, sites, covariates):
            seen.append((self.learned, x))
            return x

    traits = traits.assign(age=30.0, group=np.arange(len(x)) // 2)
    screened(x, rows, traits, people, make_harmonizer=Spy)
    tested = [given for learned, given in seen if len(given) < len(learned)]
    assert sum(map(len, tested)) == len(x)
    for learned, given in seen[1::2]:
        assert not (learned[:, None, 0] == given[None, :, 0]).any()


def test_folds_are_even_within_sites_and_keep_families_whole():
    x, rows, traits, people = study((40, 30, 20))
    traits = traits.assign(group=np.arange(len(x)) // 2)
    whole = by_person(x, rows, traits, people)
    folds = _folds(whole, 0)
    assert pd.Series(folds).groupby(whole.groups).nunique().max() == 1
    single = by_person(x, rows, traits.drop(columns="group"), people)
    counts = pd.crosstab(single.sites, _folds(single, 0))
    assert counts.shape == (3, N_FOLDS)
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 1


def test_small_sites_are_left_out_and_named():
    tables, notes = screened(*study((30, 30, 4)))
    assert notes == [
        "1 of 3 sites have fewer than 5 people or families and are left out of the"
        " screening: S2 (4)."
    ]
    assert tables["sites"]["n"].tolist() == [60, 60]
    assert set(tables["site_map"]["site"]) == {"S0", "S1"}
    assert len(tables["site_map"]) == 120


def test_a_site_of_one_family_is_left_out():
    x, rows, traits, people = study((20, 20, 6))
    group = np.where(traits["site"] == "S2", 999, np.arange(len(x)))
    whole = by_person(x, rows, traits.assign(group=group), people)
    assert len(_without_small_sites(whole)[0].sites) == 40


def test_features_that_do_not_vary_give_the_largest_site():
    x, rows, traits, people = study((20, 10))
    found = screened(np.ones_like(x), rows, traits, people, make_harmonizer=None)
    assert found[0]["sites"]["accuracy"][0] == found[0]["sites"]["chance"][0]
    assert found[0]["qcfc"]["n_edges"][0] == 0


def test_one_site_cannot_be_screened():
    with pytest.raises(InputError, match="1 of 2 sites have 5 people or more"):
        screened(*study((30, 4)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_names_people_whose_features_are_not_finite(bad):
    x, rows, traits, people = study()
    x[3, 5] = bad
    with pytest.raises(InputError, match="1 people are not finite: sub-003"):
        screened(x, rows, traits, people)


def test_refuses_tables_of_other_lengths():
    x, rows, traits, people = study()
    with pytest.raises(InputError, match="90 rows of 90 people, 89 rows of traits"):
        screened(x, rows, traits[1:], people)
    with pytest.raises(InputError, match="90 rows of 89 people"):
        screened(x, np.where(rows == 89, 88, rows), traits, people)
