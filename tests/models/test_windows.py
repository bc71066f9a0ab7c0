"""Windows are views of the series: all of them, in order, nobody's mixed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsclf.errors import InputError
from bidsclf.models._rows import Series, load_rows, save_rows
from bidsclf.models._windows import Windows

N_REGIONS = 3


def people(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return Series.of([rng.normal(size=(n, N_REGIONS)) for n in lengths])


def by_a_loop(rows, length):
    """Return person, window and next volume of each window, the plain way."""
    found = []
    for person, series in enumerate(rows):
        for at in range(len(series) - length + 1):
            after = series[at + length] if at + length < len(series) else None
            found.append((person, series[at : at + length], after))
    return found


@given(
    lengths=st.lists(st.integers(4, 9), min_size=1, max_size=5),
    length=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_every_window_of_every_person_in_order(lengths, length, seed):
    everyone = people(lengths, seed)
    order = np.random.default_rng(seed).permutation(len(lengths))
    for rows in (everyone, everyone[order], everyone[order[:1]]):
        windows, expected = Windows(rows, length), by_a_loop(rows, length)
        assert len(windows) == len(expected)
        batch, after, has_after = windows.batch(np.arange(len(windows)))
        for at, (person, window, following) in enumerate(expected):
            assert windows.person[at] == person
            np.testing.assert_array_equal(windows.views[windows.start[at]], window)
            np.testing.assert_array_equal(batch[at], window)
            assert has_after[at] == (following is not None)
            wanted = np.zeros(N_REGIONS) if following is None else following
            np.testing.assert_array_equal(after[at], wanted.astype(np.float32))


def test_a_shuffled_batch_keeps_its_order():
    windows = Windows(people([6, 5]), 4)
    which = np.array([4, 0, 3])
    batch, after, has_after = windows.batch(which)
    for at, window in enumerate(which):
        np.testing.assert_array_equal(batch[at], windows.views[windows.start[window]])
    assert windows.start[which].tolist() == [7, 0, 6]
    assert has_after.tolist() == [False, True, True]
    np.testing.assert_array_equal(after[1], windows.volumes[4])


def test_a_window_is_a_view_of_volumes_on_disk_that_nobody_may_write(tmp_path):
    save_rows(tmp_path, people([40, 50]))
    rows = load_rows(tmp_path)
    windows = Windows(rows, 30)
    assert not rows.volumes.flags.writeable
    assert windows.views.shape == (61, 30, N_REGIONS)
    for at in (0, 10, 60):
        assert np.shares_memory(windows.views[at].numpy(), rows.volumes[at : at + 30])
    batch, after, _ = windows.batch(np.array([0, 11]))
    batch += 1  # copies: the file stays as it was
    after += 1
    np.testing.assert_array_equal(rows.volumes, load_rows(tmp_path).volumes)
    assert not np.shares_memory(batch.numpy(), rows.volumes)


def test_windows_are_never_laid_out_in_memory():
    """All windows would take 30 times the series."""
    rows = people([300] * 40)
    windows = Windows(rows, 30)
    kept = [windows.person, windows.start, windows.end]
    assert sum(one.nbytes for one in kept) == 3 * 8 * len(windows)
    storage = windows.views.untyped_storage()
    assert storage.nbytes() == rows.volumes.nbytes
    assert storage.data_ptr() == rows.volumes.ctypes.data
    assert windows.views.nbytes > 25 * rows.volumes.nbytes


@pytest.mark.parametrize(
    ("lengths", "length", "message"),
    [
        ([9, 4, 9, 3], 5, r"^2 of 4 scans have fewer volumes than a window of 5 .*"
         r"\(the shortest has 3\)\. Leave these people out .*window=VALUE"),
        ([4], 0, "^a window of 0 volumes; it takes 1 or more"),
    ],
)  # fmt: skip
def test_people_with_too_few_volumes_are_counted(lengths, length, message):
    with pytest.raises(InputError, match=message):
        Windows(people(lengths), length)
