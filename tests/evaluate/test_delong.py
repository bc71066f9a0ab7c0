"""DeLong against placements counted one pair at a time, also within sites."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from bidsclf.errors import InputError
from bidsclf.evaluate.delong import (
    delong_covariance,
    delong_interval,
    delong_test,
    within_site_interval,
)

SEEDS = st.integers(0, 2**16)


def scored(seed: int, n: int = 30, n_models: int = 2, digits: int = 1):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n) % 3 == 0).astype(int)
    shared = truth + rng.normal(size=n)
    scores = shared + rng.normal(size=(n_models, n))
    return truth, np.round(scores, digits)


def placements(truth, scores):
    """DeLong, DeLong & Clarke-Pearson (1988), equations 1 to 5, pair by pair."""
    wins = [
        [
            [1.0 if x > y else 0.5 if x == y else 0.0 for y in s[truth == 0]]
            for x in s[truth == 1]
        ]
        for s in scores
    ]
    wins = np.array(wins)
    v10, v01 = wins.mean(axis=2), wins.mean(axis=1)
    auc = wins.mean(axis=(1, 2))
    s10 = (v10 - auc[:, None]) @ (v10 - auc[:, None]).T / (v10.shape[1] - 1)
    s01 = (v01 - auc[:, None]) @ (v01 - auc[:, None]).T / (v01.shape[1] - 1)
    return auc, s10 / v10.shape[1] + s01 / v01.shape[1]


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_agrees_with_placements_counted_one_by_one(digits):
    for seed in range(5):
        truth, scores = scored(seed, n_models=3, digits=digits)
        expected_auc, expected_covariance = placements(truth, scores)
        auc, covariance = delong_covariance(truth, scores)
        np.testing.assert_allclose(auc, expected_auc)
        np.testing.assert_allclose(covariance, expected_covariance, atol=1e-15)
        assert auc[0] == pytest.approx(roc_auc_score(truth, scores[0]))


OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0
2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1
4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1
3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
3.6 6.6 5 1
"""  # albumin, total protein, K-G score, benefit of surgery


def test_agrees_with_delong_s_own_example():
    # The 43 complete patients and the numbers of the SAS/STAT manual, PROC LOGISTIC,
    # "Comparing Receiver Operating Characteristic Curves".
    albumin, protein, kg, truth = np.array(OVARIAN.split(), float).reshape(-1, 4).T
    scores = np.array([albumin, protein, -kg])
    auc, covariance = delong_covariance(truth, scores)
    np.testing.assert_allclose(auc, [0.7366, 0.6478, 0.7258], atol=5e-5)
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(sd, [0.0927, 0.1000, 0.1028], atol=5e-5)
    np.testing.assert_allclose(
        delong_test(truth, albumin, -kg), [0.0108, -0.1761, 0.1976, 0.9102], atol=5e-5
    )
    np.testing.assert_allclose(
        delong_test(truth, protein, -kg), [-0.078, -0.2830, 0.1271, 0.4561], atol=5e-5
    )


def test_the_test_is_the_normal_one_on_the_difference():
    truth, scores = scored(1)
    auc, covariance = placements(truth, scores)
    sd = np.sqrt([1, -1] @ covariance @ [1, -1])
    z = (auc[0] - auc[1]) / sd
    found = delong_test(truth, *scores)
    assert found.estimate == pytest.approx(auc[0] - auc[1])
    assert found.p == pytest.approx(2 * norm.cdf(-abs(z)))
    assert found.high - found.low == pytest.approx(2 * 1.959964 * sd)


def test_the_test_keeps_its_level():
    rejected = [delong_test(*flat(seed)).p < 0.05 for seed in range(600)]
    assert 0.025 < np.mean(rejected) < 0.08


def flat(seed):
    truth, scores = scored(seed, n=90, digits=8)
    return truth, *scores


@given(seed=SEEDS)
def test_swapping_models_turns_the_difference_around(seed):
    truth, (a, b) = scored(seed)
    one_way, other_way = delong_test(truth, a, b), delong_test(truth, b, a)
    assert one_way.estimate == pytest.approx(-other_way.estimate)
    assert one_way.low == pytest.approx(-other_way.high)
    assert one_way.p == pytest.approx(other_way.p)


@given(seed=SEEDS)
def test_reversed_truth_has_the_mirrored_interval(seed):
    truth, scores = scored(seed)
    found, mirrored = (delong_interval(t, scores[0]) for t in (truth, 1 - truth))
    assert found.estimate == pytest.approx(1 - mirrored.estimate)
    assert found.low == pytest.approx(1 - mirrored.high)


@given(seed=SEEDS)
def test_a_monotone_transform_changes_nothing(seed):
    truth, (a, b) = scored(seed)
    assert delong_test(truth, np.exp(a), b**3) == pytest.approx(
        delong_test(truth, a, b)
    )


def test_a_model_does_not_differ_from_itself():
    truth, scores = scored(0)
    assert delong_test(truth, scores[0], scores[0]) == (0, 0, 0, 1)


def test_perfect_against_inverted_differs_without_any_spread():
    truth = np.array([0, 0, 1, 1])
    assert delong_test(truth, truth, 1 - truth) == (1, 1, 1, 0)


def test_one_score_for_all_is_chance_without_spread():
    assert delong_interval(np.array([0, 0, 1, 1]), np.ones(4)) == (0.5, 0, 0.5, 0.5)


def test_one_class_and_one_person_have_no_interval():
    assert np.isnan(delong_interval(np.zeros(3), np.arange(3))).all()
    single = delong_interval(np.array([0, 0, 1]), np.array([0.1, 0.5, 0.3]))
    assert single.estimate == 0.5
    assert np.isnan(single[1:]).all()


def test_refuses_unpaired_scores():
    with pytest.raises(InputError, match="3 truths, 3 and 2 scores"):
        delong_test(np.array([0, 1, 1]), np.ones(3), np.ones(2))


def within_site_pairs(truth, score, site):
    """The AUC and DeLong's variance from every pair, with the sites' own kernel."""
    up, down = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
    wins, same = np.zeros((len(up), len(down))), np.zeros((len(up), len(down)))
    for i, j in np.ndindex(wins.shape):
        x, y = score[up[i]], score[down[j]]
        same[i, j] = site[up[i]] == site[down[j]]
        wins[i, j] = same[i, j] * (1.0 if x > y else 0.5 if x == y else 0.0)
    auc = wins.sum() / same.sum()
    kernel = (wins - auc * same) / same.mean()
    by_up, by_down = kernel.mean(axis=1), kernel.mean(axis=0)
    variance = by_up.var(ddof=1) / len(up) + by_down.var(ddof=1) / len(down)
    return auc, np.sqrt(variance)


def with_sites(seed, n=40, n_sites=3):
    truth, scores = scored(seed, n=n)
    return truth, scores[0], np.random.default_rng(seed).integers(n_sites, size=n)


def test_within_site_agrees_with_pairs_counted_one_by_one():
    for seed in range(8):
        truth, score, site = with_sites(seed)
        found = within_site_interval(truth, score, site)
        np.testing.assert_allclose(found[:2], within_site_pairs(truth, score, site))


def test_one_site_has_the_interval_of_the_pooled_auc():
    truth, score, _ = with_sites(0)
    found = within_site_interval(truth, score, np.full(len(truth), "NYU"))
    np.testing.assert_allclose(found, delong_interval(truth, score))


@given(seed=SEEDS)
def test_a_shift_of_a_site_changes_nothing_within_sites(seed):
    truth, score, site = with_sites(seed)
    shift = np.random.default_rng(seed).normal(scale=9, size=3).round()
    moved = within_site_interval(truth, (score + shift[site]).round(1), site)
    assert moved == pytest.approx(within_site_interval(truth, score, site))


def test_the_within_site_interval_covers_the_truth():
    rng, missed = np.random.default_rng(0), 0
    for _ in range(600):
        site = rng.integers(4, size=120)
        truth = (rng.random(120) < np.array([0.2, 0.8, 0.5, 0.3])[site]).astype(int)
        score = 3 * np.array([0, 1, 2, 0])[site] + rng.normal(size=120)  # no signal
        found = within_site_interval(truth, score, site)
        missed += not found.low < 0.5 < found.high
    assert 0.025 < missed / 600 < 0.08


def test_within_site_needs_a_pair_and_two_of_each_class():
    truth, score = np.array([0, 1, 1, 1]), np.array([0.1, 0.2, 0.0, 0.3])
    none = within_site_interval(truth, score, np.array(["A", "B", "B", "B"]))
    assert np.isnan(none).all()
    one = within_site_interval(truth, score, np.array(["A", "A", "A", "B"]))
    assert one.estimate == 0.5
    assert np.isnan(one[1:]).all()
