"""A file that exists is complete, and reads back as it was written."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bidsclf.errors import InputError
from bidsclf.files import status, store

FLOATS = st.floats(-1e6, 1e6, width=32)


def leftovers(folder):
    return [p for p in folder.rglob("*") if p.name.startswith(store.PARTIAL)]


def test_writes_what_was_written(tmp_path):
    path = store.write_text(tmp_path / "deep" / "er" / "x.txt", "å\n")
    assert path.read_bytes() == "å\n".encode()
    assert leftovers(tmp_path) == []


def test_an_exception_leaves_the_old_file_and_no_other(tmp_path):
    path = store.write_text(tmp_path / "x.txt", "old")

    def interrupted():
        with store.atomic(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == []


def test_obeys_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        path = store.write_text(tmp_path / "x.txt", "")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_the_temporary_name_ends_as_the_file_does(tmp_path):
    with store.atomic(tmp_path / "x_bold.nii.gz") as partial:
        assert partial.name.endswith(".nii.gz")


KILLED = """
import sys
from pathlib import Path
from bidsclf.files import store
with store.atomic(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_killed_writer_leaves_no_file_and_its_partial_is_swept(tmp_path):
    path = tmp_path / "x.json"
    command = [sys.executable, "-c", KILLED, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as writer:
        writer.stdout.readline()
        assert status.remove_partials(tmp_path) == 0  # it is alive
        writer.send_signal(signal.SIGKILL)
    assert not path.exists()
    assert len(leftovers(tmp_path)) == 1
    assert status.remove_partials(tmp_path) == 1
    assert leftovers(tmp_path) == []


def test_a_partial_of_another_machine_is_swept_when_old(tmp_path):
    path = tmp_path / f"{store.PARTIAL}elsewhere-1-2-abcd.json"
    path.touch()
    assert status.remove_partials(tmp_path) == 0
    os.utime(path, (time.time() - 25 * 3600,) * 2)
    assert status.remove_partials(tmp_path) == 1


def test_a_sweep_below_some_folders_takes_what_all_share(tmp_path):
    name = f"{store.PARTIAL}elsewhere-1-2-abcd.json"
    places = ("", ".bidsclf/status", "sub-01/func", "logs/2026/x", "sub-02", "a/b")
    for place in places:
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / name).touch()
        os.utime(tmp_path / place / name, (0, 0))
    assert status.remove_partials(tmp_path, ["sub-01", "sub-03"]) == 4
    left = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob(name)}
    assert left == {"sub-02", "a/b"}
    assert status.remove_partials(tmp_path / "none", []) == 0


def test_a_full_disk_says_what_to_do(tmp_path):
    with (
        pytest.raises(InputError, match=r"x\.tsv: not written .*free space"),
        store.atomic(tmp_path / "x.tsv"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_in_the_place_of_a_folder_says_so(tmp_path):
    (tmp_path / "sub-01").write_text("")
    with pytest.raises(InputError, match=r"not written .*"):
        store.write_text(tmp_path / "sub-01" / "x.txt", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_says_what_to_do(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="choose another output folder"):
        store.write_text(tmp_path / "x.txt", "")


def test_json_keeps_its_order_and_takes_numpy(tmp_path):
    values = {"b": np.float32(0.5), "a": np.arange(2), "ø": tmp_path}
    path = store.write_json(tmp_path / "x.json", values)
    assert list(store.read_json(path).items()) == [
        ("b", 0.5),
        ("a", [0, 1]),
        ("ø", str(tmp_path)),
    ]
    assert json.loads(path.read_text()) == store.read_json(path)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe"])
def test_names_the_json_that_is_none(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.json: not readable JSON"):
        store.read_json(path)


@given(
    series=arrays(
        np.float32, st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=FLOATS
    )
)
def test_a_series_reads_back(tmp_path_factory, series):
    path = tmp_path_factory.getbasetemp() / "series.tsv"
    names = [f"r{i}" for i in range(series.shape[1])]
    back, header = store.read_series(store.write_series(path, series, names))
    np.testing.assert_allclose(back, series, rtol=1e-6)
    assert back.dtype == np.float32
    assert header == tuple(names)


@settings(max_examples=30, deadline=None)
@given(half=arrays(np.float32, (4, 4), elements=FLOATS))
def test_a_matrix_reads_back(tmp_path_factory, half):
    path = tmp_path_factory.getbasetemp() / "matrix.tsv"
    matrix = np.triu(half) + np.triu(half, 1).T
    back, header = store.read_matrix(store.write_matrix(path, matrix, "abcd"))
    np.testing.assert_allclose(back, matrix, rtol=1e-6)
    assert header == tuple("abcd")


def test_a_missing_region_is_na_on_disk_and_nan_in_memory(tmp_path):
    matrix = np.array([[1, np.nan], [np.nan, np.nan]])
    path = store.write_matrix(tmp_path / "m.tsv", matrix, ["a", "b"])
    assert path.read_text() == "a\tb\n1\tn/a\nn/a\tn/a\n"
    np.testing.assert_array_equal(store.read_matrix(path)[0], matrix)


def test_a_matrix_is_square(tmp_path):
    path = store.write_table(tmp_path / "m.tsv", pd.DataFrame({"a": [1, 2]}))
    with pytest.raises(InputError, match="2 rows and 1 columns"):
        store.read_matrix(path)


def test_labels_stay_text(tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_text("participant_id\tage\tsite\n001\t9\tA\n002\tn/a\tNA\n003\t\tB\n")
    table = store.read_table(path, text=["participant_id"])
    assert table["participant_id"].tolist() == ["001", "002", "003"]
    assert table["site"].tolist() == ["A", "NA", "B"]
    np.testing.assert_array_equal(table["age"], [9, np.nan, np.nan])
    assert store.read_table(path, text=True)["age"].tolist()[0] == "9"


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_bytes(b"\xef\xbb\xbfage\r\n9\r\n")
    assert store.read_table(path)["age"].tolist() == [9]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"site\nM\xfcnchen\n", "byte 6 is not UTF-8.*Save the table again"),
        (b"s\xefte\nA\n", "byte 1 is not UTF-8"),
        (b"age\tage\n1\t2\n", "column 'age' occurs more than once"),
        (b"", "not a readable table"),
        (b"a\tb\n1\t2\n1\t2\t3\t4\n", "not a readable table"),
    ],
)
def test_says_what_is_wrong_with_a_table(tmp_path, content, message):
    path = tmp_path / "x.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"x\.tsv: {message}"):
        store.read_table(path)


def test_a_link_without_its_file_asks_for_datalad(tmp_path):
    path = tmp_path / "x.tsv"
    path.symlink_to(tmp_path / ".git" / "annex" / "x")
    with pytest.raises(InputError, match="run datalad get"):
        store.read_table(path)


@pytest.mark.parametrize("read", [store.read_json, store.read_table])
def test_a_file_that_may_not_be_read_is_not_called_damaged(
    open_folder, as_nobody, read
):
    path = open_folder / "x.json"
    path.write_text("{}")
    path.chmod(0)
    with as_nobody(), pytest.raises(InputError, match="Check who may read it") as error:
        read(path)
    assert "Permission denied" in str(error.value)
    assert "Mend" not in str(error.value)
