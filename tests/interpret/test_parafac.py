"""PARAFAC of correlations without the tensor, against tensorly's with it."""

import numpy as np
import pytest
import tensorly
from hypothesis import given
from hypothesis import strategies as st
from tensorly.decomposition import non_negative_parafac_hals
from tensorly.tenalg import unfolding_dot_khatri_rao

from bidsclf.errors import InputError
from bidsclf.interpret import _parafac
from bidsclf.interpret._parafac import decompose, mttkrp, standardized, windows

LENGTH = 30


def planted(seed: int, *, n_people=6, n_regions=16, n_planted=4, n_volumes=95):
    """Series of people whose regions follow one signal each, some two."""
    rng = np.random.default_rng(seed)
    loading = np.kron(np.eye(n_planted), np.ones((n_regions // n_planted, 1)))
    loading[0, -1] = 1.0  # a region of two communities
    signal = rng.normal(size=(n_people, n_volumes, n_planted))
    strength = rng.uniform(0.3, 2, (n_people, 1, n_planted))
    noise = 0.4 * rng.normal(size=(n_people, n_volumes, n_regions))
    return list(signal * strength @ loading.T + noise), loading


def tensor_of(series, stride=LENGTH):
    """The explicit (R, R, S) tensor, by numpy's own correlation."""
    starts = [(one, s) for one in series for s in range(0, len(one) - 29, stride)]
    slices = [np.corrcoef(one[s : s + LENGTH].T) for one, s in starts]
    return np.stack(slices, axis=-1)


def error_of(tensor, regions, samples):
    model = np.einsum("ik,jk,sk->ijs", regions, regions, samples)
    return np.linalg.norm(tensor - model) / np.linalg.norm(tensor)


@pytest.mark.parametrize("stride", [None, 7])
def test_the_product_equals_tensorly_s_on_the_explicit_tensor(stride, monkeypatch):
    monkeypatch.setattr(_parafac, "BLOCK", 4)  # 18 windows: full and partial blocks
    series, _ = planted(0)
    tensor = tensor_of(series, stride or LENGTH)
    rng = np.random.default_rng(1)
    a, c = rng.random((16, 3)), rng.random((tensor.shape[2], 3))
    here = windows(series, length=LENGTH, stride=stride)
    expected = unfolding_dot_khatri_rao(tensorly.tensor(tensor), (None, [a, a, c]), 0)
    assert len(here) == tensor.shape[2]
    np.testing.assert_allclose(mttkrp(here, a, c), expected, rtol=1e-8)


def test_the_gradient_is_the_error_s_slope():
    series, _ = planted(1)
    here, tensor = windows(series, length=LENGTH), tensor_of(series)
    rng = np.random.default_rng(2)
    both = [rng.random((16, 3)), rng.random((tensor.shape[2], 3))]
    norm2 = np.linalg.norm(tensor) ** 2
    value, *slopes = _parafac._error(here, *both, norm2)
    assert value == pytest.approx(error_of(tensor, *both) ** 2, rel=1e-10)
    for factor, slope in enumerate(slopes):
        moved = []
        for step in (1e-6, -1e-6):
            there = [array.copy() for array in both]
            there[factor][2, 1] += step
            moved.append(_parafac._error(here, *there, norm2)[0])
        assert slope[2, 1] == pytest.approx((moved[0] - moved[1]) / 2e-6, rel=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("rank", [4, 8])
def test_the_error_is_no_worse_than_tensorly_s(seed, rank):
    series, _ = planted(seed)
    tensor = tensor_of(series)
    found = decompose(windows(series, length=LENGTH), rank, tolerance=1e-9)
    theirs = non_negative_parafac_hals(
        tensorly.tensor(tensor), rank, n_iter_max=300, init="svd", tol=1e-10
    )
    expected = tensorly.norm(tensor - theirs.to_tensor()) / tensorly.norm(tensor)
    ours = error_of(tensor, found.regions, found.samples)
    assert found.fit == pytest.approx(1 - ours, abs=1e-9)
    assert ours <= expected * (1 + 1e-3)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_communities_equal_tensorly_s_and_the_truth(seed):
    series, loading = planted(seed)
    theirs = non_negative_parafac_hals(
        tensorly.tensor(tensor_of(series)), 4, n_iter_max=300, tol=1e-10
    )
    found = decompose(windows(series, length=LENGTH), 4, tolerance=1e-9)
    for other, least in ((theirs.factors[0], 0.99), (loading, 0.9)):
        r = np.corrcoef(found.regions.T, other.T)[:4, 4:]
        assert r.max(axis=0).min() > least
        assert sorted(r.argmax(axis=0)) == [0, 1, 2, 3]


def test_factors_are_not_negative_of_unit_length_and_strongest_first():
    found = decompose(windows(planted(3)[0], length=LENGTH), 5)
    assert found.regions.min() >= 0
    assert found.samples.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(found.regions, axis=0), 1)
    assert (np.diff(np.linalg.norm(found.samples, axis=0)) <= 0).all()


def test_the_same_seed_gives_the_same_numbers():
    here = windows(planted(3)[0], length=LENGTH)
    first, again = decompose(here, 3, seed=5), decompose(here, 3, seed=5)
    np.testing.assert_array_equal(first.regions, again.regions)


@given(
    seed=st.integers(0, 2**16), gain=st.floats(1e-3, 1e3), offset=st.floats(-1e3, 1e3)
)
def test_windows_ignore_the_scanner_s_units(seed, gain, offset):
    block = np.random.default_rng(seed).normal(size=(2, 8, 3))
    z = standardized(gain * block + offset)
    np.testing.assert_allclose(z, standardized(block), atol=1e-5)


def test_a_region_without_variance_correlates_with_nothing():
    series = np.random.default_rng(0).normal(size=(60, 5))
    series[:, 2] = 0.1  # whose mean over 30 volumes is not 0.1 to the last digit
    here = windows([series], length=LENGTH)
    (z,) = here
    assert (z[:, :, 2] == 0).all()
    found = decompose(here, 2)
    assert np.isfinite(found.regions).all()
    assert (found.regions[2] < 1e-2).all()


def test_only_a_block_of_windows_is_held_at_once(monkeypatch):
    monkeypatch.setattr(_parafac, "BLOCK", 3)
    here = windows(planted(0)[0], length=LENGTH, stride=10)
    sizes = [len(block) for block in here]
    assert sum(sizes) == len(here) == 42
    assert max(sizes) == 3


def test_series_shorter_than_a_window_are_named():
    with pytest.raises(InputError, match=r"windows of 30 volumes in 2 series.*most 29"):
        windows([np.zeros((29, 4)), np.zeros((5, 4))], length=LENGTH)
