"""One contract, run on every harmonizer and policy."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load, save

from bidsclf.config import HarmonizeConfig
from bidsclf.errors import ConfigError, InputError
from bidsclf.harmonize import make, restore, with_policy
from bidsclf.options import names

MEMBERS = ("combat", "combat-gam", "covbat")
POLICIES = ("refuse", "identity", "batch")
N, F, SITES = 72, 25, ("KKI", "NYU", "UCLA")


@pytest.fixture(params=MEMBERS)
def member(request):
    return request.param


@pytest.fixture(params=POLICIES)
def policy(request):
    return request.param


def study(seed=0):
    """Return float32 features, sites and covariates; feature 3 is constant."""
    rng = np.random.default_rng(seed)
    codes = np.arange(N) % 3
    age = rng.uniform(6, 60, N)
    x = rng.normal(size=(N, F)) * (1 + codes[:, None]) + rng.normal(size=(3, F))[codes]
    x += np.sin(age / 10)[:, None] * rng.normal(size=F)
    x[:, 3] = 0.1
    covariates = pd.DataFrame({"age": age, "sex": rng.choice(["f", "m"], N)})
    return x.astype(np.float32), np.array(SITES, object)[codes], covariates


def fitted(member, policy="refuse", rows=slice(0, 60), missing="error"):
    x, sites, covariates = study()
    config = HarmonizeConfig(method=member, unseen=policy)
    return make(config, missing).fit(x[rows], sites[rows], covariates.iloc[rows])


def without(site):
    return np.flatnonzero(study()[1] != site)


def numbers(harmonizer):
    arrays, settings = harmonizer.state()
    return {k: v.tobytes() for k, v in arrays.items()}, json.dumps(settings)


def test_every_member_is_tested():
    assert {m.partition("-")[0] for m in MEMBERS} == set(names("bidsclf.harmonize"))


def test_rows_keep_shape_and_dtype_and_become_finite(member, policy):
    x, sites, covariates = study()
    harmonizer = fitted(member, policy)
    for dtype in (np.float32, np.float64):
        found = harmonizer.apply(x.astype(dtype), sites, covariates)
        assert found.shape == x.shape
        assert found.dtype == dtype
        assert np.isfinite(found).all()
    assert not np.allclose(found, x)
    assert set(harmonizer.handling(sites)) == {"site"}


def test_inputs_stay_and_later_changes_of_them_do_not_matter(member, policy):
    x, sites, covariates = study()
    before = x.copy(), covariates.copy()
    config = HarmonizeConfig(method=member, unseen=policy)
    harmonizer = make(config).fit(x[:60], sites[:60], covariates[:60])
    harmonizer.apply(x, sites, covariates)
    np.testing.assert_array_equal(x, before[0])
    pd.testing.assert_frame_equal(covariates, before[1])
    known = numbers(harmonizer)
    x[:] = 7.0
    assert numbers(harmonizer) == known


def test_the_order_of_rows_does_not_matter(member, policy):
    x, sites, covariates = study()
    order = np.random.default_rng(1).permutation(60)
    first, second = fitted(member, policy), fitted(member, policy, order)
    expected = first.apply(x.astype(float), sites, covariates)
    found = second.apply(x.astype(float), sites, covariates)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    again = first.apply(x.astype(float)[::-1], sites[::-1], covariates[::-1])
    np.testing.assert_allclose(again[::-1], expected, atol=1e-10)


def test_one_person_at_a_time_gives_the_same_numbers(member, policy):
    x, sites, covariates = study()
    harmonizer = fitted(member, policy)
    many = harmonizer.apply(x.astype(float), sites, covariates)
    for row in (0, 61, 71):
        at = slice(row, row + 1)
        one = harmonizer.apply(x[at].astype(float), sites[at], covariates[at])
        np.testing.assert_allclose(one[0], many[row], rtol=0, atol=1e-12)


def test_no_other_row_of_the_call_matters(member, policy):
    x, sites, covariates = study()
    harmonizer = fitted(member, policy)
    expected = harmonizer.apply(x, sites, covariates)[:60]
    x[60:] *= 100
    covariates.loc[60:, "age"] = 30.0
    found = harmonizer.apply(x, sites, covariates)[:60]
    np.testing.assert_array_equal(found, expected)


def test_a_bundle_gives_the_same_numbers(member, policy):
    x, sites, covariates = study()
    harmonizer = fitted(member, policy)
    arrays, settings = harmonizer.state()
    again = restore(load(save(arrays)), json.loads(json.dumps(settings)))
    assert numbers(again) == numbers(harmonizer)
    assert again.notes() == harmonizer.notes()
    np.testing.assert_array_equal(
        again.apply(x, sites, covariates), harmonizer.apply(x, sites, covariates)
    )


def test_constant_features_pass_unchanged(member, policy):
    x, sites, covariates = study()
    harmonizer = fitted(member, policy)
    found = harmonizer.apply(x, sites, covariates)
    np.testing.assert_array_equal(found[:, 3], x[:, 3])
    assert harmonizer.notes()["n_unchanged"] == 1
    x[61, 3] = 5.0  # what training never saw
    assert harmonizer.apply(x, sites, covariates)[61, 3] == 5.0


def test_features_that_sites_and_covariates_explain_pass_unchanged(member):
    x, sites, covariates = study()
    x = x.astype(float)
    x[:, 5] = np.where(sites == "NYU", 3.0, 1.0)
    x[:, 6] = 2 * covariates["age"]
    x[:, 8] = 1000 + np.random.default_rng(0).integers(0, 2, N) * 2e-13  # rounding
    harmonizer = make(HarmonizeConfig(method=member)).fit(x, sites, covariates)
    found = harmonizer.apply(x, sites, covariates)
    np.testing.assert_array_equal(found[:, [3, 5, 6, 8]], x[:, [3, 5, 6, 8]])
    assert np.isfinite(found).all()


def test_features_all_constant_pass_unchanged(member):
    _, sites, covariates = study()
    x = np.full((N, 4), 0.3, np.float32)
    harmonizer = make(HarmonizeConfig(method=member)).fit(x, sites, covariates)
    again = restore(*harmonizer.state())
    np.testing.assert_array_equal(again.apply(x, sites, covariates), x)
    assert again.notes()["n_unchanged"] == 4


def test_one_feature_is_enough(member, policy):
    x, sites, covariates = study()
    harmonizer = make(HarmonizeConfig(method=member, unseen=policy))
    harmonizer.fit(x[:60, :1], sites[:60], covariates[:60])
    found = harmonizer.apply(x[:, :1], sites, covariates)
    assert np.isfinite(found).all()


def test_a_region_lacking_at_one_site_stays_finite(member, policy):
    x, sites, covariates = study()
    x[sites == "KKI", 7:10] = 0.0
    harmonizer = make(HarmonizeConfig(method=member, unseen=policy))
    found = harmonizer.fit(x, sites, covariates).apply(x, sites, covariates)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("method", ["combat", "covbat"])
@pytest.mark.parametrize("copies", [1, 2])
def test_an_unseen_site_without_any_spread_is_only_moved(method, copies):
    x, sites, covariates = study()
    none, known = covariates[[]], sites != "UCLA"
    x = np.repeat(x[:, :1].astype(float), copies + 1, axis=1)
    x[known, -1] = 1.0  # constant in training, so that it is passed
    x[~known, :-1] = 0.1
    harmonizer = make(HarmonizeConfig(method=method, unseen="batch"))
    harmonizer.fit(x[known], sites[known], none[known])
    found = harmonizer.apply(x, sites, none)
    assert np.ptp(found[~known, 0]) < 1e-12
    centre = found[known].mean(axis=0)
    np.testing.assert_allclose(found[~known].mean(axis=0)[:-1], centre[:-1], atol=0.2)
    np.testing.assert_array_equal(found[:, -1], x[:, -1])
    two = np.flatnonzero(~known)[:2]  # whose variance is exactly zero
    assert np.isfinite(harmonizer.apply(x[two], sites[two], none.iloc[two])).all()


def test_people_drawn_twice_stay_finite(member):
    x, sites, covariates = study()
    rows = np.sort(np.random.default_rng(2).integers(0, N, N))
    harmonizer = make(HarmonizeConfig(method=member))
    harmonizer.fit(x[rows], sites[rows], covariates.iloc[rows])
    assert np.isfinite(harmonizer.apply(x, sites, covariates)).all()


def test_an_unseen_site_is_refused(member):
    x, sites, covariates = study()
    harmonizer = fitted(member, "refuse", without("UCLA"))
    for call in (
        lambda: harmonizer.apply(x, sites, covariates),
        lambda: harmonizer.handling(sites),
    ):
        with pytest.raises(
            InputError, match=r"'UCLA' \(24 row.*KKI, NYU.*identity.*batch"
        ):
            call()


def test_identity_leaves_an_unseen_site_as_it_is(member):
    x, sites, covariates = study()
    harmonizer = fitted(member, "identity", without("UCLA"))
    is_new = sites == "UCLA"
    covariates.loc[is_new, "age"] = np.nan  # which it does not need
    found = harmonizer.apply(x, sites, covariates)
    np.testing.assert_array_equal(found[is_new], x[is_new])
    assert not np.allclose(found[~is_new], x[~is_new])
    expected = np.where(is_new, "identity", "site")
    np.testing.assert_array_equal(harmonizer.handling(sites), expected)


def test_batch_takes_location_and_scale_from_the_site_s_own_rows(member):
    x, sites, covariates = study()
    is_new = sites == "UCLA"
    harmonizer = fitted(member, "batch", without("UCLA"))
    found = harmonizer.apply(x, sites, covariates)
    assert set(harmonizer.handling(sites)[is_new]) == {"batch"}
    seen = fitted(member, "refuse").apply(x, sites, covariates)
    gap = np.abs(found[is_new].mean(axis=0) - found[~is_new].mean(axis=0)).mean()
    raw = np.abs(x[is_new].mean(axis=0) - x[~is_new].mean(axis=0)).mean()
    assert gap < 0.5 * raw
    assert np.corrcoef(found[is_new].ravel(), seen[is_new].ravel())[0, 1] > 0.9
    alone = harmonizer.apply(x[is_new], sites[is_new], covariates[is_new])
    np.testing.assert_allclose(alone, found[is_new], atol=1e-5)


def test_batch_takes_two_different_rows(member):
    x, sites, covariates = study()
    harmonizer = fitted(member, "batch", without("UCLA"))
    row = np.flatnonzero(sites == "UCLA")[:1]
    for rows in (row, np.repeat(row, 2)):
        with pytest.raises(InputError, match=r"'UCLA' was not learned.*identity"):
            harmonizer.apply(x[rows], sites[rows], covariates.iloc[rows])


def test_predict_may_choose_another_policy(member):
    x, sites, covariates = study()
    harmonizer = fitted(member, "refuse", without("UCLA"))
    changed = with_policy(harmonizer, "identity")
    assert changed.handling(sites)[2] == "identity"
    assert harmonizer.unseen == with_policy(harmonizer, None).unseen == "refuse"
    with pytest.raises(ConfigError, match="--harmonize-unseen"):
        with_policy(harmonizer, "guess")
    with pytest.raises(InputError, match="UCLA"):
        harmonizer.apply(x, sites, covariates)


@pytest.mark.parametrize("n_rows", [1, 2])
def test_a_site_without_spread_is_refused_or_counts_as_unseen(member, policy, n_rows):
    x, sites, covariates = study()
    rows = np.concatenate([without("KKI"), np.repeat(0, n_rows)])  # one KKI person
    harmonizer = make(HarmonizeConfig(method=member, unseen=policy))
    given = x[rows], sites[rows], covariates.iloc[rows]
    if policy == "refuse":
        with pytest.raises(
            InputError, match=rf"'KKI' has {n_rows} training row.*--inc"
        ):
            harmonizer.fit(*given)
        return
    harmonizer.fit(*given)
    assert harmonizer.notes()["sites_too_small"] == {"KKI": n_rows}
    assert list(harmonizer.notes()["sites"]) == ["NYU", "UCLA"]
    assert restore(*harmonizer.state()).notes() == harmonizer.notes()
    lacking = fitted(member, policy, without("KKI"))
    for name, array in lacking.state()[0].items():
        np.testing.assert_array_equal(harmonizer.state()[0][name], array)


def test_a_single_site_is_refused(member, policy):
    rows = np.flatnonzero(study()[1] == "NYU")
    with pytest.raises(InputError, match=r"1 site.*NYU.*--harmonize none"):
        fitted(member, policy, rows)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(member, bad):
    x, sites, covariates = study()
    harmonizer = fitted(member)
    x[5, 2] = bad
    for call in (harmonizer.fit, harmonizer.apply):
        with pytest.raises(InputError, match=r"1 of 72 rows.*\[5\]"):
            call(x, sites, covariates)


def test_other_bad_rows_are_refused(member):
    x, sites, covariates = study()
    harmonizer = fitted(member)
    with pytest.raises(InputError, match="24 features; harmonization learned 25"):
        harmonizer.apply(x[:, 1:], sites, covariates)
    with pytest.raises(InputError, match=r"\(72, 25\), 71 sites and 72 rows"):
        harmonizer.apply(x, sites[1:], covariates)
    sites[4] = None
    with pytest.raises(InputError, match=r"1 of 72 rows have no site.*\[4\]"):
        harmonizer.apply(x, sites, covariates)


def test_no_rows_and_the_index_of_the_table_are_no_trouble(member):
    x, sites, covariates = study()
    harmonizer = fitted(member)
    assert harmonizer.apply(x[:0], sites[:0], covariates[:0]).shape == (0, F)
    moved = covariates.set_index(np.arange(N)[::-1] % 5)[["sex", "age"]]
    np.testing.assert_array_equal(
        harmonizer.apply(x, sites, moved), harmonizer.apply(x, sites, covariates)
    )
    again = make(HarmonizeConfig(method=member)).fit(x[:60], sites[:60], moved[:60])
    np.testing.assert_allclose(
        again.apply(x, sites, covariates),
        harmonizer.apply(x, sites, covariates),
        atol=1e-4,
    )


def test_unknown_members_are_named():
    with pytest.raises(ConfigError, match="no harmonize option 'none'"):
        make(HarmonizeConfig())
    with pytest.raises(ConfigError, match=r"no harmonizer 'combat-gm'.*'combat-gam'"):
        restore({}, {"method": "combat-gm"})
