"""Every metric against scikit-learn, and its laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from bidsclf.evaluate import measures
from bidsclf.evaluate.measures import METRICS, measure, within_site_auc

SEEDS = st.integers(0, 2**16)


def scored(seed: int, n: int = 40, *, digits: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Truth with both classes, and scores rounded so that many are tied."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n) % 3 == 0).astype(int)
    return truth, np.round(rng.beta(1 + truth, 2 - truth), digits)


def one(truth, score, name) -> float:
    return float(measure(truth, score)[name][0])


ORACLES = {
    "accuracy": lambda y, s, w: sk.accuracy_score(y, s >= 0.5, sample_weight=w),
    "balanced_accuracy": lambda y, s, w: sk.balanced_accuracy_score(
        y, s >= 0.5, sample_weight=w
    ),
    "sensitivity": lambda y, s, w: sk.recall_score(y, s >= 0.5, sample_weight=w),
    "specificity": lambda y, s, w: sk.recall_score(
        y, s >= 0.5, pos_label=0, sample_weight=w
    ),
    "auc": lambda y, s, w: sk.roc_auc_score(y, s, sample_weight=w),
    "average_precision": lambda y, s, w: sk.average_precision_score(
        y, s, sample_weight=w
    ),
    "mcc": lambda y, s, w: sk.matthews_corrcoef(y, s >= 0.5, sample_weight=w),
    "f1": lambda y, s, w: sk.f1_score(y, s >= 0.5, sample_weight=w),
    "brier": lambda y, s, w: sk.brier_score_loss(y, s, sample_weight=w),
    "log_loss": lambda y, s, w: sk.log_loss(y, s, sample_weight=w),
}


@pytest.mark.parametrize("name", sorted(ORACLES))
@pytest.mark.parametrize("digits", [1, 8])
def test_agrees_with_scikit_learn(name, digits):
    for seed in range(5):
        truth, score = scored(seed, digits=digits)
        counts = np.random.default_rng(seed).integers(0, 4, len(truth)).astype(float)
        for weights in (np.ones(len(truth)), counts):
            found = measure(truth, score, weights[None])[name][0]
            assert found == pytest.approx(ORACLES[name](truth, score, weights))


def test_every_metric_has_an_independent_answer():
    assert set(METRICS) == {*ORACLES, "ece"}


def test_calibration_error_is_the_mean_gap_of_ten_bins():
    truth, score = scored(3, 200, digits=2)
    expected = 0.0
    for low in range(10):
        inside = (score * 10 >= low) & ((score * 10 < low + 1) | (low == 9))
        if inside.any():
            gap = abs(truth[inside].mean() - score[inside].mean())
            expected += inside.mean() * gap
    assert one(truth, score, "ece") == pytest.approx(expected)


@given(seed=SEEDS)
def test_the_reversed_score_has_the_reversed_auc(seed):
    truth, score = scored(seed)
    assert one(truth, 1 - score, "auc") == pytest.approx(1 - one(truth, score, "auc"))


@given(seed=SEEDS, power=st.floats(0.2, 5))
def test_ranking_metrics_ignore_a_monotone_transform(seed, power):
    truth, score = scored(seed)
    for name in ("auc", "average_precision"):
        assert one(truth, score**power, name) == pytest.approx(one(truth, score, name))


@given(seed=SEEDS)
def test_the_order_of_people_does_not_matter(seed):
    truth, score = scored(seed)
    order = np.random.default_rng(seed).permutation(len(truth))
    one_way, other_way = measure(truth, score), measure(truth[order], score[order])
    for name in METRICS:
        assert one_way[name] == pytest.approx(other_way[name])


@given(seed=SEEDS)
def test_counting_a_person_twice_is_the_person_twice(seed):
    truth, score = scored(seed)
    counts = np.random.default_rng(seed).integers(1, 3, len(truth))
    rows = np.repeat(np.arange(len(truth)), counts)
    weighted = measure(truth, score, counts[None].astype(float))
    for name, value in measure(truth[rows], score[rows]).items():
        assert weighted[name] == pytest.approx(value)


def test_accuracy_is_the_weighted_mean_of_its_parts():
    # 215 + 215 people, sensitivity .8016 and specificity .9022: not 76.56 %
    truth = np.repeat([1, 0], 5000)
    score = np.concatenate([np.repeat([0.9, 0.1], [4008, 992]), np.zeros(5000)])
    score[5000 : 5000 + 489] = 0.9
    found = measure(truth, score)
    assert found["sensitivity"][0] == pytest.approx(0.8016)
    assert found["specificity"][0] == pytest.approx(0.9022)
    assert found["accuracy"][0] == pytest.approx(0.8519)


def test_a_broken_identity_is_noticed(monkeypatch):
    monkeypatch.setattr(measures, "_specificity", lambda t: np.full(len(t.n), 0.123))
    with pytest.raises(ArithmeticError, match="weighted mean"):
        measures._accuracy(measures.Tally(*as_tally(*scored(0))))


def as_tally(truth, score):
    return truth.astype(bool), score, score, np.ones((1, len(truth)))


@pytest.mark.parametrize("score", [0.0, 0.3, 0.5, 1.0])
def test_one_score_for_all_is_chance(score):
    truth, _ = scored(0)
    found = measure(truth, np.full(len(truth), score))
    assert found["auc"][0] == 0.5
    assert found["mcc"][0] == 0
    assert all(np.isfinite(value[0]) for value in found.values())


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_no_auc_but_an_accuracy(label):
    found = measure(np.full(4, label), np.array([0.1, 0.2, 0.3, 0.9]))
    for name in ("auc", "mcc", "balanced_accuracy"):
        assert np.isnan(found[name][0])
    assert found["accuracy"][0] == [0.75, 0.25][label]


def test_within_site_auc_counts_pairs_of_one_site_only():
    truth, score = scored(7)
    rng = np.random.default_rng(7)
    site, counts = rng.integers(3, size=40), rng.integers(0, 3, (5, 40))
    found = within_site_auc(truth, score, site, counts)
    for draw, area in zip(counts, found, strict=True):
        rows = np.repeat(np.arange(40), draw)
        won, pairs = 0.0, 0
        for i in rows[truth[rows] == 1]:
            for j in rows[(truth[rows] == 0) & (site[rows] == site[i])]:
                won += (score[i] > score[j]) + (score[i] == score[j]) / 2
                pairs += 1
        assert area == pytest.approx(won / pairs)


def test_a_score_of_the_site_alone_is_chance_within_sites():
    truth, site = np.array([0, 1, 1, 0, 0, 1]), np.array([0, 0, 0, 1, 1, 1])
    score = np.where(site == 0, 0.8, 0.2)
    assert one(truth, score, "auc") > 0.5
    assert within_site_auc(truth, score, site, np.ones((1, 6))) == [0.5]


def test_within_site_auc_needs_a_site_of_both_classes():
    found = within_site_auc(np.array([0, 1]), np.ones(2), np.arange(2), np.ones((1, 2)))
    assert np.isnan(found).all()
