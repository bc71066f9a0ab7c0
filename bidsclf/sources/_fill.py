"""Values that are missing within a mask, filled from their neighbours."""

import numpy as np
from scipy.ndimage import gaussian_filter

from bidsclf.errors import InputError

SIGMA_VOXELS = 1.0  # the source names no width; ours
TRUNCATE = 4.0  # of sigma: how far a neighbour may be


def fill_missing(volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Fill what is not finite inside a mask by normalised convolution.

    A missing voxel v gets the mean of the finite voxels u of the mask with the
    weights exp(-|v - u|^2 / 2 sigma^2), none of them farther than
    ``TRUNCATE * sigma`` along an axis. Where there are none, sigma is doubled.

    Parameters
    ----------
    volume : float array of shape (X, Y, Z)
    mask : bool array of shape (X, Y, Z)

    Returns
    -------
    filled : float32 array of shape (X, Y, Z)
        Finite values of the mask as they are; 0 outside of it.

    Raises
    ------
    InputError
        No voxel of the mask is finite.

    References
    ----------
    Knutsson & Westin (1993), doi:10.1109/CVPR.1993.341081.
    """
    known = mask & np.isfinite(volume)
    filled = np.where(known, volume, 0).astype(np.float32)
    missing = mask & ~known
    if not missing.any():
        return filled
    if not known.any():
        raise InputError("no voxel of the mask is finite; there is nothing to fill by.")
    sigma = SIGMA_VOXELS
    while missing.any():
        values, weights = (
            gaussian_filter(
                part.astype(float), sigma, mode="constant", truncate=TRUNCATE
            )
            for part in (np.where(known, volume, 0), known)
        )
        reached = missing & (weights > 0)
        filled[reached] = values[reached] / weights[reached]
        missing &= ~reached
        sigma *= 2
    return filled
