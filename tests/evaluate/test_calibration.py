"""Temperature against logistic regression; bins by hand; Wilson by statsmodels."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from bidsclf.errors import InputError
from bidsclf.evaluate.calibration import (
    reliability_table,
    scaled,
    temperature,
    wilson,
)

SEEDS = st.integers(0, 2**16)


def drawn(seed: int, n: int = 400, spread: float = 1.5):
    """Logits that are true log odds, and a truth drawn from them."""
    rng = np.random.default_rng(seed)
    logits = spread * rng.normal(size=n)
    return logits, (rng.random(n) < expit(logits)).astype(int)


def table(truth, scores, **more) -> pd.DataFrame:
    people = [f"sub-{i:03d}" for i in range(len(truth))]
    same = {"site": "NYU", "model": "fc-svm", "repeat": 1, "fold": 1}
    columns = {"participant_id": people, "truth": truth, "score": scores}
    return pd.DataFrame(columns | same | more)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("wrong", [0.2, 1.0, 5.0])
def test_agrees_with_an_unpenalised_regression_without_intercept(seed, wrong):
    logits, truth = drawn(seed)
    peer = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
    peer.fit(wrong * logits[:, None], truth)
    found = temperature(wrong * logits, truth)
    assert found == pytest.approx(1 / peer.coef_[0, 0], rel=1e-4)


def test_true_log_odds_are_left_alone():
    assert temperature(*drawn(0, n=40_000)) == pytest.approx(1, abs=0.03)


@given(seed=SEEDS, unit=st.floats(1e-6, 1e6))
def test_knows_no_unit(seed, unit):
    logits, truth = drawn(seed, n=30)
    expected = unit * temperature(logits, truth)
    assert temperature(unit * logits, truth) == pytest.approx(expected, rel=1e-6)


@given(seed=SEEDS, factor=st.floats(0.1, 10))
def test_no_other_temperature_is_better(seed, factor):
    logits, truth = drawn(seed, n=60)
    best = temperature(logits, truth)
    typical = np.median(np.abs(logits))
    assume(0.02 < typical / best < 4)  # within the bounds
    losses = [log_loss(truth, expit(logits / t)) for t in (best, factor * best)]
    assert losses[0] <= losses[1] + 1e-9


@given(seed=SEEDS)
def test_the_order_of_people_changes_nothing(seed):
    logits, truth = drawn(seed, n=25)
    turned = temperature(logits[::-1], truth[::-1])
    assert turned == pytest.approx(temperature(logits, truth), rel=1e-9)


def test_separable_rows_do_not_become_certain():
    logits = np.r_[-np.ones(10), np.ones(10)]
    after = expit(logits / temperature(logits, (logits > 0).astype(int)))
    assert after.max() == pytest.approx(21 / 22)  # Laplace's rule of 20 people


@pytest.mark.parametrize("sign", [-1, 0])
def test_inverted_and_useless_scores_keep_their_order(sign):
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 2
    logits = 3 * rng.normal(size=60) + 6 * sign * (truth - 0.5)
    t = temperature(logits, truth)
    after = scaled(expit(logits), t)
    assert 0 < t < np.inf
    assert np.abs(after - 0.5).max() < 0.3
    assert roc_auc_score(truth, after) == roc_auc_score(truth, logits)
    np.testing.assert_array_equal(after > 0.5, logits > 0)


@pytest.mark.parametrize(
    ("logits", "truth"), [([], []), ([1.0, -2.0], [1, 1]), ([0.0, 0.0], [0, 1])]
)
def test_nothing_to_learn_from_leaves_scores_as_they_are(logits, truth):
    assert temperature(np.array(logits), np.array(truth)) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_logits_that_are_not_finite(bad):
    with pytest.raises(InputError, match="1 of 3 held-out logits are not finite"):
        temperature(np.array([0.1, bad, 2.0]), np.array([0, 1, 1]))


def test_refuses_arrays_of_other_lengths():
    with pytest.raises(InputError, match=r"\(3,\), truth \(2,\)"):
        temperature(np.zeros(3), np.array([0, 1]))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9), st.floats(0.1, 10))
def test_scaling_keeps_the_order_and_the_side(scores, t):
    scores = np.sort(np.round(scores, 6))
    after = scaled(scores, t)
    assert (np.diff(after) >= 0).all()
    np.testing.assert_array_equal(after >= 0.5, scores >= 0.5)


def test_scaling_back_returns_the_scores():
    scores = np.array([0.01, 0.3, 0.5, 0.99])
    np.testing.assert_allclose(scaled(scaled(scores, 3.0), 1 / 3), scores)


@pytest.mark.parametrize("t", [0.0, -1.0, np.nan, np.inf])
def test_refuses_a_temperature_that_is_none(t):
    with pytest.raises(InputError, match="positive and finite"):
        scaled(np.array([0.5]), t)


@given(n=st.integers(1, 500), share=st.floats(0, 1))
def test_wilson_agrees_with_statsmodels(n, share):
    found = wilson(np.array([round(share * n)]), np.array([n]))
    expected = proportion_confint(round(share * n), n, method="wilson")
    np.testing.assert_allclose(np.ravel(found), expected, atol=1e-12)


def test_bins_are_those_counted_by_hand():
    truth = [0, 0, 1, 1, 1, 0]
    found = reliability_table(table(truth, [0.05, 0.15, 0.15, 0.95, 1.0, 0.1]))
    assert found["stage"].unique().tolist() == ["before"]  # no probability
    assert found["bin_low"].tolist() == [0.0, 0.1, 0.9]
    assert found["bin_high"].tolist() == [0.1, 0.2, 1.0]
    assert found["n"].tolist() == [1, 3, 2]
    np.testing.assert_allclose(found["mean_score"], [0.05, 0.4 / 3, 0.975])
    np.testing.assert_allclose(found["share_positive"], [0, 1 / 3, 1])
    assert ((found["low"] <= found["share_positive"]) & (found["high"] <= 1)).all()


def test_both_stages_count_everybody_and_scores_come_first():
    logits, truth = drawn(1, n=80)
    raw = expit(3 * logits)
    found = reliability_table(table(truth, raw, probability=scaled(raw, 3.0)))
    assert found["stage"].unique().tolist() == ["before", "after"]
    for stage, scores in (("before", raw), ("after", expit(logits))):
        rows = found[found["stage"] == stage]
        assert rows["n"].sum() == 80
        assert (rows["n"] * rows["share_positive"]).sum() == pytest.approx(truth.sum())
        assert (rows["n"] * rows["mean_score"]).sum() == pytest.approx(scores.sum())


def test_a_person_counts_once_however_many_repeats():
    rows = table([0, 1], [0.2, 0.9], probability=[0.2, 0.9])
    again = rows.assign(repeat=2, score=[0.4, 0.7], probability=[0.4, 0.9])
    found = reliability_table(pd.concat([rows, again], ignore_index=True))
    assert found["n"].tolist() == [1, 1, 1, 1]
    np.testing.assert_allclose(found["mean_score"], [0.3, 0.8, 0.3, 0.9])


def test_a_probability_outside_its_range_is_refused():
    with pytest.raises(InputError, match="1 of 2 values of probability are outside"):
        reliability_table(table([0, 1], [0.2, 0.9], probability=[0.2, logit(0.9)]))


def test_a_probability_of_the_other_side_is_refused_and_a_half_is_not():
    with pytest.raises(InputError, match=r"sides of 0\.5 in 1 of 2 rows: sub-"):
        reliability_table(table([0, 1], [0.2, 0.9], probability=[0.6, 0.8]))
    reliability_table(table([0, 1], [0.49999, 0.5], probability=[0.5, 0.6]))
