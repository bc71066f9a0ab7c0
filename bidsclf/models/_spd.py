"""Symmetric positive definite matrices: logarithm, mean, tangent vectors."""

from collections.abc import Callable, Iterator

import numpy as np

from bidsclf.errors import FitError, InputError

BLOCK = 32  # matrices decomposed at once: bounds the float64 copies; ours
MAX_ITERATIONS = 50
TOLERANCE = 1e-5  # of the gradient's norm over sqrt(R); nilearn's is 20 times that
STEP = 0.75  # ours: on ABIDE the full step swings, halving the gradient a time, not 1/6


def map_eigenvalues(
    function: Callable[[np.ndarray], np.ndarray], matrices: np.ndarray
) -> np.ndarray:
    """Return V f(L) Vᵀ of symmetric V L Vᵀ, shape (..., n, n)."""
    values, vectors = np.linalg.eigh(matrices)
    return (vectors * function(values)[..., None, :]) @ vectors.swapaxes(-1, -2)


def to_vectors(matrices: np.ndarray) -> np.ndarray:
    """Return (n, R, R) symmetric matrices as (n, R(R+1)/2) vectors of equal norm.

    Examples
    --------
    >>> to_vectors(np.array([[[1.0, 2.0], [2.0, 3.0]]])).round(3)
    array([[1.   , 2.828, 3.   ]])
    """
    n_regions = matrices.shape[-1]
    upper = np.triu_indices(n_regions)
    return matrices[:, *upper] * np.where(upper[0] == upper[1], 1.0, np.sqrt(2))


def from_vectors(vectors: np.ndarray) -> np.ndarray:
    """Return (n, R(R+1)/2) vectors as (n, R, R) symmetric matrices, float64.

    Examples
    --------
    >>> from_vectors(to_vectors(np.array([[[1.0, 2.0], [2.0, 3.0]]]))).round(12)
    array([[[1., 2.],
            [2., 3.]]])
    """
    n_regions = int((np.sqrt(8 * vectors.shape[-1] + 1) - 1) / 2)
    row, column = np.triu_indices(n_regions)
    matrices = np.empty((len(vectors), n_regions, n_regions))
    matrices[:, row, column] = vectors / np.where(row == column, 1.0, np.sqrt(2))
    matrices[:, column, row] = matrices[:, row, column]
    return matrices


def exp_matrices(vectors: np.ndarray) -> np.ndarray:
    """Return the matrices whose logarithms ``log_vectors`` gave.

    Parameters
    ----------
    vectors : float array of shape (n, R(R+1)/2)

    Returns
    -------
    covariances : float64 array of shape (n, R, R), symmetric positive definite
        In float32 a smallest eigenvalue could round to below zero.
    """
    made = [
        map_eigenvalues(np.exp, from_vectors(block)) for _, block in _blocks(vectors)
    ]
    return np.concatenate(made)


def log_vectors(
    covariances: np.ndarray, whitening: np.ndarray | None = None
) -> np.ndarray:
    """Return the matrix logarithms, after whitening if asked, as vectors.

    Parameters
    ----------
    covariances : float array of shape (n, R, R), symmetric positive definite
    whitening : float64 array of shape (R, R)
        Inverse square root of the reference of a tangent space.

    Returns
    -------
    vectors : float32 array of shape (n, R(R+1)/2)

    Raises
    ------
    InputError
        A matrix is not positive definite.
    """
    n_regions = covariances.shape[-1]
    made = np.empty((len(covariances), n_regions * (n_regions + 1) // 2), np.float32)
    for start, block in _blocks(covariances):
        if whitening is not None:
            block = whitening @ block @ whitening
        made[start : start + len(block)] = to_vectors(map_eigenvalues(_log, block))
    return made


def geometric_mean(covariances: np.ndarray) -> np.ndarray:
    """Return the geometric mean of (n, R, R) matrices, float64 of shape (R, R).

    Raises
    ------
    FitError
        The descent does not converge.
    InputError
        A matrix is not positive definite.

    References
    ----------
    Fletcher & Joshi (2007), Signal Processing 87(2), algorithm 3.
    """
    mean = sum(block.sum(axis=0) for _, block in _blocks(covariances))
    mean, step, last = mean / len(covariances), STEP, np.inf
    for _ in range(MAX_ITERATIONS):
        half = map_eigenvalues(np.sqrt, mean)
        whitening = np.linalg.inv(half)
        gradient = np.zeros_like(mean)
        for _, block in _blocks(covariances):
            white = whitening @ block @ whitening
            gradient += map_eigenvalues(_log, white).sum(axis=0)
        gradient /= len(covariances)
        norm = float(np.linalg.norm(gradient))
        if norm < TOLERANCE * np.sqrt(len(mean)):
            return mean
        if norm > last:
            step /= 2
        last = min(norm, last)
        mean = half @ map_eigenvalues(np.exp, step * gradient) @ half
    raise FitError(
        f"the geometric mean of {len(covariances)} covariances did not converge in"
        f" {MAX_ITERATIONS} steps (gradient {norm:.1e}). Are some nearly singular?"
        " Use fc-svm-logeuclidean, which needs no mean."
    )


def _blocks(matrices: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(matrices), BLOCK):
        yield start, matrices[start : start + BLOCK].astype(np.float64)


def _log(values: np.ndarray) -> np.ndarray:
    if values.min() <= 0:
        raise InputError(
            f"a covariance has eigenvalue {values.min():.2g}; expected all above 0,"
            " as shrinkage gives. Run the participant level again."
        )
    return np.log(values)
