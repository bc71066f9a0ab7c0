"""A file of folds: ours read back, a plain list, and every way to get it wrong."""

import numpy as np
import pandas as pd
import pytest

from bidsclf.config import FoldConfig
from bidsclf.errors import InputError
from bidsclf.folds import make_folds, notes, to_table

IDS = [f"sub-{i:02d}" for i in range(24)]


@pytest.fixture
def people():
    y = np.arange(24) % 2
    return pd.DataFrame({"participant_id": IDS, "y": y, "site": ["A", "B"] * 12})


@pytest.fixture
def given(tmp_path):
    """Write a table as a file of folds and return the settings that name it."""

    def write(table: pd.DataFrame, name: str = "folds.tsv") -> FoldConfig:
        separator = "," if name.endswith("csv") else "\t"
        table.to_csv(tmp_path / name, sep=separator, index=False)
        return FoldConfig(folds_file=tmp_path / name)

    return write


def listed(n_folds: int = 3, **columns) -> pd.DataFrame:
    fold = np.arange(24) // 2 % n_folds
    return pd.DataFrame({"participant_id": IDS, "fold": fold} | columns)


@pytest.mark.parametrize("scheme", ["kfold", "loso", "bootstrap"])
def test_our_own_table_gives_the_same_folds_in_any_order(people, given, scheme):
    people["site"] = np.repeat(["A", "B"], 12)
    folds = make_folds(people, FoldConfig(scheme=scheme, n_folds=4, n_repeats=2))
    config = given(to_table(folds, people).sample(frac=1, random_state=0))
    again = make_folds(people, config)
    assert to_table(again, people).equals(to_table(folds, people))


def test_a_list_says_who_is_tested_and_all_others_learn(people, given):
    table = listed().assign(participant_id=[name[4:] for name in IDS])  # no prefix
    for name in ("list.tsv", "list.csv"):
        folds = make_folds(people, given(table, name))
        assert [(fold.repeat, fold.fold) for fold in folds] == [(1, 1), (1, 2), (1, 3)]
        for fold in folds:
            assert (np.arange(24)[fold.test] // 2 % 3 == fold.fold - 1).all()
            everyone = np.concatenate([fold.train, fold.valid, fold.test])
            assert sorted(everyone) == list(range(24))
            assert set(people["y"][fold.valid]) == {0, 1}


def test_a_list_of_repeats_and_relatives(people, given):
    twice = pd.concat([listed(3, repeat=1), listed(4, repeat=2)])
    people["group"] = ["F" if i in (0, 23) else np.nan for i in range(24)]
    folds = make_folds(people, given(twice))
    assert [fold.repeat for fold in folds] == [1] * 3 + [2] * 4
    for fold in folds:
        if len({0, 23} & set(fold.test)) == 1:
            learned = np.concatenate([fold.train, fold.valid])
            assert not {0, 23} & set(learned)


def test_people_beyond_the_cohort_are_left_out_and_said(people, given):
    config = given(listed())
    some = people[people["participant_id"] != "sub-03"].reset_index(drop=True)
    folds = make_folds(some, config)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(23))
    said = notes(folds, some, config)
    absent = "1 people (sub-03) of folds.tsv are not in the cohort; they take no part."
    assert absent in said


def test_parts_without_valid_people_have_some_held_out(people, given):
    table = listed().loc[:, ["participant_id"]].assign(repeat=1, fold=1, part="train")
    table.loc[:3, "part"] = "test"
    table = pd.concat([table, table.iloc[[4, 4, 5]]])  # drawn more than once
    fold = make_folds(people, given(table))[0]
    assert fold.test.tolist() == [0, 1, 2, 3]
    assert not set(fold.train) & set(fold.valid)
    counts = np.bincount(np.concatenate([fold.train, fold.valid]), minlength=24)
    assert counts.tolist() == [0] * 4 + [3, 2] + [1] * 18


def ours(**changes) -> pd.DataFrame:
    """Return one fold as our table has it; changes are (row, value) a column."""
    part = np.resize(["train", "train", "train", "train", "valid", "valid"], 24)
    part[[0, 1, 2, 3]] = "test"
    table = pd.DataFrame(
        {"repeat": 1, "fold": 1, "participant_id": IDS, "part": part}
    ).astype(object)
    for column, (row, value) in changes.items():
        table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (listed().drop(columns="fold"), "24 rows with the columns participant_id; exp"),
        (listed().iloc[:0], "0 rows with the columns participant_id, fold; expected"),
        (listed(fold="A"), "fold is 'A' for sub-00; expected a whole number"),
        (listed(repeat=1.5), "repeat is '1.5' for sub-00; expected a whole number"),
        (listed(fold=1), "repeat 1 tests everyone in one fold, .*expected 2"),
        (listed().iloc[2:], r"2 people \(sub-00, sub-01\) of the cohort are not in it"),
        (pd.concat([listed(), listed().iloc[:1]]), r"\(sub-00\) are in more than one"),
        (
            pd.concat([listed(), listed(repeat=2).iloc[1:]]).fillna({"repeat": 1}),
            r"repeat 2 has 3 folds and lacks 1 people \(sub-00\)",
        ),
        (ours(part=(3, "dev")), "part is 'dev'; expected one of train, valid, test"),
        (ours(fold=(slice(None), 0)), "counts repeats and folds from 1"),
        (
            pd.concat([ours(), ours(part=(0, "train")).iloc[:1]]),
            r"\(sub-00\), one person or one group, are in more than one of",
        ),
        (
            pd.concat([ours(), ours().iloc[:1]]),
            "the test part has 5 rows of 4 people; expected each",
        ),
        (ours(part=(slice(0, 3), "train")), "test part has 0 rows of 0 people"),
        (
            ours(part=(list(range(5, 24, 2)), "valid")),
            r"the train part has \d rows of the classes \[0\]; expected both",
        ),
    ],
)
def test_says_what_is_wrong_with_the_file(people, given, table, message):
    with pytest.raises(InputError, match=message):
        make_folds(people, given(table))


def test_relatives_on_two_sides_are_named(people, given):
    people["group"] = ["F" if i in (2, 20) else np.nan for i in range(24)]
    with pytest.raises(InputError, match=r"fold 1: 2 people \(sub-02, sub-20\), one p"):
        make_folds(people, given(ours()))


def test_an_unreadable_file_says_what_is_expected(people, tmp_path):
    path = tmp_path / "none.tsv"
    for write in (lambda: None, lambda: path.write_bytes(b"\xff\xfe\x00"), path.touch):
        write()
        with pytest.raises(InputError, match=r"none.tsv: .*expected a table"):
            make_folds(people, FoldConfig(folds_file=path))
