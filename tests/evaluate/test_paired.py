"""McNemar and the corrected t against published examples and other packages."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t, ttest_rel
from sklearn.datasets import make_moons
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from bidsclf.errors import InputError
from bidsclf.evaluate.paired import (
    corrected_t,
    mcnemar,
    paired_t,
    share_tested,
    split_metrics,
)

SEEDS = st.integers(0, 2**16)


def judged(both, only_a, only_b, neither):
    """Truth and two scores with so many people right by both, one or neither."""
    sizes = [both, only_a, only_b, neither]
    a = np.repeat([0.9, 0.5, 0.2, 0.4], sizes)  # right where it is at least 0.5
    b = np.repeat([0.7, 0.4, 0.6, 0.1], sizes)
    truth = np.ones(len(a), int)
    flip = np.arange(len(a)) % 2 == 0
    near = np.where(a == 0.5, 0.51, a)  # 0.5 turned around would be called as well
    return truth - flip, np.where(flip, 1 - near, a), np.where(flip, 1 - b, b)


def test_mcnemar_agrees_with_the_example_of_exact2x2():
    # Fay, "Exact McNemar's Test and Matching Confidence Intervals" (R package
    # exact2x2): of 44 pairs, b = 2 and c = 9.
    found = mcnemar(*judged(21, 2, 9, 12))
    assert found.p == pytest.approx(0.06543, abs=5e-6)
    share = (np.array(found[:3]) * 44 / 11 + 1) / 2
    odds = share / (1 - share)
    np.testing.assert_allclose(odds, [0.2222222, 0.02336464, 1.07363844], rtol=1e-6)


def test_mcnemar_agrees_with_statsmodels():
    rng = np.random.default_rng(0)
    for _ in range(20):
        cells = rng.integers(0, 30, 4)
        expected = statsmodels_mcnemar(cells.reshape(2, 2), exact=True).pvalue
        found = mcnemar(*judged(*cells))
        assert found.p == pytest.approx(expected)
        assert found.estimate == pytest.approx((cells[1] - cells[2]) / cells.sum())
        assert (found.p < 0.05) == (not found.low <= 0 <= found.high)


def test_mcnemar_of_models_that_never_differ():
    assert mcnemar(*judged(5, 0, 0, 3)) == (0, 0, 0, 1)
    assert np.isnan(mcnemar(*judged(0, 0, 0, 0))).all()


@given(cells=st.lists(st.integers(1, 20), min_size=4, max_size=4))
def test_swapping_models_turns_mcnemar_around(cells):
    truth, a, b = judged(*cells)
    one_way, other_way = mcnemar(truth, a, b), mcnemar(truth, b, a)
    assert one_way.estimate == pytest.approx(-other_way.estimate)
    assert one_way.low == pytest.approx(-other_way.high)
    assert one_way.p == pytest.approx(other_way.p)


def test_corrected_t_agrees_with_the_example_of_scikit_learn():
    # "Statistical comparison of models using grid search": corrected t 0.750 and
    # one-tailed p 0.227, uncorrected 2.611 and 0.005.
    x, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    splits = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (
        cross_val_score(SVC(kernel=kernel), x, y, cv=splits, scoring="roc_auc")
        for kernel in ("rbf", "linear")
    )
    found = corrected_t(rbf - linear, 10 / 90)
    assert found.p / 2 == pytest.approx(0.227, abs=5e-4)
    half = (found.high - found.low) / 2
    assert found.estimate / half * t.ppf(0.975, 99) == pytest.approx(0.750, abs=5e-4)
    assert paired_t(rbf - linear).p == pytest.approx(0.005, abs=5e-4)


def test_the_plain_t_is_scipy_s():
    rng = np.random.default_rng(1)
    for _ in range(10):
        a, b = rng.normal(0.7, 0.1, (2, 10))
        two = ttest_rel(a, b)
        found = corrected_t(a - b, 0)
        assert found.p == pytest.approx(two.pvalue)
        assert found[1:3] == pytest.approx(tuple(two.confidence_interval(0.95)))
        one_tailed = ttest_rel(a, b, alternative="greater")
        assert paired_t(a - b).p == pytest.approx(one_tailed.pvalue)


def rejections(share, n=60, n_folds=5, n_repeats=6, n_studies=400):
    """Share of p < 0.05 where models differ on no one on average."""
    rng, rejected = np.random.default_rng(0), 0
    for _ in range(n_studies):
        gain = rng.normal(size=n)  # of each person, from one model over the other
        parts = [rng.permutation(gain).reshape(n_folds, -1) for _ in range(n_repeats)]
        rejected += corrected_t(np.concatenate(parts).mean(axis=1), share).p < 0.05
    return rejected / n_studies


def test_the_correction_keeps_the_level_that_the_plain_test_loses():
    assert rejections(share=1 / 4) < 0.07
    assert rejections(share=0) > 0.3


@given(seed=SEEDS, share=st.floats(0, 1))
def test_the_correction_only_widens(seed, share):
    gaps = np.random.default_rng(seed).normal(0.02, 0.1, 10)
    plain, corrected = corrected_t(gaps, 0), corrected_t(gaps, share)
    assert corrected.estimate == plain.estimate
    assert corrected.p >= plain.p
    assert corrected.low <= plain.low
    assert corrected.p < 0.05 or corrected.low <= 0 <= corrected.high
    assert paired_t(gaps).p + paired_t(-gaps).p == pytest.approx(1)


def test_splits_without_spread_or_number_have_no_p():
    assert corrected_t(np.zeros(5), 0.1) == (0, 0, 0, 1)
    same = corrected_t(np.full(5, 0.1), 0.1)
    assert same.estimate == pytest.approx(0.1)
    assert np.isnan(same[1:]).all()
    single = corrected_t(np.array([0.2, np.nan]), 0.1)
    assert single.estimate == 0.2
    assert np.isnan(single[1:]).all()
    assert np.isnan(corrected_t(np.array([np.nan]), 0.1)).all()
    assert np.isnan(paired_t(np.array([0.1])).p)


def test_a_split_that_lacks_a_metric_is_left_out():
    gaps = np.array([0.1, np.nan, 0.3, -0.1])
    assert corrected_t(gaps, 0.1) == corrected_t(gaps[[0, 2, 3]], 0.1)


@pytest.mark.parametrize("digits", [1, 8])
def test_split_metrics_agree_with_scikit_learn_split_by_split(digits):
    rng = np.random.default_rng(digits)
    split, truth = rng.integers(6, size=150), rng.integers(2, size=150)
    score = np.round(rng.beta(1 + truth, 2 - truth), digits)
    found = split_metrics(split, truth, score)
    for at in range(6):
        y, s = truth[split == at], score[split == at]
        expected = {
            "auc": roc_auc_score(y, s),
            "accuracy": accuracy_score(y, s >= 0.5),
            "balanced_accuracy": balanced_accuracy_score(y, s >= 0.5),
        }
        assert {name: found[name][at] for name in found} == pytest.approx(expected)


def test_split_of_one_class_has_an_accuracy_only():
    found = split_metrics(np.zeros(2, int), np.ones(2, int), np.array([0.2, 0.8]))
    assert found["accuracy"] == [0.5]
    assert np.isnan([found["auc"], found["balanced_accuracy"]]).all()


def splits(parts) -> pd.DataFrame:
    rows = [
        (1, fold, f"sub-{i}", part)
        for fold, row in enumerate(parts, start=1)
        for i, part in enumerate(row)
    ]
    return pd.DataFrame(rows, columns=["repeat", "fold", "participant_id", "part"])


FOLDS = splits(
    [["test", "test", "valid", "train"], ["train", "valid", "train", "test"]]
)
TESTED = FOLDS[FOLDS["part"] == "test"]


def test_share_counts_people_of_every_split():
    assert share_tested(TESTED, FOLDS) == pytest.approx((2 / 2 + 1 / 3) / 2)
    without_relative = FOLDS.drop(index=4)
    assert share_tested(TESTED, without_relative) == pytest.approx((2 / 2 + 1 / 2) / 2)
    assert share_tested(TESTED) == pytest.approx((2 / 1 + 1 / 2) / 2)


def test_share_counts_a_person_drawn_twice_once():
    drawn = pd.concat([FOLDS, FOLDS[FOLDS["part"] == "train"]])
    assert share_tested(TESTED, drawn) == share_tested(TESTED, FOLDS)


def test_share_is_unknown_where_everyone_is_tested_at_once():
    assert np.isnan(share_tested(TESTED.assign(fold=1)))


def test_share_refuses_other_folds():
    with pytest.raises(InputError, match=r"lack the columns \['part'\]"):
        share_tested(TESTED, FOLDS.drop(columns="part"))
    with pytest.raises(InputError, match=r"1 of 2 splits .* first repeat 1, fold 2"):
        share_tested(TESTED, FOLDS[FOLDS["fold"] == 1])
