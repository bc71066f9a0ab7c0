"""Splines against statsmodels' GLMGam, at the same penalty."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.gam.api import BSplines, GLMGam

from bidsclf.harmonize import _spline as spline


def people(seed: int, n: int = 120, n_sites: int = 4):
    """Return ages, indicators of sites, and curves of age with noise."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(6, 60, n)
    sites = np.eye(n_sites)[rng.permutation(np.arange(n) % n_sites)]
    curves = [np.zeros(n), age / 20, np.sin(age / 8), np.sqrt(age), (age / 30) ** 3]
    y = np.stack(curves, axis=1) + sites @ rng.normal(size=(n_sites, 5))
    return age, sites, y + 0.3 * rng.normal(size=y.shape)


@pytest.mark.parametrize("whole", [False, True])
def test_basis_and_penalty_equal_statsmodels(whole):
    age = people(0)[0]
    age = np.round(age) if whole else age
    peer = BSplines(age[:, None], df=10, degree=3).smoothers[0]
    knots = spline.knots_of(age)
    np.testing.assert_allclose(knots, peer.knots, rtol=1e-12)
    np.testing.assert_allclose(spline.basis(age, knots), peer.basis, atol=1e-12)
    np.testing.assert_allclose(spline.penalty(knots), peer.cov_der2, rtol=1e-9)


def glm_gam(y, linear, values, alpha):
    n_terms = values.shape[1]
    smoother = BSplines(values, df=[10] * n_terms, degree=[3] * n_terms)
    return GLMGam(y, exog=linear, smoother=smoother, alpha=list(alpha)).fit()


@pytest.mark.parametrize("relative", [1e-4, 1.0, 1e4])
def test_coefficients_and_edf_equal_glm_gam_at_the_same_alpha(relative):
    age, sites, y = people(1)
    found = spline.fit(y, sites, age[:, None], alphas=[relative])
    for feature, own in enumerate(y.T):
        peer = glm_gam(own, sites, age[:, None], found.alpha[:, feature])
        np.testing.assert_allclose(
            found.coefficients[:, feature], peer.params, rtol=1e-6, atol=1e-6
        )
        assert found.edf[feature] == pytest.approx(peer.edf.sum(), rel=1e-6)


def test_two_smooth_terms_and_a_number_equal_glm_gam():
    age, sites, y = people(2)
    rng = np.random.default_rng(2)
    values = np.stack([age, rng.gamma(2, 0.1, len(age))], axis=1)
    linear = np.hstack([sites, rng.normal(100, 15, (len(age), 1))])
    found = spline.fit(y, linear, values)
    for feature, own in enumerate(y.T):
        peer = glm_gam(own, linear, values, found.alpha[:, feature])
        np.testing.assert_allclose(
            found.coefficients[:, feature], peer.params, rtol=1e-6, atol=1e-6
        )


def test_alpha_minimises_generalised_cross_validation():
    """The criterion is worked out here from the whole hat matrix."""
    age, sites, y = people(3)
    found = spline.fit(y, sites, age[:, None])
    knots = spline.knots_of(age)
    x = np.hstack([sites, spline.basis(age, knots)])
    s = np.zeros((x.shape[1],) * 2)
    s[4:, 4:] = spline.penalty(knots)
    unit = (x[:, 4:] ** 2).sum() / np.trace(s)
    scores = []
    for alpha in spline.GRID:
        hat = x @ np.linalg.solve(x.T @ x + 2 * alpha * unit * s, x.T)
        rss = ((y - hat @ y) ** 2).sum(axis=0)
        scores.append(len(y) * rss / (len(y) - np.trace(hat)) ** 2)
    expected = unit * np.array(spline.GRID)[np.argmin(scores, axis=0)]
    np.testing.assert_allclose(found.alpha[0], expected, rtol=1e-9)
    assert len(set(found.alpha[0])) > 1


def test_features_do_not_see_each_other_in_blocks(monkeypatch):
    age, sites, y = people(4)
    whole = spline.fit(y, sites, age[:, None])
    monkeypatch.setattr(spline, "BLOCK", 2)
    parts = spline.fit(y.astype(np.float32), sites, age[:, None])
    np.testing.assert_array_equal(parts.alpha, whole.alpha)
    np.testing.assert_allclose(parts.coefficients, whole.coefficients, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-100, 100), seed=st.integers(0, 99))
def test_the_unit_of_the_covariate_does_not_matter(gain, offset, seed):
    age, sites, y = people(seed, n=60)
    one = spline.fit(y, sites, age[:, None])
    other = spline.fit(y, sites, gain * age[:, None] + offset)
    np.testing.assert_allclose(other.edf, one.edf, rtol=1e-5)
    np.testing.assert_allclose(other.coefficients, one.coefficients, atol=1e-5)


def test_the_heaviest_penalty_leaves_a_line():
    age, sites, _ = people(5)
    y = sites @ np.arange(4.0)[:, None] + 0.1 * age[:, None]
    found = spline.fit(y, sites, age[:, None], alphas=[spline.GRID[0]])
    assert found.edf[0] == pytest.approx(5, abs=0.01)
    ahead = spline.design(np.array([[20.0], [30.0], [40.0]]), found.knots)
    steps = np.diff(ahead @ found.coefficients[4:], axis=0)
    np.testing.assert_allclose(steps, 1.0, atol=1e-4)


def test_beyond_the_range_counts_as_the_nearest_age():
    age = people(6)[0]
    knots = spline.knots_of(age)
    ends = spline.basis(np.array([age.min(), age.max()]), knots)
    far = spline.basis(np.array([-1e6, 1e6]), knots)
    np.testing.assert_array_equal(far, ends)


@pytest.mark.parametrize(
    "values",
    [
        np.r_[np.zeros(80), np.ones(20)],
        np.r_[np.full(60, 10.0), np.arange(40)],
        np.repeat([8.0, 9.0, 10.0, 11.0], 25),
    ],
)
def test_ages_with_few_values_give_the_best_fit_there_is(values):
    rng = np.random.default_rng(7)
    linear, y = np.ones((100, 1)), rng.normal(size=(100, 3))
    found = spline.fit(y, linear, values[:, None], alphas=[1e-9])
    x = np.hstack([linear, spline.design(values[:, None], found.knots)])
    assert np.isfinite(found.coefficients).all()
    best = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    np.testing.assert_allclose(x @ found.coefficients, best, atol=1e-4)


def test_a_constant_feature_gives_finite_coefficients():
    age, sites, _ = people(8)
    y = np.full((len(age), 2), 3.0)
    found = spline.fit(y, sites, age[:, None])
    x = np.hstack([sites, spline.design(age[:, None], found.knots)])
    np.testing.assert_allclose(x @ found.coefficients, y, atol=1e-9)


def test_no_smooth_term_is_least_squares():
    _, sites, y = people(9)
    found = spline.fit(y, sites, np.empty((len(y), 0)))
    expected = np.linalg.lstsq(sites, y, rcond=None)[0]
    np.testing.assert_allclose(found.coefficients, expected, atol=1e-10)
    assert found.alpha.shape == (0, 5)
