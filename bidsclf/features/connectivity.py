"""Regional series to relation matrices: Pearson, Fisher z, partial, covariance."""

import numpy as np
from sklearn.covariance import ledoit_wolf

from bidsclf.config import ExtractConfig
from bidsclf.errors import InputError
from bidsclf.features import timeseries
from bidsclf.scan import Scan

KINDS = ("pearsoncorrelation", "fisherz", "partialcorrelation", "covariance")
MAX_R = 1 - 1e-7  # keeps arctanh finite for two identical regions; ours
MIN_VOLUMES = 3


def matrices(series: np.ndarray) -> dict[str, np.ndarray]:
    """Relate every pair of regions, in the four ways of ``KINDS``.

    Parameters
    ----------
    series : float array of shape (n_volumes, n_regions)
        Cleaned regional signals, in any unit; ``n_volumes >= 3``. A region
        that is NaN, in part or in whole, or constant is left out of every
        computation.

    Returns
    -------
    related : dict of str to float32 array of shape (n_regions, n_regions)
        Symmetric; NaN in the rows and columns of the regions left out.
        'pearsoncorrelation' has ones on its diagonal, 'fisherz' (its arctanh)
        zeros. 'covariance' is Ledoit and Wolf's of the z-scored series, and
        'partialcorrelation' comes from its inverse.

    Raises
    ------
    InputError
        If there are fewer than three volumes.

    References
    ----------
    Fisher (1915), Biometrika 10(4), 507-521, doi:10.2307/2331838.
    Ledoit & Wolf (2004), doi:10.1016/S0047-259X(03)00096-4.

    Examples
    --------
    >>> up = np.array([0.0, 1.0, 2.0, 3.0])
    >>> matrices(np.stack([up, up**2, -up], axis=1))["fisherz"].round(1)
    array([[ 0. ,  1.9, -8.4],
           [ 1.9,  0. , -1.9],
           [-8.4, -1.9,  0. ]], dtype=float32)
    """
    n_volumes = len(series)
    if n_volumes < MIN_VOLUMES:
        raise InputError(
            f"{n_volumes} volumes; a correlation needs at least {MIN_VOLUMES}."
            " Censor less, or leave the run out."
        )
    centred = series - series.mean(axis=0, dtype=np.float64)
    scale = np.sqrt(np.square(centred).sum(axis=0) / (n_volumes - 1))
    usable = np.isfinite(scale) & (scale > 1e-10 * np.abs(series).max(axis=0))
    zscored = centred[:, usable] / scale[usable]
    related = (
        _relate(zscored) if usable.any() else dict.fromkeys(KINDS, np.empty((0, 0)))
    )
    return {kind: _widened(related[kind], usable) for kind in KINDS}


def _relate(zscored: np.ndarray) -> dict[str, np.ndarray]:
    r = zscored.T @ zscored / (len(zscored) - 1)
    np.fill_diagonal(r, 1)
    z = np.arctanh(r.clip(-MAX_R, MAX_R))
    np.fill_diagonal(z, 0)
    covariance, _ = ledoit_wolf(zscored)
    precision = np.linalg.inv(covariance)
    scale = np.sqrt(np.diag(precision))
    partial = -precision / scale / scale[:, None]
    np.fill_diagonal(partial, 1)
    return {
        "pearsoncorrelation": r.clip(-1, 1),
        "fisherz": z,
        "partialcorrelation": (partial + partial.T) / 2,
        "covariance": covariance,
    }


def _widened(matrix: np.ndarray, usable: np.ndarray) -> np.ndarray:
    wide = np.full((usable.size, usable.size), np.nan, np.float32)
    wide[np.ix_(usable, usable)] = matrix
    return wide


def edges(matrix: np.ndarray) -> np.ndarray:
    """Return the upper triangle of a relation matrix, the diagonal left out.

    Parameters
    ----------
    matrix : float array of shape (n_regions, n_regions)

    Returns
    -------
    edges : float32 array of shape (n_regions * (n_regions - 1) / 2,)
        In the order of ``np.triu_indices(n_regions, k=1)``.

    Examples
    --------
    >>> edges(np.arange(9).reshape(3, 3))
    array([1., 2., 5.], dtype=float32)
    """
    return matrix[np.triu_indices(len(matrix), k=1)].astype(np.float32)


def extract(scan: Scan, config: ExtractConfig) -> np.ndarray:
    """Return a scan's Fisher-z edges in the first atlas.

    Returns
    -------
    edges : float32 array of shape (n_regions * (n_regions - 1) / 2,)
        NaN at the edges of regions that are missing.
    """
    return edges(matrices(timeseries.extract(scan, config))["fisherz"])
