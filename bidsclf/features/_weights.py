"""Weights of an atlas' regions on one image: masked, smoothed, ready to multiply."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage, sparse

from bidsclf.errors import InputError
from bidsclf.features._atlas import Atlas
from bidsclf.features._grid import Grid, Placed, place

MIN_IN_VIEW = 0.1  # an atlas less in view than that lies elsewhere; ours
FWHM_PER_SIGMA = np.sqrt(8 * np.log(2))
TRUNCATE = 4.0  # sigmas; scipy's default, which nilearn takes
RANK_TOLERANCE = 1e-13  # of the largest eigenvalue, rounding of a float64 Gram matrix
ROWS = 16384  # voxels at a time in float64


@dataclass(frozen=True, eq=False)
class RegionWeights:
    """What each voxel gives to each region; signals are ``matrix @ volume[voxels]``.

    Attributes
    ----------
    atlas : Atlas
    coverage : float array of shape (n_regions,)
        Share of the region, in voxels (maps: by absolute weight), inside the field
        of view and the mask, in [0, 1].
    n_voxels : int array of shape (n_regions,)
        Voxels of the region inside both; 0 makes its signal NaN.
    voxels : int array of shape (n_columns,)
        Columns of a block that matter.
    matrix : float32 array or CSR array of shape (n_regions, n_columns)
    is_mean : bool
        Whether every signal is the plain mean of its voxels.
    """

    atlas: Atlas
    coverage: np.ndarray
    n_voxels: np.ndarray
    voxels: np.ndarray
    matrix: np.ndarray | sparse.csr_array
    is_mean: bool


def weights(
    atlas: Atlas,
    *,
    shape: tuple[int, ...],
    affine: np.ndarray,
    mask: np.ndarray | None = None,
    fwhm_mm: float = 0.0,
    cache_dir: Path | None = None,
) -> RegionWeights:
    """Return the weights that make nilearn's signals of an atlas.

    Labels and spheres are means over the voxels in the mask, maps a least-squares
    fit in it. Smoothing an image and then weighting it is weighting it with
    smoothed weights: the Gaussian with its mirrored border is self-adjoint. As in
    nilearn, the whole image is smoothed and the mask applied after that.

    Parameters
    ----------
    atlas : Atlas
    shape, affine : (X, Y, Z), float array of shape (4, 4)
        Grid of the image.
    mask : bool array of shape (X, Y, Z) or None
        On the same grid.
    fwhm_mm : float
        Full width at half maximum of the Gaussian; 0 for none.
    cache_dir : Path or None
        Where the atlas on this grid is kept.

    Raises
    ------
    InputError
        The atlas hardly overlaps the field of view, or not at all the mask.
    """
    grid = Grid(tuple(shape), np.asarray(affine))
    placed = place(atlas, grid, cache_dir)
    _check_view(atlas, placed, grid)
    inside = np.ones(grid.n_voxels, bool) if mask is None else mask.ravel(order="F")
    kept, coverage = _masked(placed, inside)
    n_voxels = kept.sizes
    if not n_voxels.any():
        raise InputError(
            f"atlas {atlas.label}: none of its {len(n_voxels)} regions lies inside the"
            " brain mask; mask and atlas were expected to overlap. Check that both"
            " are in the space of the image."
        )
    sigmas = fwhm_mm / (FWHM_PER_SIGMA * np.linalg.norm(grid.affine[:3, :3], axis=0))
    if atlas.kind == "maps":
        voxels, matrix = _least_squares(kept)
        if fwhm_mm:
            voxels, matrix = _smoothed_dense(voxels, matrix, grid, sigmas)
    else:
        voxels, matrix = _averaging(kept, grid, sigmas)
    return RegionWeights(
        atlas=atlas,
        coverage=coverage,
        n_voxels=n_voxels,
        voxels=voxels,
        matrix=matrix,
        is_mean=atlas.kind != "maps" and not fwhm_mm,
    )


def _check_view(atlas: Atlas, placed: Placed, grid: Grid) -> None:
    in_view = float(placed.in_view.mean())
    if in_view < MIN_IN_VIEW or not len(placed.voxels):
        corner = grid.affine[:3, 3].round(1).tolist()
        raise InputError(
            f"atlas {atlas.label}: {in_view:.0%} of it lies in the field of view of the"
            f" image (grid {grid.shape}, first voxel at {corner} mm);"
            f" {MIN_IN_VIEW:.0%} or more was expected. Check that image and atlas are"
            " in the same space."
        )


def _masked(placed: Placed, inside: np.ndarray) -> tuple[Placed, np.ndarray]:
    """Keep what lies inside the mask; also return the coverage of each region."""
    n_regions, regions = len(placed.sizes), placed.regions
    keep = inside[placed.voxels]
    size = np.abs(placed.values)
    total = np.bincount(regions, size, n_regions)
    covered = np.bincount(regions, size * keep, n_regions) / np.where(total, total, 1)
    kept = Placed(
        placed.voxels[keep],
        placed.values[keep],
        np.bincount(regions[keep], minlength=n_regions),
        placed.in_view,
    )
    return kept, np.minimum(covered * placed.in_view, 1.0)


def _averaging(
    kept: Placed, grid: Grid, sigmas: np.ndarray
) -> tuple[np.ndarray, sparse.csr_array]:
    """Return columns and the CSR matrix of means, smoothed where sigmas say so."""
    at, sizes = kept.voxels, kept.sizes
    values = np.repeat(1 / np.maximum(sizes, 1), sizes).astype(np.float32)
    if sigmas.any():
        rows = [_smoothed_mean(part, grid, sigmas) for part in kept.each(at)]
        at = np.concatenate([part for part, _ in rows])
        values = np.concatenate([value for _, value in rows])
        sizes = np.array([len(part) for part, _ in rows])
    touched = np.zeros(grid.n_voxels, bool)
    touched[at] = True
    column = np.cumsum(touched, dtype=np.int32) - 1
    voxels = np.flatnonzero(touched)
    matrix = sparse.csr_array(
        (values, column[at], np.cumsum([0, *sizes])), shape=(len(sizes), len(voxels))
    )
    return voxels, matrix


def _smoothed_mean(
    at: np.ndarray, grid: Grid, sigmas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return voxels and weights of a mean over ``at`` of a smoothed image.

    Only the region's box, widened by the reach of the Gaussian, is filtered; where
    the box ends inside the image, zeros are all that the mirrored border repeats.
    """
    if not len(at):
        return at, np.zeros(0, np.float32)
    where = np.array(np.unravel_index(at, grid.shape, order="F"))
    reach = _reach(sigmas)
    low = np.maximum(where.min(axis=1) - reach, 0)
    high = np.minimum(where.max(axis=1) + reach + 1, grid.shape)
    box = np.zeros(high - low, np.float32)
    box[tuple(where - low[:, None])] = 1 / len(at)
    box = _smooth(box, sigmas)
    inside = np.nonzero(box)
    full = tuple(i + n for i, n in zip(inside, low, strict=True))
    return np.ravel_multi_index(full, grid.shape, order="F").astype(np.int32), box[
        inside
    ]


def _reach(sigmas: np.ndarray) -> np.ndarray:
    return (TRUNCATE * sigmas + 0.5).astype(int)


def _smooth(volume: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    for axis, sigma in enumerate(sigmas):
        volume = ndimage.gaussian_filter1d(volume, sigma, axis=axis, truncate=TRUNCATE)
    return volume


def _least_squares(kept: Placed) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and the pseudo-inverse (n_regions, n_columns) of the maps."""
    voxels, column = np.unique(kept.voxels, return_inverse=True)
    maps = np.zeros((len(kept.sizes), len(voxels)), np.float32)
    maps[kept.regions, column] = kept.values
    parts = [slice(n, n + ROWS) for n in range(0, len(voxels), ROWS)]
    gram = sum(maps[:, part].astype(np.float64) @ maps[:, part].T for part in parts)
    size, axes = np.linalg.eigh(gram)
    is_real = size > RANK_TOLERANCE * size.max()
    inverse = (axes[:, is_real] / size[is_real]) @ axes[:, is_real].T
    for part in parts:
        maps[:, part] = inverse @ maps[:, part]
    return voxels, maps


def _smoothed_dense(
    voxels: np.ndarray, matrix: np.ndarray, grid: Grid, sigmas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Smooth each row of a (n_regions, n_columns) matrix over the whole grid."""
    touched = np.zeros(grid.n_voxels, bool)
    touched[voxels] = True
    reach = ndimage.maximum_filter(
        touched.reshape(grid.shape, order="F"), size=tuple(2 * _reach(sigmas) + 1)
    )
    wide = np.flatnonzero(reach.ravel(order="F"))
    smoothed = np.empty((len(matrix), len(wide)), np.float32)
    for row, out in zip(matrix, smoothed, strict=True):
        volume = np.zeros(grid.n_voxels, np.float32)
        volume[voxels] = row
        volume = _smooth(volume.reshape(grid.shape, order="F"), sigmas)
        out[:] = volume.ravel(order="F")[wide]
    return wide, smoothed
