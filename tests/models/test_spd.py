"""Logarithm and geometric mean of positive definite matrices."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from nilearn.connectome.connectivity_matrices import _geometric_mean
from scipy.linalg import expm, logm

from bidsclf.errors import FitError
from bidsclf.models import _spd
from bidsclf.models._spd import (
    exp_matrices,
    from_vectors,
    geometric_mean,
    log_vectors,
    to_vectors,
)


def covariances(seed: int, n: int = 7, size: int = 5) -> np.ndarray:
    roots = np.random.default_rng(seed).normal(size=(n, size, 2 * size))
    return roots @ roots.swapaxes(1, 2) / size


def test_logarithm_equals_scipy():
    given_ = covariances(0)
    expected = to_vectors(np.array([logm(one) for one in given_]))
    np.testing.assert_allclose(log_vectors(given_), expected, rtol=1e-5, atol=1e-6)


def test_mean_equals_nilearn():
    for seed in range(3):
        given_ = covariances(seed, n=40)
        expected = _geometric_mean(list(given_), max_iter=50, tol=1e-12)
        np.testing.assert_allclose(geometric_mean(given_), expected, atol=1e-4)


@settings(max_examples=15, deadline=None, phases=[Phase.generate])
@given(seed=st.integers(0, 2**16))
def test_mean_moves_with_the_frame_and_ignores_the_order(seed):
    rng = np.random.default_rng(seed)
    given_, frame = covariances(seed), rng.normal(size=(5, 5)) + 3 * np.eye(5)
    mean = geometric_mean(given_)
    np.testing.assert_allclose(geometric_mean(given_[::-1]), mean, rtol=1e-6)
    moved = geometric_mean(frame @ given_ @ frame.T)
    expected = frame @ mean @ frame.T
    np.testing.assert_allclose(moved, expected, atol=1e-4 * np.abs(expected).max())


def test_mean_of_numbers_is_the_geometric_one():
    np.testing.assert_allclose(
        geometric_mean(np.array([[[2.0]], [[8.0]]])), 4, rtol=1e-4
    )


def test_vectors_keep_the_norm():
    given_ = covariances(1)
    np.testing.assert_allclose(
        np.linalg.norm(to_vectors(given_), axis=1),
        np.linalg.norm(given_, axis=(1, 2)),
    )


def test_matrices_come_back_from_their_vectors():
    given_ = covariances(3)
    np.testing.assert_allclose(from_vectors(to_vectors(given_)), given_, rtol=1e-12)
    again = exp_matrices(log_vectors(given_))
    assert again.dtype == np.float64
    np.testing.assert_allclose(again, given_, rtol=2e-5, atol=1e-5)


def test_the_exponential_equals_scipy_and_is_positive_definite():
    vectors = np.random.default_rng(0).normal(size=(40, 15))
    expected = np.array([expm(one) for one in from_vectors(vectors)])
    found = exp_matrices(vectors)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert (np.linalg.eigvalsh(found) > 0).all()


def test_a_descent_that_does_not_end_is_an_error(monkeypatch):
    monkeypatch.setattr(_spd, "MAX_ITERATIONS", 1)
    with pytest.raises(FitError, match="7 covariances did not converge in 1 steps"):
        geometric_mean(covariances(2))
