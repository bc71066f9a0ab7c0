"""Holm against statsmodels, and the table of every pair by every test."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from bidsclf.errors import InputError
from bidsclf.evaluate.comparison import comparisons_table, holm
from bidsclf.evaluate.delong import delong_test
from bidsclf.evaluate.paired import corrected_t, mcnemar, paired_t

N = 36
FAMILIES = [
    ["delong", "auc", "two"],
    ["mcnemar", "accuracy", "two"],
    ["nadeau-bengio", "auc", "two"],
    ["nadeau-bengio", "accuracy", "two"],
    ["paired-t", "auc", "a > b"],
    ["paired-t", "accuracy", "a > b"],
]


@settings(max_examples=20)  # statsmodels takes 50 ms a call
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(p):
    np.testing.assert_allclose(holm(np.array(p)), multipletests(p, method="holm")[1])


def test_holm_leaves_out_what_has_no_p():
    np.testing.assert_allclose(
        holm(np.array([0.04, np.nan, 0.03])), [0.06, np.nan, 0.06]
    )


def predictions(models=("a", "m", "z"), repeats=2) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    truth = np.arange(N) % 2
    frames = [
        pd.DataFrame(
            {
                "participant_id": [f"sub-{i:02d}" for i in range(N)],
                "site": "NYU",
                "model": model,
                "repeat": repeat,
                "fold": rng.permutation(N) % 3 + 1,
                "truth": truth,
                "score": np.clip(0.3 * truth + rng.uniform(0, 0.7, N), 0, 1),
            }
        )
        for repeat in range(1, repeats + 1)
        for model in models
    ]
    table = pd.concat(frames, ignore_index=True)
    folds = table[table["model"] == models[0]].set_index(["repeat", "participant_id"])
    keys = pd.MultiIndex.from_frame(table[["repeat", "participant_id"]])
    table["fold"] = folds["fold"].loc[keys].to_numpy()
    return table.sample(frac=1, random_state=0).sort_values("model", kind="stable")


def scores(rows, model):
    mine = rows[rows["model"] == model].groupby("participant_id")
    return mine["truth"].first().to_numpy(), mine["score"].mean().to_numpy()


def by_fold(rows, model):
    """AUC and accuracy of each repeat and fold, by hand."""
    found = {"auc": [], "accuracy": []}
    for _, fold in rows[rows["model"] == model].groupby(["repeat", "fold"]):
        y, s = fold["truth"], fold["score"]
        found["auc"].append(roc_auc_score(y, s))
        found["accuracy"].append(((s >= 0.5) == y).mean())
    return {name: np.array(values) for name, values in found.items()}


def cells(table, test, metric, a="a", b="z"):
    found = table[(table["test"] == test) & (table["metric"] == metric)]
    found = found[(found["model_a"] == a) & (found["model_b"] == b)]
    assert len(found) == 1
    return found.iloc[0]


NUMBERS = ["difference", "low", "high", "p"]


def test_table_has_every_pair_by_every_test():
    table = comparisons_table(predictions())
    assert list(table) == [
        "model_a", "model_b", "metric", "test",
        "difference", "low", "high", "p", "p_holm", "n", "sided",
    ]  # fmt: skip
    pairs = [["a", "m"], ["a", "z"], ["m", "z"]]
    assert table[["model_a", "model_b"]].to_numpy().tolist() == pairs * 6
    families = table[["test", "metric", "sided"]].to_numpy().tolist()
    assert families == [row for row in FAMILIES for _ in range(3)]
    for _, family in table.groupby(["test", "metric"]):
        assert family["p_holm"].to_numpy() == pytest.approx(
            multipletests(family["p"], method="holm")[1]
        )


def test_tests_of_people_take_the_mean_score_over_repeats():
    rows = predictions()
    table = comparisons_table(rows)
    (truth, a), (_, z) = scores(rows, "a"), scores(rows, "z")
    for test, metric, function in (
        ("delong", "auc", delong_test),
        ("mcnemar", "accuracy", mcnemar),
    ):
        found = cells(table, test, metric)
        assert tuple(found[NUMBERS]) == pytest.approx(function(truth, a, z))
        assert found["n"] == N


def test_tests_of_splits_take_a_value_a_fold():
    rows = predictions()
    table = comparisons_table(rows)
    a, z = by_fold(rows, "a"), by_fold(rows, "z")
    for metric in ("auc", "accuracy"):
        gap = a[metric] - z[metric]
        found = cells(table, "nadeau-bengio", metric)
        assert tuple(found[NUMBERS]) == pytest.approx(corrected_t(gap, 12 / 24))
        assert found["n"] == 6
        found = cells(table, "paired-t", metric)
        assert tuple(found[NUMBERS]) == pytest.approx(paired_t(gap))


def test_folds_say_how_many_people_were_learned_from():
    rows = predictions(repeats=1)
    tested = rows[rows["model"] == "a"]
    folds = pd.concat(
        tested.assign(part=np.where(tested["fold"] == fold, "test", "train"), fold=fold)
        for fold in (1, 2, 3)
    )
    people = [f"sub-{i:02d}" for i in range(6)]
    lost = folds["participant_id"].isin(people) & (folds["part"] == "train")
    shares = folds[~lost].groupby(["fold", "part"]).size().unstack()
    share = (shares["test"] / shares["train"]).mean()
    gap = by_fold(rows, "a")["auc"] - by_fold(rows, "z")["auc"]
    found = cells(comparisons_table(rows, folds[~lost]), "nadeau-bengio", "auc")
    assert share > 0.6
    assert tuple(found[NUMBERS]) == pytest.approx(corrected_t(gap, share))


def test_pairs_are_compared_on_the_people_both_judged():
    rows = predictions()
    rows = rows[(rows["model"] != "m") | (rows["participant_id"] != "sub-00")]
    table = comparisons_table(rows)
    people = table[table["test"].isin(["delong", "mcnemar"])]
    assert people["n"].tolist() == [35, 36, 35] * 2
    common = rows[rows["participant_id"] != "sub-00"]
    gap = by_fold(common, "a")["auc"] - by_fold(common, "m")["auc"]
    found = cells(table, "nadeau-bengio", "auc", "a", "m")
    assert found["difference"] == pytest.approx(gap.mean())


def test_one_fold_is_no_test_of_splits():
    table = comparisons_table(predictions(repeats=1).assign(fold=1))
    by_split = table[table["test"].isin(["nadeau-bengio", "paired-t"])]
    assert (by_split["n"] == 1).all()
    assert by_split[["p", "p_holm", "low", "high"]].isna().all(axis=None)
    assert by_split["difference"].notna().all()
    assert table.loc[table["test"] == "delong", "p_holm"].notna().all()


def test_models_of_different_people_have_no_difference():
    rows = predictions(models=("a", "z"))
    is_even = rows["participant_id"].str[-1].astype(int) % 2 == 0
    table = comparisons_table(rows[is_even == (rows["model"] == "a")])
    assert (table["n"] == 0).all()
    assert table[["p", "low", "high"]].isna().all(axis=None)


def test_the_order_of_rows_changes_nothing():
    rows = predictions()
    mixed = rows.sample(frac=1, random_state=5).sort_values("model", kind="stable")
    pd.testing.assert_frame_equal(comparisons_table(rows), comparisons_table(mixed))


def test_table_of_one_model_is_empty_but_has_its_columns():
    table = comparisons_table(predictions(models=("a",)))
    assert table.empty
    assert "p_holm" in table


def test_table_refuses_folds_of_another_analysis():
    folds = pd.DataFrame({"repeat": [1], "fold": [1], "participant_id": ["sub-00"]})
    with pytest.raises(
        InputError, match=r"give the folds\.tsv beside these predictions"
    ):
        comparisons_table(predictions(), folds.assign(part="test"))
