"""Relation matrices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.connectome import ConnectivityMeasure
from sklearn.covariance import LedoitWolf

from bidsclf.errors import InputError
from bidsclf.features.connectivity import KINDS, edges, matrices


def noise(seed: int, n_volumes: int = 60, n_regions: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    series = rng.normal(size=(n_volumes, n_regions)) + rng.normal(size=(n_volumes, 1))
    return (series - series.mean(axis=0)) / series.std(axis=0, ddof=1)


def test_pearson_and_fisher_z_agree_with_numpy():
    series, related = noise(0), matrices(noise(0))
    r = np.corrcoef(series.T)
    np.testing.assert_allclose(related["pearsoncorrelation"], r, rtol=1e-5)
    z = np.arctanh(r - np.eye(6))
    np.testing.assert_allclose(related["fisherz"], z, rtol=1e-5, atol=1e-6)


def test_covariance_is_scikit_learn_s_ledoit_wolf():
    expected = LedoitWolf().fit(noise(1)).covariance_
    np.testing.assert_allclose(matrices(noise(1))["covariance"], expected, rtol=1e-5)


def test_partial_correlation_is_nilearn_s():
    measure = ConnectivityMeasure(kind="partial correlation")
    expected = measure.fit_transform([noise(2)])[0]
    related = matrices(noise(2))["partialcorrelation"]
    np.testing.assert_allclose(related, expected, rtol=1e-4, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**16), gain=st.floats(1e-3, 1e3), offset=st.floats(-1e3, 1e3)
)
def test_ignores_the_unit_of_the_series(seed, gain, offset):
    one, other = matrices(noise(seed)), matrices(gain * noise(seed) + offset)
    for kind in KINDS:
        np.testing.assert_allclose(other[kind], one[kind], atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(6)))
def test_the_order_of_regions_only_moves_cells(order):
    one, other = matrices(noise(3)), matrices(noise(3)[:, order])
    for kind in KINDS:
        np.testing.assert_allclose(
            other[kind], one[kind][np.ix_(order, order)], atol=1e-5
        )


def test_identical_regions_stay_finite():
    related = matrices(np.stack([[0.0, 1.0, 2.0, 3.0]] * 3, axis=1))
    assert all(np.isfinite(matrix).all() for matrix in related.values())


@pytest.mark.parametrize("bad", [0.0, 7.25, np.nan])
def test_a_dead_region_is_missing_and_the_rest_is_as_without_it(bad):
    series = noise(4)
    series[:, 2] = bad
    with_it, without = matrices(series), matrices(np.delete(series, 2, axis=1))
    rest = np.delete(np.arange(6), 2)
    for kind in KINDS:
        assert with_it[kind].shape == (6, 6)
        assert with_it[kind].dtype == np.float32
        assert np.isnan(with_it[kind][2]).all()
        assert np.isnan(with_it[kind][:, 2]).all()
        np.testing.assert_array_equal(with_it[kind][np.ix_(rest, rest)], without[kind])


def test_no_region_left_is_all_missing():
    related = matrices(np.full((5, 3), np.nan))
    assert all(np.isnan(related[kind]).all() for kind in KINDS)


def test_two_volumes_are_refused():
    with pytest.raises(InputError, match="2 volumes; a correlation needs at least 3"):
        matrices(noise(0)[:2])


def test_edges_run_along_the_upper_triangle():
    np.testing.assert_array_equal(
        edges(np.arange(16).reshape(4, 4)), [1, 2, 3, 6, 7, 11]
    )
