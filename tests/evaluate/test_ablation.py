"""The ablation's table is of predictions alone, and its numbers hold together."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, recall_score

from bidsclf.errors import InputError
from bidsclf.evaluate import ablation
from bidsclf.evaluate.ablation import ablation_table, chosen_again, folds_table

MODELS = ("lstm-s", "lstm-d", "fc-svm", "control-site", "control-motion")


def predictions(seed=0, n=40, n_folds=5, n_repeats=1, models=MODELS, strength=0.5):
    rng = np.random.default_rng(seed)
    truth, parts = rng.permutation(np.arange(n) % 3 == 0).astype(int), []
    for model in models:
        for repeat in range(1, n_repeats + 1):
            logit = strength * (2 * truth - 1) + rng.normal(size=n)
            parts.append(
                pd.DataFrame(
                    {
                        "participant_id": [f"sub-{i:03d}" for i in range(n)],
                        "site": "A",
                        "model": model,
                        "repeat": repeat,
                        "fold": 1 + rng.permutation(n) % n_folds,
                        "truth": truth,
                        "score": 1 / (1 + np.exp(-logit)),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def test_agrees_with_scikit_learn():
    rows = predictions()
    table = ablation_table(rows)
    for told in table[~table["fold"].isin(("mean", "sd"))].itertuples():
        here = rows[(rows["model"] == told.model) & (rows["fold"] == int(told.fold))]
        called = here["score"] >= 0.5
        assert told.accuracy == accuracy_score(here["truth"], called)
        assert told.sensitivity == recall_score(here["truth"], called)
        assert told.specificity == recall_score(here["truth"], called, pos_label=0)
        assert (told.n, told.n_positive) == (len(here), here["truth"].sum())


def test_only_families_of_two_members_are_ablated_and_controls_never():
    table = ablation_table(predictions())
    assert list(dict.fromkeys(table["model"])) == ["lstm-s", "lstm-d"]
    assert list(table["fold"][:7]) == ["1", "2", "3", "4", "5", "mean", "sd"]
    assert tuple(dict.fromkeys(folds_table(predictions())["model"])) == MODELS
    assert ablation_table(predictions(models=("fc-svm", "lstm-d"))).empty


def test_summaries_are_the_mean_and_sd_of_the_folds():
    table = ablation_table(predictions()).set_index(["model", "fold"])
    values = table.loc["lstm-d"].drop(["mean", "sd"])
    for name in ablation.MEASURES:
        assert table.loc[("lstm-d", "mean"), name] == pytest.approx(
            np.mean(values[name])
        )
        assert table.loc[("lstm-d", "sd"), name] == pytest.approx(
            np.std(values[name], ddof=1)
        )
    assert (table.loc[(slice(None), "mean"), "n"] == 40).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**16), n_repeats=st.integers(1, 2))
def test_the_identity_holds_in_every_fold(seed, n_repeats):
    table = ablation_table(predictions(seed, n=20, n_repeats=n_repeats))
    assert (table["identity"].dropna() <= 1e-9).all()
    folds = table[~table["fold"].isin(("mean", "sd"))].dropna()
    weight = folds["n_positive"] / folds["n"]
    mixed = weight * folds["sensitivity"] + (1 - weight) * folds["specificity"]
    np.testing.assert_allclose(folds["accuracy"], mixed, atol=1e-9)


def test_a_broken_identity_is_an_error(monkeypatch):
    monkeypatch.setattr(ablation, "EXACT", -1.0)
    with pytest.raises(ArithmeticError, match="they are one number"):
        ablation_table(predictions())


def test_a_fold_without_patients_has_no_sensitivity():
    rows = predictions()
    rows = rows[(rows["fold"] != 2) | (rows["truth"] == 0)]
    table = ablation_table(rows).set_index(["model", "fold"])
    assert table["sensitivity"].isna().tolist().count(True) == 2
    assert np.isnan(table.loc[("lstm-s", "2"), "sensitivity"])
    assert table.loc[("lstm-s", "2"), "identity"] <= 1e-9
    assert np.isfinite(table.loc[("lstm-s", "mean"), "sensitivity"])


def test_folds_of_several_repeats_are_told_apart():
    table = ablation_table(predictions(n_repeats=2))
    assert {"1/1", "2/5", "mean"} <= set(table["fold"])
    assert not table.duplicated(["model", "fold"]).any()


def test_the_order_of_rows_changes_nothing():
    rows = predictions()
    mixed = rows.groupby("model", sort=False, group_keys=False).sample(
        frac=1, random_state=3
    )
    pd.testing.assert_frame_equal(ablation_table(rows), ablation_table(mixed))


def test_the_best_of_many_coins_is_a_coin_again():
    models = tuple(f"toy-{i}" for i in range(20))
    seen, corrected = [], []
    for seed in range(10):
        rows = predictions(seed, n=120, models=models, strength=0.0)
        table = ablation_table(rows)
        seen.append(table.loc[table["fold"] == "mean", "accuracy"].max())
        corrected.append(chosen_again(rows, models, n_bootstrap=100)[0])
    assert np.mean(seen) > 0.56
    assert np.mean(corrected) == pytest.approx(0.5, abs=0.03)


def test_a_model_far_ahead_is_chosen_always_and_keeps_its_accuracy():
    weak = predictions(1, n=200, models=("toy-a", "toy-b"), strength=0.0)
    strong = predictions(1, n=200, models=("toy-c",), strength=1.5)
    rows, models = pd.concat([weak, strong]), ("toy-a", "toy-b", "toy-c")
    found, chosen = chosen_again(rows, models, n_bootstrap=200)
    right = (strong["score"] >= 0.5) == (strong["truth"] == 1)
    assert chosen == {"toy-a": 0, "toy-b": 0, "toy-c": 1}
    assert found == pytest.approx(right.mean(), abs=0.01)


def test_a_table_of_something_else_is_refused():
    with pytest.raises(InputError, match="lack the columns"):
        ablation_table(predictions().drop(columns="score"))
