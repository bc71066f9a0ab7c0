"""Benchmarks judge what was measured, and no more."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[1] / "benchmarks" / "extract.py"


def load():
    spec = importlib.util.spec_from_file_location("extract", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ROW = {"wall": 1.0, "cpu": 1.0, "peak": 100.0}


@pytest.mark.parametrize(
    ("measured", "n_claims"),
    [
        (["gunzip", "ours-1"], 1),
        (["ours-1", "nilearn-1"], 2),
        (["gunzip", "ours-7"], 2),
    ],
)
def test_some_contenders_may_be_left_out(capsys, measured, n_claims):
    load().check({name: ROW for name in ["ours-7, first", *measured]})
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("PASS", "FAIL")) for line in lines) == n_claims


def test_atlases_without_a_file_are_left_out(tmp_path):
    extract = load()
    assert extract.seven(tmp_path) == list(extract.BY_NAME)
