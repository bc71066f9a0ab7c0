"""Splits against scipy and scikit-learn, split by split; the corrected t by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t, ttest_1samp
from sklearn import metrics as sk

from bidsclf.errors import InputError
from bidsclf.evaluate.experiment import GRID, experiment_table, roc_curve, roc_table

SEEDS = st.integers(0, 2**16)


def kfold(n: int = 60, n_folds: int = 5, effect: float = 0.3, seed: int = 0):
    """Predictions of one model, two repeats of folds, a third of people patients."""
    rng = np.random.default_rng(seed)
    truth = (np.arange(n) % 3 == 0).astype(int)
    frames = [
        pd.DataFrame(
            {
                "participant_id": [f"sub-{i:03d}" for i in range(n)],
                "site": "NYU",
                "model": "fc-svm",
                "repeat": repeat,
                "fold": np.arange(n) // 3 % n_folds + 1,
                "truth": truth,
                "score": np.clip(rng.random(n) + effect * (truth - 0.5), 0, 1),
            }
        )
        for repeat in (1, 2)
    ]
    return pd.concat(frames, ignore_index=True)


def each(rows: pd.DataFrame, metric) -> np.ndarray:
    return np.array([metric(r) for _, r in rows.groupby(["repeat", "fold"])])


ORACLES = {
    "auc": (lambda r: sk.roc_auc_score(r["truth"], r["score"]), 0.5),
    "accuracy": (lambda r: sk.accuracy_score(r["truth"], r["score"] >= 0.5), 2 / 3),
    "balanced_accuracy": (
        lambda r: sk.balanced_accuracy_score(r["truth"], r["score"] >= 0.5),
        0.5,
    ),
}


@pytest.mark.parametrize("metric", ORACLES)
def test_every_number_is_that_of_the_splits(metric):
    rows = kfold()
    oracle, chance = ORACLES[metric]
    values = each(rows, oracle)
    found = experiment_table(rows).set_index("metric").loc[metric]
    assert found["n_splits"] == 10
    assert found["mean"] == pytest.approx(values.mean())
    assert found["sd"] == pytest.approx(values.std(ddof=1))
    low, median, high = np.percentile(values, [2.5, 50, 97.5])
    assert found["median"] == pytest.approx(median)
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    expected = ttest_1samp(values, chance, alternative="greater")
    assert found["t"] == pytest.approx(expected.statistic)
    assert found["p_t"] == pytest.approx(expected.pvalue)
    assert found["chance"] == pytest.approx(chance)
    below = np.sum(values <= chance + 1e-12)
    assert found["p_percentile"] == pytest.approx((below + 1) / 11)


def test_the_correction_is_that_of_nadeau_and_bengio():
    # Written out: 10 splits, 12 people tested and 48 trained in each.
    rows = kfold()
    values = each(rows, ORACLES["auc"][0])
    corrected = (values.mean() - 0.5) / np.sqrt(
        (1 / 10 + 12 / 48) * np.sum((values - values.mean()) ** 2) / 9
    )
    found = experiment_table(rows).iloc[0]
    assert found["p_nadeau_bengio"] == pytest.approx(1 - t.cdf(corrected, 9))
    assert found["p_nadeau_bengio"] > found["p_t"]


def test_training_sizes_come_from_the_folds_if_there_are_any():
    rows = kfold(n=60, n_folds=5)
    parts = [
        pd.DataFrame(
            {
                "repeat": repeat,
                "fold": fold,
                "participant_id": [f"sub-{i % 24:03d}" for i in range(48)]
                + [f"sub-{i:03d}" for i in range(24, 36)],
                "part": (["train"] * 20 + ["valid"] * 4) * 2 + ["test"] * 12,
            }
        )
        for repeat in (1, 2)
        for fold in range(1, 6)
    ]  # 24 people learn, most of them drawn twice
    values = each(rows, ORACLES["auc"][0])
    corrected = (values.mean() - 0.5) / values.std(ddof=1) / np.sqrt(1 / 10 + 12 / 24)
    found = experiment_table(rows, pd.concat(parts)).iloc[0]
    assert found["p_nadeau_bengio"] == pytest.approx(t.sf(corrected, 9))


def test_the_corrected_test_keeps_its_level_where_the_plain_one_does_not():
    # Nearest class mean on pure noise, refitted on ten random halves of 40 people.
    p = np.array([_halves(seed) for seed in range(150)])
    plain, corrected = (p < 0.05).mean(axis=0)
    assert corrected < 0.09
    assert plain > 0.15


def _halves(seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(40, 5)), np.arange(40) % 2
    rows = []
    for repeat in range(1, 11):
        at = rng.permutation(40)
        learn, test = at[:20], at[20:]
        means = [x[learn][y[learn] == label].mean(axis=0) for label in (0, 1)]
        score = 1 / (1 + np.exp(-x[test] @ (means[1] - means[0])))
        columns = {"participant_id": test.astype(str), "truth": y[test], "score": score}
        rows.append(pd.DataFrame(columns | {"repeat": repeat, "fold": 1}))
    table = pd.concat(rows).assign(model="m", site="s")
    found = experiment_table(table).iloc[0]
    return found["p_t"], found["p_nadeau_bengio"]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_changes_nothing(seed):
    rows = kfold()
    shuffled = rows.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(experiment_table(rows), experiment_table(shuffled))
    pd.testing.assert_frame_equal(roc_table(rows), roc_table(shuffled))


def test_splits_of_one_class_have_no_auc_but_an_accuracy():
    rows = kfold()
    rows.loc[rows["fold"] == 1, "site"] = "one class"
    alone = rows[(rows["fold"] > 1) | (rows["truth"] == 1)]
    found = experiment_table(alone).set_index("metric")
    assert found["n_splits"].to_dict() == {
        "auc": 8,
        "accuracy": 10,
        "balanced_accuracy": 8,
    }


def test_one_split_has_no_test_and_no_spread():
    rows = kfold()
    single = rows[(rows["repeat"] == 1) & (rows["fold"] == 1)]
    found = experiment_table(single)
    assert found["n_splits"].tolist() == [1, 1, 1]
    assert found[["sd", "t", "p_t", "p_nadeau_bengio", "p_percentile"]].isna().all(None)
    assert roc_table(single)["sd"].isna().all()


def test_splits_that_all_agree_have_no_t():
    rows = kfold().assign(score=0.2)
    found = experiment_table(rows).set_index("metric").loc["accuracy"]
    assert found["mean"] == pytest.approx(2 / 3)
    assert np.isnan(found["p_t"])
    assert found["p_percentile"] == 1  # always at chance


@given(seed=SEEDS, digits=st.integers(1, 3))
def test_the_curve_is_scikit_learn_s(seed, digits):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(25) % 3 == 0).astype(int)
    score = np.round(rng.random(25), digits)
    fpr, tpr, _ = sk.roc_curve(truth, score, drop_intermediate=False)
    found = roc_curve(truth, score)
    inner = ~np.isclose(GRID[:, None], fpr, atol=1e-9).any(axis=1)
    np.testing.assert_allclose(found[inner], np.interp(GRID, fpr, tpr)[inner])
    for rate in (0, 1):  # where the curve is a step, its upper end
        assert found[100 * rate] == tpr[fpr == rate].max()


def test_reversed_scores_bend_the_curve_below_the_diagonal():
    truth, score = np.array([1, 1, 0, 0]), np.array([0.1, 0.2, 0.8, 0.9])
    assert roc_curve(truth, score)[:100].max() == 0
    assert roc_curve(truth, 1 - score).min() == 1


def test_bands_are_percentiles_over_splits():
    rows = kfold()
    curves = np.array(
        [
            roc_curve(r["truth"].to_numpy(), r["score"].to_numpy())
            for _, r in rows.groupby(["repeat", "fold"])
        ]
    )
    found = roc_table(rows)
    assert found["fpr"].tolist() == GRID.tolist()
    np.testing.assert_allclose(found["median"], np.median(curves, axis=0))
    np.testing.assert_allclose(found["sd"], curves.std(axis=0, ddof=1))
    for name, q in (("p2_5", 2.5), ("p16", 16), ("p84", 84), ("p97_5", 97.5)):
        np.testing.assert_allclose(found[name], np.percentile(curves, q, axis=0))


def test_no_split_of_both_classes_gives_no_curve():
    assert roc_table(kfold().assign(truth=1)).empty


@pytest.mark.parametrize("table", [experiment_table, roc_table])
def test_refuses_another_table(table):
    with pytest.raises(InputError, match="lack the columns"):
        table(kfold().drop(columns="repeat"))
