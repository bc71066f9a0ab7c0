"""Penalised cubic splines of covariates, for all features at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline

DEGREE = 3
N_BASIS = 10  # with the one that is dropped, as neuroHarmonize asks of statsmodels
GRID = tuple(np.logspace(6, -6, 49).tolist())  # a line first, a free curve last; ours
BLOCK = 2048  # features at once: bounds the float64 copies; ours
RANK = 1e-11  # of the largest singular value; what is below counts as zero; ours


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Coefficients of linear and smooth terms, and how smooth they came out.

    Attributes
    ----------
    coefficients : float64 array of shape (n_linear + 9 * n_terms, n_features)
        Of the columns ``hstack([linear, design(values, knots)])``.
    alpha : float64 array of shape (n_terms, n_features)
        Weight of each term's penalty in the unit of statsmodels' GLMGam: the
        coefficients b are ``(X'X + 2 alpha S)^-1 X'y``.
    edf : float64 array of shape (n_features,)
        Effective degrees of freedom: the trace of the hat matrix.
    knots : float64 array of shape (n_terms, 14)
    """

    coefficients: np.ndarray
    alpha: np.ndarray
    edf: np.ndarray
    knots: np.ndarray


def knots_of(values: np.ndarray) -> np.ndarray:
    """Return the knots of a covariate: six quantiles between its extremes.

    Parameters
    ----------
    values : float array of shape (n_rows,)
        Finite; of the training rows.

    Returns
    -------
    knots : float64 array of shape (14,)
        Sorted; each extreme stands four times.

    Examples
    --------
    >>> knots_of(np.arange(15.0))
    array([ 0.,  0.,  0.,  0.,  2.,  4.,  6.,  8., 10., 12., 14., 14., 14.,
           14.])
    """
    values = np.asarray(values, np.float64)
    inner = np.quantile(values, np.linspace(0, 1, N_BASIS - DEGREE + 1)[1:-1])
    ends = np.full(DEGREE + 1, values.min()), np.full(DEGREE + 1, values.max())
    return np.concatenate([ends[0], inner, ends[1]])


def basis(values: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Return the cubic B-splines of a covariate without the first of them.

    All ten sum to one, as the indicators of the sites do; nine do not repeat
    them. A value beyond the outer knots counts as the nearest of the two.

    Parameters
    ----------
    values : float array of shape (n_rows,)
    knots : float64 array of shape (14,)

    Returns
    -------
    basis : float64 array of shape (n_rows, 9)
    """
    inside = np.clip(np.asarray(values, np.float64), knots[0], knots[-1])
    return BSpline.design_matrix(inside, knots, DEGREE).toarray()[:, 1:]


def penalty(knots: np.ndarray) -> np.ndarray:
    """Return the integrals of the products of second derivatives.

    Parameters
    ----------
    knots : float64 array of shape (14,)

    Returns
    -------
    penalty : float64 array of shape (9, 9)
        In the covariate's unit to the power of -3. Exact; so is statsmodels'
        Simpson rule unless inner knots coincide.
    """
    spline = BSpline(knots, np.eye(N_BASIS), DEGREE)
    ends = np.unique(knots)
    middle, half = (ends[1:] + ends[:-1]) / 2, np.diff(ends) / 2
    total = np.zeros((N_BASIS, N_BASIS))
    for node in (-(3**-0.5), 3**-0.5):  # Gauss-Legendre: exact for a square of lines
        bend = spline(middle + half * node, 2) * np.sqrt(half)[:, None]
        total += bend.T @ bend
    return total[1:, 1:]


def design(values: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Return the bases of all smooth terms side by side.

    Parameters
    ----------
    values : float array of shape (n_rows, n_terms)
    knots : float64 array of shape (n_terms, 14)

    Returns
    -------
    design : float64 array of shape (n_rows, 9 * n_terms)
    """
    columns = [basis(*pair) for pair in zip(values.T, knots, strict=True)]
    return np.hstack([np.empty((len(values), 0)), *columns])


def fit(
    y: np.ndarray,
    linear: np.ndarray,
    values: np.ndarray,
    alphas: Sequence[float] = GRID,
) -> Fit:
    """Fit linear terms and penalised splines to every feature.

    Each feature takes the weight of the penalty that minimises its generalised
    cross-validation, n RSS / (n - edf)^2, of a grid; the first of equals. A
    weight is relative: it multiplies tr(B'B) / tr(S) of a term, so that the
    covariate's unit does not matter; several terms share it.

    Everything comes from small matrices: with X = QR, the columns of Q'y and
    the sum of squares beside them serve all weights.

    Parameters
    ----------
    y : float array of shape (n_rows, n_features)
    linear : float array of shape (n_rows, n_linear)
        Indicators of the sites, whose sum is the constant, and other covariates.
    values : float array of shape (n_rows, n_terms)
        Covariates that get a spline; finite.
    alphas : sequence of float
        The grid of relative weights, smoothest first.

    Returns
    -------
    fit : Fit

    References
    ----------
    Craven and Wahba (1978), Numer. Math. 31, 377-403, doi:10.1007/BF01404567.
    Eilers and Marx (1996), Stat. Sci. 11(2), 89-121, doi:10.1214/ss/1038425655.
    Pomponio et al. (2020), NeuroImage 208, 116450,
    doi:10.1016/j.neuroimage.2019.116450 (there alpha is chosen by k-fold).
    """
    knots = np.array([knots_of(column) for column in values.T]).reshape(-1, 14)
    columns = np.hstack([linear, design(values, knots)]).astype(np.float64)
    norms = np.linalg.norm(columns, axis=0)
    norms[norms == 0] = 1.0
    q, r = np.linalg.qr(columns / norms)
    units, roots = _penalties(columns, knots, linear.shape[1])
    inverses = [_inverse(r, np.sqrt(2 * alpha) * roots / norms) for alpha in alphas]
    edf = np.array([np.trace(r @ inverse) for inverse in inverses])
    coefficients = np.empty((columns.shape[1], y.shape[1]))
    chosen = np.empty(y.shape[1], int)
    for start in range(0, y.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        block = y[:, part].astype(np.float64)
        inside = q.T @ block
        outside = ((block - q @ inside) ** 2).sum(axis=0)
        chosen[part] = _choose(inside, outside, [r @ i for i in inverses], edf, len(y))
        for at in np.unique(chosen[part]):
            of = chosen[part] == at
            b = inverses[at] @ inside[:, of] / norms[:, None]
            coefficients[:, start + np.flatnonzero(of)] = b
    alpha = units[:, None] * np.asarray(alphas, np.float64)[chosen]
    return Fit(coefficients, alpha, edf[chosen], knots)


def _penalties(
    columns: np.ndarray, knots: np.ndarray, n_linear: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a unit of weight a term, and rows L with L'L the sum of unit x S."""
    width = N_BASIS - 1
    units = np.ones(len(knots))
    roots = np.zeros((width * len(knots), columns.shape[1]))
    for term, own in enumerate(knots):
        matrix = penalty(own)
        at = slice(n_linear + width * term, n_linear + width * (term + 1))
        if np.trace(matrix) > 0:
            units[term] = (columns[:, at] ** 2).sum() / np.trace(matrix)
        values, vectors = np.linalg.eigh(units[term] * matrix)
        root = np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T
        roots[width * term : width * (term + 1), at] = root
    return units, roots


def _inverse(r: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """Return (R'R + L'L)^-1 R' from [R; L], whose condition is the root of that."""
    return np.linalg.pinv(np.vstack([r, roots]), rcond=RANK)[:, : len(r)]


def _choose(
    inside: np.ndarray,
    outside: np.ndarray,
    hats: list[np.ndarray],
    edf: np.ndarray,
    n_rows: int,
) -> np.ndarray:
    """Return for each feature the number of the weight with the least GCV."""
    best, chosen = np.full(len(outside), np.inf), np.zeros(len(outside), int)
    for at, hat in enumerate(hats):
        if n_rows - edf[at] < 1e-6 * n_rows:
            continue  # every row is met: no residual to judge by
        misfit = ((inside - hat @ inside) ** 2).sum(axis=0)
        score = (outside + misfit) / (n_rows - edf[at]) ** 2
        chosen[score < best] = at
        best = np.minimum(best, score)
    return chosen
