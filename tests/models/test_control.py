"""Controls: missing, unseen and odd values of the phenotype."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bidsclf.errors import InputError
from bidsclf.models._base import find

Y = np.tile([0, 1, 1], 10)


def people(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.normal(12, 4, 30) + 2 * Y
    return pd.DataFrame({"age": age, "sex": rng.choice(["M", "F"], 30)})


def phenotype(x: pd.DataFrame = None):
    return find("control-phenotype").make().fit(people() if x is None else x, Y)


def test_equals_the_scikit_learn_pipeline():
    columns = make_column_transformer(
        (StandardScaler(), ["age"]), (OneHotEncoder(), ["sex"])
    )
    peer = make_pipeline(
        columns, LogisticRegression(class_weight="balanced", tol=1e-8)
    ).fit(people(), Y)
    np.testing.assert_allclose(
        phenotype().predict_score(people(1)),
        peer.predict_proba(people(1))[:, 1],
        atol=1e-5,
    )


def test_a_missing_age_is_the_median_of_training_and_a_missing_sex_is_none():
    model, median = phenotype(), people()["age"].median()
    x = pd.DataFrame({"age": [np.nan, median], "sex": ["M", "M"]})
    scores = model.predict_score(x)
    assert scores[0] == scores[1]
    x = pd.DataFrame({"age": [12.0, 12.0], "sex": [np.nan, "unseen"]})
    scores = model.predict_score(x)
    assert scores[0] == scores[1]
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("values", [[1, 2], [1.0, 2.0], ["1", "2"], ["1.0", " 2 "]])
def test_a_code_is_the_same_category_however_it_is_written(values):
    codes = people()["sex"].map({"M": 1, "F": 2})
    model = phenotype(people().assign(sex=codes))
    x = pd.DataFrame({"age": [12.0, 12.0], "sex": values})
    first = model.predict_score(x)
    x["sex"] = ["1", "2"]
    np.testing.assert_array_equal(model.predict_score(x), first)
    assert model.levels == {"sex": ["1", "2"]}
    assert first[0] != first[1]


def test_nothing_known_says_nothing():
    x = pd.DataFrame({"age": [np.nan] * 30, "sex": [None] * 30})
    np.testing.assert_allclose(phenotype(x).predict_score(x), 0.5, atol=1e-9)


def test_a_constant_scan_length_is_no_error():
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"mean_fd": rng.random(30) / 4 + Y, "n_volumes": 180})
    model = find("control-motion").make().fit(x, Y)
    assert ((model.predict_score(x) > 0.5) == Y).all()


def test_an_absent_column_is_named():
    with pytest.raises(InputError, match="no column sex among age;"):
        phenotype(people()[["age"]])


def test_held_out_rows_were_not_learned_from_and_do_not_see_the_order():
    """One person's label changes the fits of others, never the own logit."""
    model, x = phenotype(), people()
    logits, truth = model.held_out()
    assert sorted(truth) == sorted(Y)
    np.testing.assert_array_less(np.abs(logits), 20)
    order = np.random.default_rng(0).permutation(30)
    moved = find("control-phenotype").make()
    moved.fit(x.iloc[order].reset_index(drop=True), Y[order])
    np.testing.assert_allclose(np.sort(moved.held_out()[0]), np.sort(logits))
    fitted = model.decide(x)
    assert not np.allclose(np.sort(fitted), np.sort(logits), atol=1e-3)


def test_a_restored_control_has_nothing_held_out(tmp_path):
    settings = phenotype().save(tmp_path)
    again = find("control-phenotype").make().load(tmp_path, settings)
    assert again.held_out() is None
