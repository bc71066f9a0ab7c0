"""Inner folds: persons and families whole, both classes on both sides."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bidsclf.models._inner import inner_folds


@settings(max_examples=60, deadline=None)
@given(
    y=st.lists(st.integers(0, 1), min_size=4, max_size=60),
    n_families=st.integers(1, 40),
    seed=st.integers(0, 9),
)
def test_families_stay_whole_and_both_parts_hold_both_classes(y, n_families, seed):
    y = np.array(y)
    families = np.random.default_rng(seed).integers(n_families, size=len(y))
    for train, test in inner_folds(y, families, seed):
        assert not set(families[train]) & set(families[test])
        assert len(train) + len(test) == len(y)
        for part in (train, test):
            assert set(y[part]) == {0, 1}


def test_everyone_is_held_out_once_and_classes_are_even():
    y = np.tile([0, 1, 1], 20)
    splits = inner_folds(y, np.arange(60), 0)
    assert len(splits) == 5
    held = np.concatenate([test for _, test in splits])
    np.testing.assert_array_equal(np.sort(held), np.arange(60))
    assert [y[test].sum() for _, test in splits] == [8] * 5


def test_numbers_of_families_do_not_matter():
    y, families = np.tile([0, 1], 15), np.arange(30) // 2 * 1
    one = inner_folds(y, families, 3)
    two = inner_folds(y, 100 - families, 3)
    for (a, b), (c, d) in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


def test_a_class_of_one_has_no_inner_folds():
    assert inner_folds(np.array([0, 1, 1, 1]), np.arange(4), 0) == []
