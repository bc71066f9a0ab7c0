"""The table of people only grows."""

import errno
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsclf.files import roster, store
from bidsclf.files.people import ID
from bidsclf.files.roster import merge, write_roster

CELLS = st.dictionaries(
    st.sampled_from(["sub-1", "sub-2", "sub-3"]),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from([None, "1", "2"])),
)
RICH = "participant_id\tdiagnosis\tage\nsub-02\tcontrol\t09\nsub-01\tautism\tn/a\n"


def table(cells) -> pd.DataFrame:
    rows = [{ID: who} | values for who, values in cells.items()]
    return pd.DataFrame(rows, columns=[ID, *"abc"], dtype=object)


@given(new=CELLS, before=CELLS)
def test_nothing_known_is_lost_and_the_new_table_wins(new, before):
    found = merge(table(new), table(before)).set_index(ID)
    assert sorted(found.index) == sorted({*new, *before})
    for who in found.index:
        for name in "abc":
            old = before.get(who, {}).get(name)
            expected = new.get(who, {}).get(name) or old
            value = found.loc[who, name]
            assert (None if pd.isna(value) else value) == expected


def people(**columns) -> pd.DataFrame:
    return pd.DataFrame({ID: ["sub-01", "sub-02"], **columns})


def test_a_poorer_table_leaves_the_users_as_it_is(tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_text(RICH)
    (tmp_path / "participants.json").write_text('{"age": {"Units": "year"}}')
    for poorer in (people(), people(age=[np.nan, "09"])):
        write_roster(tmp_path, poorer, {})
        assert path.read_text() == RICH
    assert store.read_json(tmp_path / "participants.json") == {"age": {"Units": "year"}}


def test_labels_without_prefix_are_the_same_people(tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_text(RICH.replace("sub-", ""))
    write_roster(tmp_path, people(site=["A", "B"]), {})
    found = store.read_table(path, text=True)
    assert found[ID].tolist() == ["sub-01", "sub-02"]
    assert found["diagnosis"].tolist() == ["autism", "control"]
    assert found["age"].tolist()[1] == "09"


def test_what_was_unknown_is_filled_and_a_new_value_wins(tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_text(RICH)
    write_roster(tmp_path, people(age=["8", "10"], site=[None, "B"]), {"site": {}})
    assert path.read_text().splitlines() == [
        "participant_id\tage\tsite\tdiagnosis",
        "sub-01\t8\tn/a\tautism",
        "sub-02\t10\tB\tcontrol",
    ]


@pytest.mark.parametrize(
    "content", [b"id\nsub-01\n", b"participant_id\nZo\xe9\n", RICH.encode() * 2]
)
def test_a_table_that_cannot_be_read_is_left_alone(tmp_path, caplog, content):
    path = tmp_path / "participants.tsv"
    path.write_bytes(content)
    write_roster(tmp_path, people(age=["8", "10"]), {})
    assert path.read_bytes() == content
    assert "left as it is" in caplog.text


def start_together(number: int, out, moment: float) -> None:
    """Write at a moment a table that knows a column of its own."""
    time.sleep(max(0.0, moment - time.time()))
    write_roster(out, people(**{f"own{number}": ["1", "2"]}), {})


def test_jobs_that_know_different_things_lose_nothing(tmp_path):
    moment = time.time() + 1.0
    with ProcessPoolExecutor(8, mp_context=get_context("fork")) as pool:
        jobs = [pool.submit(start_together, n, tmp_path, moment) for n in range(8)]
        for job in jobs:
            job.result()
    found = store.read_table(tmp_path / "participants.tsv")
    assert sorted(found) == [*(f"own{n}" for n in range(8)), ID]


def test_a_file_system_without_locks_is_no_error(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(roster.fcntl, "flock", refuse)
    write_roster(tmp_path, people(), {})
    assert len(store.read_table(tmp_path / "participants.tsv")) == 2


def test_the_lock_of_another_user_is_no_error(open_folder, as_nobody):
    write_roster(open_folder, people(), {})
    open_folder.chmod(0o777)
    with as_nobody():
        write_roster(open_folder, people(age=["8", "10"]), {})
    assert list(store.read_table(open_folder / "participants.tsv")) == [ID, "age"]
