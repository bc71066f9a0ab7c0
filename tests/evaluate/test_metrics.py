"""Every metric against scikit-learn, its laws, and the table of them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from bidsclf.errors import InputError
from bidsclf.evaluate import metrics
from bidsclf.evaluate.metrics import METRICS, measure, metrics_table

SEEDS = st.integers(0, 2**16)


def scored(seed: int, n: int = 40, *, digits: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Truth with both classes, and scores rounded so that many are tied."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n) % 3 == 0).astype(int)
    return truth, np.round(rng.beta(1 + truth, 2 - truth), digits)


def one(truth, score, name) -> float:
    return float(measure(truth, score)[name][0])


def predictions(n: int = 24, models=("fc-svm", "meanmlp"), repeats=2) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 2
    frames = [
        pd.DataFrame(
            {
                "participant_id": [f"sub-{i:02d}" for i in range(n)],
                "site": np.where(np.arange(n) < n // 3, "KKI", "NYU"),
                "model": model,
                "repeat": repeat + 1,
                "fold": np.arange(n) // 2 % 3 + 1,
                "truth": truth,
                "score": np.clip(0.3 * truth + rng.uniform(0, 0.7, n), 0, 1),
            }
        )
        for model in models
        for repeat in range(repeats)
    ]
    return pd.concat(frames, ignore_index=True)


def cell(table: pd.DataFrame, **where) -> pd.Series:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


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
    monkeypatch.setattr(metrics, "_specificity", lambda t: np.full(len(t.n), 0.123))
    with pytest.raises(ArithmeticError, match="weighted mean"):
        metrics._accuracy(metrics.Tally(*as_tally(*scored(0))))


def as_tally(truth, score):
    return truth.astype(bool), score, np.ones((1, len(truth)))


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


def test_table_pools_the_mean_score_over_repeats():
    rows = predictions()
    table = metrics_table(rows, n_bootstrap=100, seed=0)
    mine = rows[rows["model"] == "meanmlp"].groupby("participant_id").mean(True)
    expected = sk.roc_auc_score(mine["truth"], mine["score"])
    found = cell(
        table, model="meanmlp", scope="pooled", metric="auc", method="bootstrap"
    )
    assert found["estimate"] == pytest.approx(expected)
    assert found["low"] <= expected <= found["high"]
    assert (found["n"], found["n_positive"]) == (24, 12)


def test_table_averages_folds_and_names_them():
    rows = predictions()
    table = metrics_table(rows, n_bootstrap=100, seed=0)
    mine = rows[rows["model"] == "fc-svm"].groupby(["repeat", "fold"])
    areas = mine[["truth", "score"]].apply(lambda f: sk.roc_auc_score(*f.T.to_numpy()))
    mean = cell(table, model="fc-svm", scope="mean of folds", metric="auc")
    assert mean["estimate"] == pytest.approx(areas.mean())
    assert mean["sd"] == pytest.approx(areas.std(ddof=1))
    assert mean["group"] == "6 of 6 folds"
    place = {"model": "fc-svm", "scope": "fold", "group": "2/3"}
    assert cell(table, **place, metric="auc")["estimate"] == areas[2, 3]


def test_table_survives_a_site_of_one_class():
    rows = predictions()
    rows.loc[rows["site"] == "KKI", "truth"] = 1
    table = metrics_table(rows, n_bootstrap=100, seed=0)
    site = {"model": "fc-svm", "group": "KKI"}
    found = cell(table, **site, metric="auc", method="delong")
    assert found[["estimate", "sd", "low", "high"]].isna().all()
    assert np.isfinite(cell(table, **site, metric="accuracy")["low"])


def test_table_does_not_depend_on_the_order_of_rows():
    rows = predictions(models=["fc-svm"])
    first = metrics_table(rows, n_bootstrap=100, seed=0)
    other = metrics_table(rows.sample(frac=1, random_state=1), n_bootstrap=100, seed=0)
    pd.testing.assert_frame_equal(first, other)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop(columns="score"), r"lack the columns \['score'\]"),
        (lambda t: t.iloc[:0], "0 rows"),
        (lambda t: t.assign(score=t["score"] + 1), r"outside \[0, 1\].*and 19 more"),
        (lambda t: t.assign(score=np.nan), "48 of 48|96 of 96"),
        (lambda t: t.assign(truth=2), r"truth holds \['2'\]; it is 0 or 1"),
        (lambda t: t.assign(truth=t["repeat"] - 1), "truth differs within a person"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "twice in one repeat: sub-00"),
    ],
)
def test_refuses_what_is_not_predictions(spoil, message):
    with pytest.raises(InputError, match=message):
        metrics_table(spoil(predictions()), n_bootstrap=100, seed=0)
