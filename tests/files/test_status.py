"""A unit is done when its settings, inputs and outputs say so, and only then."""

import os
from dataclasses import replace

import pytest

from bidsclf.files.status import (
    UnitStatus,
    is_done,
    read_all,
    read_status,
    unit_key,
    write_status,
)

DONE = UnitStatus(unit="sub-01", state="done", key="k", outputs=("a.tsv",), seconds=1.5)


@pytest.fixture
def out(tmp_path):
    (tmp_path / "a.tsv").write_text("a\n1\n")
    write_status(tmp_path, DONE)
    return tmp_path


def test_reads_back(out):
    assert read_status(out, "sub-01") == DONE
    assert read_all(out) == [DONE]


def test_a_unit_that_never_ran_has_none(out):
    assert read_status(out, "sub-02") is None


def test_is_done(out):
    assert is_done(out, "sub-01", "k")


def test_another_key_is_not_done(out):
    assert not is_done(out, "sub-01", "other")


def test_a_lost_output_is_not_done(out):
    (out / "a.tsv").unlink()
    assert not is_done(out, "sub-01", "k")


def test_a_failure_is_not_done(out):
    write_status(out, replace(DONE, state="failed", message="truncated"))
    assert not is_done(out, "sub-01", "k")


@pytest.mark.parametrize("content", ["", "[]", '{"unit": "sub-01"}', '{"outputs": []}'])
def test_an_unreadable_note_is_no_note(out, content):
    (out / ".bidsclf/status/sub-01.json").write_text(content)
    assert not is_done(out, "sub-01", "k")
    assert read_all(out) == []


def test_the_key_follows_settings_and_inputs(tmp_path):
    path = tmp_path / "bold.nii.gz"
    path.write_bytes(b"1")
    key = unit_key({"fwhm": 6.0, "atlas": "aal"}, [path])
    assert key == unit_key({"atlas": "aal", "fwhm": 6.0}, [path])
    assert key != unit_key({"fwhm": 5.0, "atlas": "aal"}, [path])
    os.utime(path, ns=(0, 0))
    assert key != unit_key({"fwhm": 6.0, "atlas": "aal"}, [path])
    path.unlink()
    assert key != unit_key({"fwhm": 6.0, "atlas": "aal"}, [path])
