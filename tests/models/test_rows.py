"""Rows: views, files, digests."""

import numpy as np
import pandas as pd
import pytest

from bidsclf.errors import InputError
from bidsclf.models._rows import (
    Series,
    canonical_order,
    edges,
    inner_products,
    load_rows,
    row_digests,
    save_rows,
    take,
)

RNG = np.random.default_rng(0)
KINDS = {
    "edges": edges(RNG.normal(size=(6, 5000))),
    "series": Series.of([RNG.normal(size=(n, 3)) for n in (4, 9, 2, 7, 5, 5)]),
    "array": RNG.normal(size=(6, 3, 3)).astype(np.float32),
    "table": pd.DataFrame(
        {"age": [1.5, np.nan, 3, 4, 5, 6], "sex": ["M", "F", np.nan, "F", "M", "001"]}
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_come_back_from_disk_without_pickle(kind, tmp_path):
    x = KINDS[kind]
    save_rows(tmp_path, x)
    again = load_rows(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".npy", ".json"}
    assert type(again) is type(x) or isinstance(again, np.memmap)
    assert row_digests(again) == row_digests(x)
    if kind == "table":
        pd.testing.assert_frame_equal(again, x)
    if kind == "edges":
        assert isinstance(again.features, np.memmap)
        np.testing.assert_array_equal(again.kernel(), x.kernel())


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_a_part_is_the_same_rows(kind):
    x, first, second = KINDS[kind], np.array([5, 1, 3]), np.array([2, 0])
    digests = row_digests(x)
    part = take(take(x, first), second)
    assert len(part) == 2
    assert row_digests(part) == [digests[3], digests[5]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_canonical_order_depends_on_content_only(kind):
    x, y = KINDS[kind], np.array([0, 1, 0, 1, 0, 1])
    shuffle = np.array([3, 0, 5, 1, 4, 2])
    digests = np.array(row_digests(x))
    moved = take(x, shuffle)
    assert (
        digests[canonical_order(x, y)].tolist()
        == np.array(row_digests(moved))[canonical_order(moved, y[shuffle])].tolist()
    )


def test_inner_products_are_summed_in_double():
    wide = np.full((2, 10_000), np.float32(0.1))
    exact = 10_000 * np.float64(np.float32(0.1)) ** 2
    np.testing.assert_allclose(inner_products(wide), exact, rtol=1e-13)
    np.testing.assert_allclose(
        KINDS["edges"].kernel(),
        KINDS["edges"].features.astype(np.float64)
        @ KINDS["edges"].features.astype(np.float64).T,
        rtol=1e-12,
        atol=1e-9,
    )


def test_a_view_copies_no_features():
    part = KINDS["edges"][np.array([4, 2])]
    assert part.features is KINDS["edges"].features
    np.testing.assert_array_equal(
        part.kernel(), KINDS["edges"].gram[np.ix_([4, 2], [4, 2])]
    )


@pytest.mark.parametrize(
    "series",
    [[], [np.ones((3, 2)), np.ones((3, 4))], [np.ones((0, 2))], [np.ones(3)]],
)
def test_series_of_other_regions_are_refused(series):
    with pytest.raises(InputError, match=r"series have the shapes .*same regions"):
        Series.of(series)


def test_series_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match=r"not finite, first \[2\]"):
        Series.of([np.array([[1.0], [2.0]]), np.array([[np.inf]])])


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no rows are saved here"):
        load_rows(tmp_path)
