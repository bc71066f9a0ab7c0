"""Rows to flat features and back."""

import numpy as np
import pytest

from bidsclf.errors import InputError
from bidsclf.models._harmonized import from_features, to_features
from bidsclf.models._rows import Series, edges, inner_products

X = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)


def test_edges_are_their_features_and_get_new_products():
    rows = np.array([4, 1, 1])
    part = edges(X)[rows]
    np.testing.assert_array_equal(to_features(part), X[rows])
    again = from_features(part, 2 * X[rows], has_products=True)
    np.testing.assert_array_equal(again.kernel(), inner_products(2 * X[rows]))
    bare = from_features(part, 2 * X[rows], has_products=False)
    np.testing.assert_array_equal(np.array(list(bare)), 2 * X[rows])
    assert bare.gram.size == 0


def test_covariances_go_through_the_logarithm():
    roots = np.random.default_rng(1).normal(size=(5, 4, 9))
    covariances = (roots @ roots.swapaxes(1, 2)).astype(np.float32)
    features = to_features(covariances)
    assert features.shape == (5, 10)
    again = from_features(covariances, features, has_products=False)
    np.testing.assert_allclose(again, covariances, rtol=1e-4, atol=1e-4)
    shifted = from_features(covariances, features - 8, has_products=True)
    assert (np.linalg.eigvalsh(shifted.astype(float)) > 0).all()


@pytest.mark.parametrize("has_products", [True, False])
def test_features_that_are_not_finite_do_not_reach_a_model(has_products):
    bad = X.copy()
    bad[2, 3] = np.nan
    with pytest.raises(InputError, match=r"1 of 6 rows .* not finite, first \[2\]"):
        from_features(edges(X), bad, has_products=has_products)


def test_other_rows_are_refused_by_name():
    series = Series.of([X, X])
    with pytest.raises(InputError, match="kind Series cannot be harmonized"):
        to_features(series)
