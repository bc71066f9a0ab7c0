"""Tables that cannot be read are found, and whole ones never suspected."""

import numpy as np
import pytest

from bidsclf.files import store
from bidsclf.files.damage import _looks_whole, damaged

NAMES = ("insula", "cuneus", "pons")


@pytest.fixture
def scan(tmp_path):
    matrix = np.corrcoef(np.random.default_rng(0).normal(size=(3, 9)))
    matrix[2] = matrix[:, 2] = np.nan
    series = np.array([[1e-9, -2.5e8, np.nan]] * 5)
    return {
        "fisherz": store.write_matrix(tmp_path / "a_relmat.tsv", matrix, NAMES),
        "timeseries": store.write_series(tmp_path / "a_timeseries.tsv", series, NAMES),
        "quality": tmp_path / "not looked at",
    }


def test_whole_tables_pass_at_a_glance(scan):
    assert damaged([scan, scan]) == {}
    assert _looks_whole(scan["fisherz"])
    assert _looks_whole(scan["timeseries"])


def test_an_odd_table_that_can_be_read_passes(scan):
    text = scan["fisherz"].read_text()
    scan["fisherz"].write_text(text + "\n")
    assert not _looks_whole(scan["fisherz"])
    assert damaged([scan]) == {}


@pytest.mark.parametrize(
    ("kind", "damage", "reason"),
    [
        ("fisherz", lambda t: t[: len(t) // 2], "a_relmat.tsv: not a table of numb"),
        ("fisherz", lambda t: "", "a_relmat.tsv: no"),
        (
            "fisherz",
            lambda t: t[: t.rindex("\n", 0, -1) + 1],
            "a_relmat.tsv: 2 rows, 3",
        ),
        ("fisherz", lambda t: t.replace("1", "one", 1), "a_relmat.tsv: not a table of"),
        (
            "fisherz",
            lambda t: t.replace("n/a", "inf", 1),
            "a_relmat.tsv: 1 values are i",
        ),
        ("timeseries", lambda t: t[:-5], "a_timeseries.tsv: not a table of numbers"),
        ("timeseries", lambda t: t.partition("\n")[0], "a_timeseries.tsv: no numbers"),
    ],
)
def test_a_damaged_table_is_named_without_its_folder(scan, kind, damage, reason):
    whole = dict(scan)
    scan[kind].write_text(damage(scan[kind].read_text()))
    found = damaged([{}, scan, {k: v for k, v in whole.items() if k != kind}])
    assert [*found] == [1]
    assert found[1].startswith(reason)
    assert str(scan[kind].parent) not in found[1]


def test_a_table_that_is_gone_is_damage(scan):
    scan["fisherz"].unlink()
    assert damaged([scan]) == {0: "a_relmat.tsv: No such file or directory"}
