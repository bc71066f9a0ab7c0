"""The ablation's table is of predictions alone, and its numbers hold together."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, recall_score

from bidsclf.errors import InputError
from bidsclf.evaluate import ablation
from bidsclf.evaluate.ablation import ablation_table, chosen_elsewhere, folds_table

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
    rng, seen, elsewhere = np.random.default_rng(0), [], []
    models, folds = [f"toy-{i}" for i in range(20)], list("12345")
    rows = pd.DataFrame({"model": np.repeat(models, 5), "fold": folds * 20})
    for _ in range(80):  # of 120 people each; one trial has a deviation of .06
        table = rows.assign(accuracy=rng.binomial(24, 0.5, len(rows)) / 24)
        seen.append(table.groupby("model")["accuracy"].mean().max())
        elsewhere.append(chosen_elsewhere(table, models)[0])
    assert np.mean(seen) == pytest.approx(0.585, abs=0.01)
    assert np.mean(elsewhere) == pytest.approx(0.5, abs=0.02)


def test_a_model_far_ahead_is_chosen_always_and_keeps_its_accuracy():
    weak = predictions(1, n=200, models=("toy-a", "toy-b"), strength=0.0)
    strong = predictions(1, n=200, models=("toy-c",), strength=1.5)
    table = ablation_table(pd.concat([weak, strong]))
    found, chosen = chosen_elsewhere(table, ("toy-a", "toy-b", "toy-c"))
    assert chosen == {"toy-a": 0, "toy-b": 0, "toy-c": 1}
    means = table[table["fold"] == "mean"].set_index("model")["accuracy"]
    assert found == pytest.approx(means["toy-c"])


def test_models_that_tie_are_worth_what_they_are():
    folds, models = list("12345"), ("toy-a", "toy-b")
    rows = pd.DataFrame({"model": np.repeat(models, 5), "fold": folds * 2})
    found, chosen = chosen_elsewhere(rows.assign(accuracy=0.5), models)
    assert (found, chosen) == (0.5, {"toy-a": 0.5, "toy-b": 0.5})


def test_folds_of_other_repeats_do_not_choose():
    models, folds = ("toy-a", "toy-b"), ["1/1", "1/2", "2/1", "2/2"]
    rows = pd.DataFrame({"model": np.repeat(models, 4), "fold": folds * 2})
    accuracy = [1.0, 0.2, 0.3, 0.3, 0.6, 0.6, 0.9, 0.9]
    found, _ = chosen_elsewhere(rows.assign(accuracy=accuracy), models)
    assert found == pytest.approx(np.mean([0.6, 0.9, 0.9, 1.0]) - (1.0 - 0.2) / 4)


def test_rounds_of_a_bootstrap_have_no_other_folds():
    models = ("toy-a", "toy-b")
    rows = pd.DataFrame({"model": np.repeat(models, 2), "fold": ["1/1", "2/1"] * 2})
    found, chosen = chosen_elsewhere(rows.assign(accuracy=0.5), models)
    assert np.isnan([found, *chosen.values()]).all()


def test_a_table_of_something_else_is_refused():
    with pytest.raises(InputError, match="lack the columns"):
        ablation_table(predictions().drop(columns="score"))
