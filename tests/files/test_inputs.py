"""Tables of numbers read fast, and refused when they are damaged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsclf.errors import InputError
from bidsclf.files import store
from bidsclf.files.inputs import motion, peek, read, read_numbers, series

NAMES = ("left insula", "right insula", "pons")


@given(seed=st.integers(0, 2**16), power=st.integers(-30, 30))
def test_reads_what_store_wrote_and_reads(tmp_path_factory, seed, power):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(3, 3)) * 10.0**power).astype(np.float32)
    values[rng.random((3, 3)) < 0.2] = np.nan
    path = store.write_series(tmp_path_factory.mktemp("t") / "a.tsv", values, NAMES)
    found, names = read_numbers(path)
    expected, expected_names = store.read_series(path)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert names == expected_names == NAMES


@pytest.mark.parametrize(
    "content",
    [
        b"a\tb\n1\t2\n3\n",
        b"a\tb\n1\tx\n",
        b"a\tb\n1\t2\nx\t4\n",
        b"a\tb\n1\t\n",
        b"\xff\tb\n1\t2\n",
    ],
)
def test_refuses_what_is_not_a_table_of_numbers(tmp_path, content):
    path = tmp_path / "sub-01_timeseries.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"sub-01_timeseries\.tsv: not a table of num"):
        read_numbers(path)


def test_refuses_a_file_that_went_away(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_numbers(tmp_path / "gone.tsv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tb\n0\t1\n1\t0\n0\t0\n", "3 rows, 2 columns; expected the 2 regions"),
        ("b\ta\n0\t1\n1\t0\n", "in their order"),
        ("a\tb\n0\tinf\ninf\t0\n", "2 values are infinite, first in 'a'"),
    ],
)
def test_refuses_another_matrix_than_expected(tmp_path, content, message):
    path = tmp_path / "sub-01_relmat.tsv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read(path, ("a", "b"))


def test_an_infinite_diagonal_is_nothing(tmp_path):
    path = tmp_path / "sub-01_relmat.tsv"
    path.write_text("a\tb\ninf\t1\n1\tinf\n")
    assert read(path, ("a", "b"))[0, 1] == 1


def test_peek_finds_missing_regions_in_series_and_in_matrices(tmp_path):
    values = np.ones((3, 3), np.float32)
    values[1] = values[:, 1] = np.nan
    matrix = store.write_matrix(tmp_path / "a_relmat.tsv", values, NAMES)
    values[:] = [1, np.nan, 2]
    table = store.write_series(tmp_path / "a_timeseries.tsv", values, NAMES)
    for scan in ({"timeseries": table, "fisherz": matrix}, {"fisherz": matrix}):
        names, is_missing = peek(scan)
        assert names == NAMES
        assert is_missing.tolist() == [False, True, False]


def test_peek_refuses_a_series_without_volumes(tmp_path):
    path = tmp_path / "a_timeseries.tsv"
    path.write_text("a\tb\tc\n")
    with pytest.raises(InputError, match="3 regions in the header and 1 cells"):
        peek({"timeseries": path})


def test_peek_refuses_a_header_that_is_not_text(tmp_path):
    path = tmp_path / "a_timeseries.tsv"
    path.write_bytes(b"\xff\xfe\tb\n1\t2\n")
    with pytest.raises(InputError, match=r"a_timeseries\.tsv: not readable .*UTF-8"):
        peek({"timeseries": path})


def test_a_constant_region_is_zero(tmp_path):
    values = np.stack([np.arange(5.0), np.full(5, 7.1), np.arange(5.0) ** 2], axis=1)
    path = store.write_series(tmp_path / "a_timeseries.tsv", values, NAMES)
    (found,) = series([[{"timeseries": path}]], NAMES)
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found[:, [0, 2]].std(axis=0), 1, rtol=1e-5)


def test_motion_without_any_table_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no person has a quality\.tsv"):
        motion([[{"fisherz": tmp_path}]])


def test_motion_of_some_is_missing_for_the_others(tmp_path):
    path = tmp_path / "a_quality.tsv"
    path.write_text("mean_fd\ttsnr\n0.25\t50\n")
    found = motion([[{"quality": path}], [{"fisherz": tmp_path}]])
    np.testing.assert_array_equal(found["mean_fd"], [0.25, np.nan])
    assert found["n_volumes"].isna().all()
