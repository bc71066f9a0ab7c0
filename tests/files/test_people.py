"""participants.tsv as people write it."""

import pandas as pd
import pytest

from bidsclf.errors import ConfigError, InputError
from bidsclf.files.people import CONTROL_WORDS, phenotype, read_people, two_labels


def test_reads_text_as_text_and_blanks_as_missing(tmp_path):
    text = "participant_id\tGroup\tage\n 02\t 001 \t9\nsub-01\tNA\tn/a\n"
    (tmp_path / "participants.tsv").write_text(text)
    people = read_people(tmp_path, ["group"])
    assert people["participant_id"].tolist() == ["sub-02", "sub-01"]
    assert people["Group"].isna().tolist() == [False, True]
    assert people["Group"].iloc[0] == "001"
    assert people["age"].iloc[0] == 9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id\tage\n1\t2\n", "no column participant_id; there are: id, age"),
        (b"participant_id\tage\nn/a\t2\n", "no participant_id in line 2"),
        (
            b"participant_id\n01\nsub-01\n02\nsub-03\nsub-03\n",
            "more than one row for sub-01, sub-03",
        ),
        ("participant_id\tsite\n01\tMünchen\n".encode("latin-1"), "not UTF-8"),
        (b"", "not a readable table"),
        (b"participant_id\tiq\tiq\n01\t1\t2\n", "column 'iq' occurs more than once"),
        (b"participant_id\tSite\tsite\n01\t1\t2\n", "2 columns 'Site', 'site'; exp"),
    ],
)
def test_says_what_is_wrong_with_the_table(tmp_path, content, message):
    (tmp_path / "participants.tsv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_people(tmp_path, ["site"])


def test_columns_nobody_looks_up_may_differ_in_case_only(tmp_path):
    (tmp_path / "participants.tsv").write_text("participant_id\tIQ\tiq\n01\t1\t2\n")
    assert list(read_people(tmp_path, [])) == ["participant_id", "IQ", "iq"]
    with pytest.raises(InputError, match="2 columns 'IQ', 'iq'"):
        read_people(tmp_path, [], ["iq"])


def test_says_when_there_is_no_table(tmp_path):
    with pytest.raises(InputError, match=r"participants\.tsv: no such file; .*Copy"):
        read_people(tmp_path, [])


@pytest.mark.parametrize("word", CONTROL_WORDS)
def test_a_control_s_word_makes_the_other_positive(word):
    values = pd.Series([word.upper(), "Zebra", "Zebra"])
    assert two_labels(values, "group", None) == {0: word.upper(), 1: "Zebra"}


def test_two_control_words_are_no_answer():
    with pytest.raises(ConfigError, match="Give --positive-label control or healthy"):
        two_labels(pd.Series(["control", "healthy"]), "group", None)


def test_a_given_positive_wins_over_the_words():
    labels = two_labels(pd.Series(["control", "autism"]), "group", "control")
    assert labels == {0: "autism", 1: "control"}


def test_phenotype_takes_what_there_is():
    found = phenotype(pd.DataFrame({"Gender": ["f", None], "AGE": ["12", "89+"]}))
    assert found.columns.tolist() == ["age", "sex"]
    assert found["age"].isna().tolist() == [False, True]
    assert phenotype(pd.DataFrame({"age": [1]})).columns.tolist() == ["age"]
    with pytest.raises(InputError, match=r"no column age and none sex.*handedness"):
        phenotype(pd.DataFrame({"handedness": ["r"]}))
