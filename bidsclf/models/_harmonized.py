"""Rows of a model as the flat features that a harmonizer changes, and back."""

from typing import Any

import numpy as np

from bidsclf.errors import InputError
from bidsclf.models._rows import Edges, check_finite, edges
from bidsclf.models._spd import exp_matrices, log_vectors


def to_features(x: Any) -> np.ndarray:
    """Return rows as features between which sums and shifts have a meaning.

    Parameters
    ----------
    x : Edges, or float array of shape (n, R, R)
        Covariances go through the matrix logarithm, so that whatever is done to
        the features, they come back positive definite.

    Returns
    -------
    features : float32 array of shape (n, n_features)

    Raises
    ------
    InputError
        The rows are of another kind, not finite or not positive definite.
    """
    if isinstance(x, Edges):
        return np.asarray(x.features[x.rows])
    if isinstance(x, np.ndarray) and x.ndim == 3:
        check_finite(x, "covariances")
        return log_vectors(x)
    raise InputError(
        f"rows of kind {type(x).__name__} cannot be harmonized; edges and covariances"
        " can. Use --harmonize none for this model."
    )


def from_features(x: Any, features: np.ndarray, *, has_products: bool) -> Any:
    """Return rows of the kind of ``x`` that hold these features.

    Parameters
    ----------
    x : Edges, or float array of shape (n, R, R)
    features : float32 array of shape (m, n_features)
    has_products : bool
        Whether the inner products are needed, as in training; a model scores
        rows without them.
    """
    if not isinstance(x, Edges):
        return exp_matrices(features)
    if has_products:
        return edges(features)
    check_finite(features, "harmonized features")
    return Edges(
        np.asarray(features, np.float32), np.empty((0, 0)), np.arange(len(features))
    )
