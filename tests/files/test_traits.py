"""Covariates: numbers or words, never the target, never without a value."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from bidsclf.errors import ConfigError, InputError
from bidsclf.files.traits import (
    NOTED,
    _told,
    as_numbers,
    check_covariates,
    missing_cells,
    traits_of,
)

N = 20
LABEL = pd.Series(["control", "autism"] * (N // 2), name="diagnosis")
IDS = [f"sub-{i:02d}" for i in range(N)]


def people(**columns) -> pd.DataFrame:
    return pd.DataFrame({"participant_id": IDS, "site": "A"} | columns)


def traits(**columns) -> pd.DataFrame:
    table = people(**columns)
    return as_numbers(traits_of(table, table["site"], [*columns]), [*columns])


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([" 9 ", "n/a", "1e1", None], [9, np.nan, 10, np.nan]),
        ([9, 10.5, None, 3], [9, 10.5, np.nan, 3]),
        (["F", "", "1", " NA"], ["F", np.nan, "1", np.nan]),
        ([True, False, True, True], ["True", "False", "True", "True"]),
        (["1", "inf", "2", "3"], ["1", "inf", "2", "3"]),
    ],
)
def test_a_covariate_is_numbers_if_each_known_cell_is_one(cells, expected):
    found = traits(x=(cells * 5))["x"].iloc[:4]
    is_number = isinstance(expected[0], int | float)
    assert found.dtype == (np.float64 if is_number else object)
    assert pd.Series(found.tolist()).equals(pd.Series(expected, dtype=found.dtype))


def test_only_drop_leaves_people_out_and_names_the_first_column():
    table = traits(age=[np.nan, 9] * 10, sex=[None, None, *"FM" * 9])
    assert missing_cells(table, ["age", "sex"], "error") == {}
    assert missing_cells(table, ["age", "sex"], "impute-train-median") == {}
    left = missing_cells(table, ["age", "sex"], "drop")
    assert len(left) == 11
    assert left["sub-00"] == "no age in participants.tsv (--missing drop)"
    assert left["sub-01"] == "no sex in participants.tsv (--missing drop)"


def test_gaps_are_an_error_unless_they_are_to_be_filled():
    table = traits(age=[np.nan, 7, *range(18)])
    with pytest.raises(InputError, match=r"1 of 20 people have no 'age'.*sub-00.*drop"):
        check_covariates(table, LABEL, ["age"], "error")
    check_covariates(table, LABEL, ["age"], "impute-train-median")


@pytest.mark.parametrize(
    ("cells", "error", "message"),
    [
        ([3.0] * N, InputError, "'x' has only the value 3.0 among 20 people"),
        ([None] * N, InputError, "'x' has no value among 20 people"),
        (
            [1, 2] * 10,
            ConfigError,
            r"'x' alone tells diagnosis apart with an AUC of 1\.00: it is the target",
        ),
        (["td", "hf"] * 10, ConfigError, "AUC of 1.00"),
        (["td", "a", "td", "b"] * 5, ConfigError, "AUC of 1.00"),
        ([1, 2, 3, 2] * 5, ConfigError, "AUC of 1.00"),  # a code, not a scale
        ([i % 5 + 10 * (i % 2) for i in range(N)], ConfigError, "AUC of 1.00"),
        ([-i * (i % 2) / 3 for i in range(N)], ConfigError, "AUC of 1.00"),
        (["td", "hf"] * 9 + ["hf", "hf"], ConfigError, "AUC of 0.95"),  # a slip
        (["12,5", *map(str, range(19))], InputError, r"20 values .*are '12,5'\. Exp"),
        (["inf", *map(str, range(19))], InputError, "no numbers are 'inf'"),
        ([None, 3, None, 4] * 5, ConfigError, "filled only for people with diagnosis"),
    ],
)
def test_a_covariate_that_is_the_target_or_nothing_is_refused(cells, error, message):
    with pytest.raises(error, match=message):
        check_covariates(traits(x=cells), LABEL, ["x"], "impute-train-median")


@pytest.mark.parametrize(
    "cells",
    [
        [i + 0.5 for i in range(N)],  # each value once: tells nothing of a label
        ["F", "M", "M", "F"] * 5,
        [f"school-{i % 7}" for i in range(N)],
        [f"clinic-{i // 2}" for i in range(N)],
        ["F", "M", "F", "F", "M"] * 4,
    ],
)
def test_an_honest_covariate_passes_without_a_word(cells):
    assert check_covariates(traits(x=cells), LABEL, ["x"], "error") == []


@pytest.mark.parametrize(
    "cells", [["1", "2"] * 9 + ["2", "1"], ["a", "b"] * 9 + list("ba")]
)
def test_a_covariate_that_tells_much_of_the_target_is_noted(cells):
    (note,) = check_covariates(traits(x=cells), LABEL, ["x"], "error")
    assert "'x' alone tells diagnosis apart with an AUC of 0.90" in note
    assert "Run without it as well" in note


@given(st.integers(0, 10**6))
def test_a_number_tells_what_its_roc_curve_says(seed):
    rng = np.random.default_rng(seed)
    values = pd.Series(rng.permutation(50)[:N] / 3)  # nobody shares a value
    area = roc_auc_score(LABEL == "autism", values)
    assert _told(values, LABEL) == pytest.approx(max(area, 1 - area))


def test_a_scale_ranks_no_class_of_four():
    values = pd.Series([1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5])
    label = pd.Series(["a"] * 5 + ["b"] * 5)
    assert _told(values, label) == 1
    assert _told(values[1:], label[1:]) == 0.5


def test_levels_by_chance_tell_little_however_many_they_are():
    rng = np.random.default_rng(0)
    label = pd.Series(rng.integers(0, 2, 300))
    for n_levels in (2, 10, 50, 150):
        told = [
            _told(pd.Series(rng.integers(0, n_levels, 300).astype(str)), label)
            for _ in range(20)
        ]
        assert max(told) < NOTED


def test_names_that_are_ours_or_nobody_s_are_refused():
    table = people(group="a")
    with pytest.raises(ConfigError, match="names 'group', which is our own column"):
        traits_of(table, table["site"], ["group"])
    with pytest.raises(ConfigError, match=r"--covariates is 'agee'; participants.tsv"):
        traits_of(table, table["site"], ["agee"])
