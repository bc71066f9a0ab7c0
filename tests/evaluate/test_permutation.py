"""Permutation nulls: every swap within a cell, p against enumeration, honest level."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from bidsclf.errors import InputError
from bidsclf.evaluate.permutation import (
    METRICS,
    fixed_table,
    label_permutations,
    null_metrics,
    refit_table,
)

SEEDS = st.integers(0, 2**16)


def table(truth, scores, site="NYU", **more) -> pd.DataFrame:
    people = [f"sub-{i:03d}" for i in range(len(truth))]
    same = {"site": site, "model": "fc-svm", "repeat": 1, "fold": 1}
    columns = {"participant_id": people, "truth": truth, "score": scores}
    return pd.DataFrame(columns | same | more)


def drawn(seed: int, n: int = 40, effect: float = 0.0):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n) % 3 == 0).astype(int)
    return truth, np.round(np.clip(rng.random(n) + effect * truth, 0, 1), 1)


@given(seed=SEEDS, n_cells=st.integers(1, 6))
def test_labels_are_shuffled_within_cells_only(seed, n_cells):
    rng = np.random.default_rng(seed)
    y, cells = rng.integers(2, size=30), rng.integers(n_cells, size=30).astype(str)
    labels = label_permutations(y, cells, n=5, seed=seed)
    assert labels.dtype == np.int8
    assert labels.shape == (5, 30)
    for cell in np.unique(cells):
        assert (labels[:, cells == cell].sum(axis=1) == y[cells == cell].sum()).all()


def test_every_order_is_as_likely_as_any_other():
    labels = label_permutations(np.array([0, 0, 1, 1]), np.zeros(4), n=6000, seed=0)
    _, counts = np.unique(labels, axis=0, return_counts=True)
    assert len(counts) == 6
    assert np.abs(counts - 1000).max() < 150  # 5 SD


def test_a_cell_of_one_and_a_cell_of_one_class_stay_as_they_are():
    y, cells = np.array([1, 0, 0, 1, 0]), np.array(["a", "b", "b", "c", "c"])
    labels = label_permutations(y, cells, n=50, seed=0)
    assert (labels[:, :3] == y[:3]).all()
    assert len(np.unique(labels[:, 3:], axis=0)) == 2


def test_cells_do_not_depend_on_the_type_of_their_names():
    y, cells = drawn(0)[0], np.arange(40) // 10
    np.testing.assert_array_equal(
        label_permutations(y, cells, n=3, seed=1),
        label_permutations(y, cells.astype(str).astype(object), n=3, seed=1),
    )


@pytest.mark.parametrize("seed", range(3))
def test_null_metrics_are_scikit_learn_s(seed):
    rng = np.random.default_rng(seed)
    labels = rng.permuted(np.tile(np.arange(21) % 3 == 0, (8, 1)), axis=1).astype(int)
    scores = np.round(rng.random((8, 21)), 1)
    found = null_metrics(labels, scores)
    assert found["permutation"].tolist() == list(range(1, 9))
    for at, (y, s) in enumerate(zip(labels, scores, strict=True)):
        assert found["auc"][at] == pytest.approx(roc_auc_score(y, s))
        assert found["accuracy"][at] == pytest.approx(accuracy_score(y, s >= 0.5))
        expected = balanced_accuracy_score(y, s >= 0.5)
        assert found["balanced_accuracy"][at] == pytest.approx(expected)


def test_p_agrees_with_every_permutation_counted():
    truth = np.array([0, 1, 0, 1, 1, 0])
    score = np.array([0.2, 0.9, 0.4, 0.6, 0.3, 0.1])
    every = [roc_auc_score(p, score) for p in set(permutations(truth))]
    exact = np.mean(np.array(every) >= roc_auc_score(truth, score) - 1e-9)
    found = fixed_table(table(truth, score), n_permutations=20_000, seed=0)
    auc = found[found["metric"] == "auc"].iloc[0]
    assert auc["p"] == pytest.approx(exact, abs=0.015)
    assert auc["null_mean"] == pytest.approx(np.mean(every), abs=0.01)
    assert auc["null_sd"] == pytest.approx(np.std(every), abs=0.01)


def test_observed_values_are_those_of_the_mean_score_of_a_person():
    truth, score = drawn(3, effect=0.3)
    rows = pd.concat([table(truth, score), table(truth, score[::-1], repeat=2)])
    found = fixed_table(rows, n_permutations=100, seed=0).set_index("metric")
    mean = (score + score[::-1]) / 2
    assert found.index.tolist() == list(METRICS)
    assert found.loc["auc", "observed"] == pytest.approx(roc_auc_score(truth, mean))
    assert found.loc["accuracy", "observed"] == np.mean((mean >= 0.5) == truth)


def test_p_keeps_its_level_where_nothing_is_to_be_found():
    p = []
    for seed in range(150):
        truth, _ = drawn(seed)
        rows = table(truth, np.random.default_rng([seed, 1]).random(40))
        p.append(fixed_table(rows, n_permutations=199, seed=seed)["p"][0])
    assert kstest(p, "uniform").pvalue > 0.001
    assert min(p) >= 1 / 200


def test_the_site_shortcut_is_no_evidence():
    # Scores know the site, whose shares of patients are 4 of 5 and 1 of 5; within
    # a site they know nothing. Shuffled over all people, this would look real.
    rng = np.random.default_rng(0)
    site = np.repeat(["A", "B"], 100)
    truth = np.tile([1, 1, 1, 1, 0], 40) ^ (site == "B")
    score = np.clip(
        0.5 + 0.3 * ((site == "A") - 0.5) + 0.1 * rng.normal(size=200), 0, 1
    )
    within = fixed_table(table(truth, score, site), n_permutations=999, seed=0)
    assert within["observed"][0] > 0.7
    assert within["null_mean"][0] > 0.7
    assert within["p"][0] > 0.05
    across = fixed_table(table(truth, score, "all"), n_permutations=999, seed=0)
    assert across["p"][0] == 0.001


@pytest.mark.parametrize("seed", range(5))
def test_equal_scores_are_never_evidence(seed):
    truth, _ = drawn(seed)
    found = fixed_table(table(truth, 0.7), n_permutations=20, seed=seed)
    assert found["p"].tolist() == [1, 1, 1]
    np.testing.assert_allclose(found["null_sd"], 0, atol=1e-12)


def test_people_of_one_class_have_no_auc():
    found = fixed_table(table([1, 1, 1], [0.1, 0.6, 0.7]), n_permutations=9, seed=0)
    assert found["p"].isna().tolist() == [True, False, True]
    assert found["n_permutations"].tolist() == [0, 9, 0]


def nulls(values, model="fc-svm") -> pd.DataFrame:
    columns = {"model": model, "permutation": np.arange(1, len(values) + 1)}
    return pd.DataFrame(columns | dict.fromkeys(METRICS, values))


def test_refits_are_compared_with_scores_of_the_first_repeat():
    truth, score = drawn(0, effect=0.4)
    rows = table(truth, score)
    rows = pd.concat([rows, rows.assign(repeat=2, score=1 - score)])
    auc = roc_auc_score(truth, score)
    found = refit_table(rows, nulls([0.4, auc, auc - 1e-6])).iloc[0]
    assert found["null"] == "refit"
    assert found["observed"] == pytest.approx(auc)
    assert found["p"] == (1 + 1) / (3 + 1)
    assert found["null_mean"] == pytest.approx(np.mean([0.4, auc, auc]), abs=1e-6)
    assert found["n_permutations"] == 3


def test_models_without_refits_have_no_row():
    truth, score = drawn(0)
    assert refit_table(table(truth, score), nulls([0.5], model="meanmlp")).empty


def test_refuses_scores_and_labels_of_other_shapes():
    with pytest.raises(InputError, match=r"\(2, 3\), scores \(3, 3\)"):
        null_metrics(np.zeros((2, 3)), np.zeros((3, 3)))


@pytest.mark.parametrize("bad", [np.nan, -0.1, 2.0])
def test_refuses_scores_of_refits_that_are_none(bad):
    with pytest.raises(InputError, match=r"1 of 4 scores of refits are outside"):
        null_metrics(np.array([[0, 1, 0, 1]]), np.array([[0.1, 0.2, bad, 0.4]]))


def test_refuses_nulls_without_their_columns():
    truth, score = drawn(0)
    with pytest.raises(InputError, match=r"lack the columns \['auc'\]"):
        refit_table(table(truth, score), nulls([0.5]).drop(columns="auc"))
