"""Covariates: coded and checked, whatever participants.tsv holds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsclf.config import HarmonizeConfig
from bidsclf.errors import InputError
from bidsclf.harmonize import make, restore
from bidsclf.harmonize._covariates import Coding, names_of

IMPUTE = "impute-train-median"


def table(**columns):
    return pd.DataFrame(columns)


def fit(covariates, method="combat", missing="error", terms=()):
    rng = np.random.default_rng(0)
    n = len(covariates)
    sites = np.array([f"s{i % 2}" for i in range(n)], object)
    config = HarmonizeConfig(method=method, smooth_terms=terms)
    x = rng.normal(size=(n, 8))
    return make(config, missing).fit(x, sites, covariates), x, sites


def ages(n=40, seed=1):
    return np.random.default_rng(seed).uniform(6, 60, n)


def test_numbers_and_categories_become_columns():
    known = table(age=[1.0, 2.0, 3.0, 6.0], hand=["r", "l", "both", "r"])
    coding = Coding.learn(known, "error")
    expected = [[-1.0690, 0, 1], [-0.5345, 1, 0], [0, 0, 0], [1.6036, 0, 1]]
    np.testing.assert_allclose(coding.matrix(known), expected, atol=1e-4)
    assert coding.names() == ["age", "hand", "hand"]
    assert Coding.from_plain(coding.to_plain()) == coding


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=20, unique=True))
def test_numbers_are_in_standard_deviations_of_training(values):
    known = table(age=values)
    if known["age"].std() < 1e-3:
        return
    found = Coding.learn(known, "error").matrix(known)
    np.testing.assert_allclose(found.mean(), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(), 1, atol=1e-4)
    np.testing.assert_array_equal(found, found.astype(np.float32))  # as theirs


def test_levels_are_text_whatever_their_type():
    coding = Coding.learn(table(group=["1", "2", "1"]), "error")
    for given_as in (["1", "2", "1"], [1, 2, 1], [1.0, 2.0, 1.0]):
        found = coding.matrix(table(group=given_as))
        np.testing.assert_array_equal(found, [[0.0], [1.0], [0.0]])
    assert names_of([True, 1.5, np.float32(2)]) == ["True", "1.5", "2"]


def test_a_number_may_arrive_as_text_in_predict():
    coding = Coding.learn(table(age=[10.0, 20.0, 30.0]), "error")
    expected = coding.matrix(table(age=[20.0]))
    np.testing.assert_array_equal(coding.matrix(table(age=["20"])), expected)
    with pytest.raises(InputError, match=r"'age' was a number in training.*'twenty'"):
        coding.matrix(table(age=["twenty"]))


def test_missing_values_are_refused_or_filled_from_training():
    known = table(age=[1.0, np.nan, 3.0, 8.0], sex=["m", "f", None, "m"])
    for missing in ("error", "drop"):
        with pytest.raises(InputError, match=r"'age': 1 of 4.*\[1\].*--missing drop"):
            Coding.learn(known, missing)
    coding = Coding.learn(known, IMPUTE)
    filled = table(age=[1.0, 3.0, 3.0, 8.0], sex=["m", "f", "m", "m"])
    np.testing.assert_array_equal(coding.matrix(known), coding.matrix(filled))
    alone = coding.matrix(table(age=[np.nan], sex=["n/a"]))
    np.testing.assert_array_equal(alone, coding.matrix(table(age=[3.0], sex=["m"])))
    with pytest.raises(InputError, match="2 of 2 rows have no value"):
        Coding.learn(table(age=[np.nan, np.nan]), IMPUTE)


def test_filling_knows_nothing_of_the_test_rows():
    covariates = table(age=ages())
    covariates.loc[3, "age"] = np.nan
    harmonizer, x, sites = fit(covariates, missing=IMPUTE)
    assert harmonizer.notes()["imputed"] == {"age": 1}
    one = slice(3, 4)
    expected = harmonizer.apply(
        x[one], sites[one], table(age=[np.nanmedian(covariates["age"])])
    )
    found = harmonizer.apply(x[one], sites[one], covariates[one])
    np.testing.assert_array_equal(found, expected)


def test_a_missing_value_in_a_test_row_is_refused():
    harmonizer, x, sites = fit(table(age=ages()))
    with pytest.raises(InputError, match="'age': 1 of 1 rows"):
        harmonizer.apply(x[:1], sites[:1], table(age=[np.nan]))
    with pytest.raises(InputError, match=r"'age' is not given.*participants"):
        harmonizer.apply(x[:1], sites[:1], table(sex=["f"]))


@pytest.mark.parametrize("method", ["combat", "combat-gam", "covbat"])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"iq": [100.0] * 40}, "'iq' is 100.0 in every training row"),
        ({"hand": ["r"] * 40}, "'hand' is 'r' in every training row"),
        (
            {"months": ages() * 12 + 3},
            "'months' is collinear: .* from the site and age,",
        ),
        ({"scanner": ["a", "b"] * 20}, "'scanner' is collinear: .* from the site,"),
        ({"coil": ["b", "a1", "b", "a2"] * 10}, "'coil' is coll.* from the site,"),
        ({"id": [f"p{i}" for i in range(40)]}, "40 training rows for 2 sites and 40"),
        ({"iq": [np.inf] + [1.0, 2.0, 4.0] * 13}, r"'iq' is infinite in rows \[0\]"),
    ],
)
def test_covariates_that_cannot_be_learned_are_refused(method, columns, message):
    with pytest.raises(InputError, match=message):
        fit(table(age=ages(), **columns), method)


def test_two_columns_of_one_name_are_refused():
    twice = pd.concat([table(age=ages()), table(age=ages(seed=2))], axis=1)
    with pytest.raises(InputError, match="two columns are named 'age'"):
        fit(twice)


def test_a_new_level_is_refused():
    sex = np.array(["f", "m", "m", "f"] * 10, object)
    harmonizer, x, sites = fit(table(sex=sex))
    with pytest.raises(InputError, match=r"'sex' is 'x' in a row.*there were: f, m"):
        harmonizer.apply(x[:1], sites[:1], table(sex=["x"]))


def test_curves_are_named_and_numbers():
    covariates = table(Age=ages(), iq=ages(seed=3), sex=["f", "m", "m", "f"] * 10)
    for terms, curves in (((), ["Age"]), (("iq",), ["iq"]), (("AGE", "iq"), None)):
        harmonizer, _, _ = fit(covariates, "combat-gam", terms=terms)
        assert list(harmonizer.notes()["smooth"]) == (curves or ["Age", "iq"])
    with pytest.raises(InputError, match=r"smooth term 'bmi' is not among.*Age, iq"):
        fit(covariates, "combat-gam", terms=("bmi",))
    with pytest.raises(InputError, match="'sex' is text, but a curve needs numbers"):
        fit(covariates, "combat-gam", terms=("sex",))


def test_values_beyond_the_range_are_clamped_by_curves():
    covariates = table(age=ages())
    harmonizer, x, sites = fit(covariates, "combat-gam")
    low, high = covariates["age"].min(), covariates["age"].max()
    assert harmonizer.notes()["smooth"]["age"] == [low, high]
    wide, inside = table(age=[1.0, high, 99.0]), table(age=[low, high, high])
    np.testing.assert_array_equal(
        harmonizer.apply(x[:3], sites[:3], wide),
        harmonizer.apply(x[:3], sites[:3], inside),
    )


@pytest.mark.parametrize("method", ["combat", "combat-gam", "covbat"])
def test_numbers_beyond_their_training_range_are_said_of_lines_too(method):
    sex = np.array(["f", "m", "m", "f"] * 10, object)
    known = table(age=ages(), iq=ages(seed=3), sex=sex)
    harmonizer, *_ = fit(known, method, missing=IMPUTE)
    assert not harmonizer.outside(known).any()
    low, high = known["age"].min(), known["age"].max()
    iq = known["iq"].median()
    new = table(
        age=[low, high + 1, np.nan, low - 1, high],
        iq=[iq, iq, iq, iq, known["iq"].max() + 0.5],
        sex=["f", "m", "new", "f", "m"],  # words have no range
    )
    expected = [False, True, False, True, True]
    np.testing.assert_array_equal(harmonizer.outside(new), expected)
    same = restore(*harmonizer.state())
    np.testing.assert_array_equal(same.outside(new), expected)
