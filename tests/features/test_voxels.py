"""Mean and spread of voxels over time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bidsclf.features._voxels import VoxelMoments


def seen(volumes: np.ndarray, n: int = 4, start: int = 0) -> VoxelMoments:
    """Show float32 (T, V) volumes to a reducer over all voxels but the first."""
    moments = VoxelMoments(np.arange(1, volumes.shape[1]), start=start)
    buffer = np.empty((n, volumes.shape[1]), np.float32)
    for first in range(0, len(volumes), n):
        block = volumes[first : first + n]
        buffer[: len(block)] = block
        moments.update(buffer[: len(block)], first)
    return moments


def volumes(seed: int = 0, mean: float = 1000.0, n_volumes: int = 50) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (mean + rng.normal(size=(n_volumes, 31))).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 60), start=st.integers(0, 20), mean=st.floats(1, 1e5))
def test_agrees_with_numpy_whatever_the_blocks(n, start, mean):
    made = volumes(mean=mean)
    used = made[start:, 1:].astype(float)
    expected = np.median(used.mean(axis=0) / used.std(axis=0, ddof=1))
    assert seen(made, n, start).tsnr() == pytest.approx(expected, rel=1e-4)


def test_a_constant_voxel_is_left_out():
    made = volumes()
    made[:, 5:] = 7.0
    used = made[:, 1:5].astype(float)
    expected = np.median(used.mean(axis=0) / used.std(axis=0, ddof=1))
    assert seen(made).tsnr() == pytest.approx(expected, rel=1e-5)


def test_nothing_that_varies_has_no_ratio():
    assert seen(np.full((9, 4), 3.0, np.float32)).tsnr() is None
    assert seen(volumes(n_volumes=1)).tsnr() is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("when", [0, 17, 49])
def test_a_voxel_that_is_not_a_number_once_is_found(bad, when):
    made = volumes()
    made[when, [0, 9]] = bad
    assert seen(made).bad.tolist() == [9]
