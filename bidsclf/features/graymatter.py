"""Grey matter: a person's map on a small cube that is the same for everyone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bidsclf.config import ExtractConfig
from bidsclf.errors import InputError
from bidsclf.features._resize import SmallGrid, cell_weights, contracted, world_axes
from bidsclf.features._stream import read_volume
from bidsclf.scan import GREY_SLACK, MOST_MODULATED, MOST_SHARE, GreyMap

# A cube of 192 mm, 64 cells of 3 mm, in whose middle the MNI152 brain lies; ours
BOX_MM = ((-96.0, -113.0, -91.0), (96.0, 79.0, 101.0))
ML = 1e-3  # a mm3, in ml
INSIDE = 0.9  # share of the grey matter that the cube holds at least; ours


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GreyMatter:
    """A map on the cube.

    Attributes
    ----------
    values : float32 array of shape (size, size, size)
        x to the right, y to the front, z up; never below the least or above the
        largest value of the map.
    grid : SmallGrid
    total_ml : float
        Values times the size of a cell, summed; of a modulated map the person's
        grey matter, else that of the warped brain.
    notes : tuple of str
        What a reader should know and no number says.
    """

    values: np.ndarray
    grid: SmallGrid
    total_ml: float
    notes: tuple[str, ...] = ()


def cube(size: int) -> SmallGrid:
    """Return the cube with ``size`` cells along each edge.

    Examples
    --------
    >>> cube(64).cell_mm
    array([3., 3., 3.])
    """
    return SmallGrid(size=size, box_mm=np.array(BOX_MM))


def resampled(
    path: Path, grid: SmallGrid, *, is_modulated: bool, fwhm_mm: float = 0.0
) -> GreyMatter:
    """Read a map and bring it to a cube.

    Each cell is a mean of the voxels around it (``axis_weights``), whose weights are
    never negative, so that no value is made that the map has not. Beyond the field
    of view there is no grey matter: 0, which counts in the mean.

    Parameters
    ----------
    path : Path
        3D NIfTI image; its axes run along those of its space, in any order.
    grid : SmallGrid
    is_modulated : bool
        Whether values are multiplied by the change of volume of the warp.
    fwhm_mm : float
        Full width at half maximum of the Gaussian before; 0 for none.

    Raises
    ------
    InputError
        The image is not 3D, is oblique, is 0 everywhere or in the cube, or a value
        is not finite or out of range.
    """
    voxels, affine = read_volume(path)
    axes = world_axes(affine, voxels.shape, path)
    limit = _check(voxels, path, is_modulated=is_modulated)
    whole = np.clip(voxels, 0, limit).astype(np.float32, copy=False)
    weights = cell_weights(affine, whole.shape, grid, axes, fwhm_mm=fwhm_mm)
    small = contracted(whole.T, weights).transpose([2 - axis for axis in axes])
    values = np.ascontiguousarray(np.clip(small, 0, whole.max()))  # of rounding
    total_ml = float(values.sum(dtype=np.float64) * grid.cell_mm.prod() * ML)
    voxel_mm3 = abs(np.linalg.det(affine[:3, :3]))
    given_ml = float(whole.sum(dtype=np.float64) * voxel_mm3 * ML)
    if not total_ml > 0:
        raise InputError(
            f"{path}: no grey matter lies in the cube {list(map(list, BOX_MM))} mm."
            " Is the map in the space that its name gives? Look at its affine."
        )
    return GreyMatter(
        values=values, grid=grid, total_ml=total_ml, notes=_notes(total_ml / given_ml)
    )


def _check(voxels: np.ndarray, path: Path, *, is_modulated: bool) -> float:
    """Refuse what is no map of grey matter; return the largest value there may be."""
    n_bad = int(voxels.size - np.isfinite(voxels).sum())
    if n_bad:
        raise InputError(
            f"{path}: {n_bad} of {voxels.size} values are NaN or infinite; a map of"
            " grey matter has a number in each voxel. Make it again, or set them to 0"
            " where there is no brain."
        )
    low, high = float(voxels.min()), float(voxels.max())
    if low == high == 0:
        raise InputError(
            f"{path}: every value is 0, so there is no grey matter. The segmentation"
            " failed: look at it, and leave the map out or make it again."
        )
    limit = MOST_MODULATED if is_modulated else MOST_SHARE
    low, high = low + 0.0, high + 0.0  # 0 where it is -0
    if low < -GREY_SLACK or high > limit + GREY_SLACK:
        raise InputError(
            f"{path}: values lie between {low:.4g} and {high:.4g};"
            f" {_expected(is_modulated=is_modulated)}"
        )
    return limit


def _expected(*, is_modulated: bool) -> str:
    if is_modulated:
        return (
            f"a modulated map lies between 0 and {MOST_MODULATED:g}. Is it a map of"
            " grey matter, and not the T1-weighted image?"
        )
    return (
        "shares of grey matter lie between 0 and 1. Divide by 255 if that is its"
        " scale; give modulated maps as -d cat12=PATH or vbm=PATH."
    )


def _notes(share: float) -> tuple[str, ...]:
    if share >= INSIDE:
        return ()
    return (
        f"The cube holds {share:.0%} of the map's grey matter; look at the map and its"
        " space.",
    )


def graymatter(grey: GreyMap, config: ExtractConfig) -> GreyMatter:
    """Return a person's map on the cube that is asked for.

    Parameters
    ----------
    grey : GreyMap
    config : ExtractConfig
    """
    asked = config.graymatter
    return resampled(
        grey.path,
        cube(asked.size),
        is_modulated=grey.is_modulated,
        fwhm_mm=asked.smoothing_fwhm_mm,
    )


def extract(grey: GreyMap, config: ExtractConfig) -> np.ndarray:
    """Return a person's grey matter.

    Returns
    -------
    values : float32 array of shape (size, size, size)
    """
    return graymatter(grey, config).values
