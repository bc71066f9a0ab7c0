"""The brain on a small grid, volume by volume: cropped, resized, nothing else kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from bidsclf.errors import InputError
from bidsclf.features._stream import VolumeReader

MNI_BOX_MM = ((-73.0, -108.0, -73.0), (73.0, 74.0, 83.0))  # nilearn's MNI152 brain mask
MIN_INSIDE = 0.5  # share of a cell that lies in the mask; ours
FEW = 0.25  # share of cells inside; the MNI152 brain fills .45 of its box
OBLIQUE_MM = 0.1  # drift of an axis across the image; ours
TRUNCATE = 4.0  # sigmas; as for the atlases
FWHM_PER_SIGMA = np.sqrt(8 * np.log(2))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SmallGrid:
    """Cells of a box: ``size`` along each axis, x to the right, y front, z up.

    Attributes
    ----------
    size : int
    box_mm : float array of shape (2, 3)
        Its lower and its upper corner, where the outer faces of the cells meet.
    """

    size: int
    box_mm: np.ndarray

    @property
    def cell_mm(self) -> np.ndarray:
        """Edges of a cell in mm, float array of shape (3,)."""
        edges: np.ndarray = (self.box_mm[1] - self.box_mm[0]) / self.size
        return edges

    @property
    def affine(self) -> np.ndarray:
        """Cell indices to mm, float array of shape (4, 4)."""
        affine = np.diag([*self.cell_mm, 1.0])
        affine[:3, 3] = self.box_mm[0] + self.cell_mm / 2
        return affine


def brain_box(
    space: str, mask: np.ndarray, affine: np.ndarray
) -> tuple[np.ndarray, str | None]:
    """Return the box that is cropped to, and what a reader should know of it.

    The box of the MNI152 brain is taken for every person, so that a cell is the same
    place in all of them; one box a person would shift and scale brains apart. Where
    the space is another, there is no such box, and the mask's own is taken.

    Parameters
    ----------
    space : str
    mask : bool array of shape (X, Y, Z)
        Not empty.
    affine : float array of shape (4, 4)

    Returns
    -------
    box_mm : float array of shape (2, 3)
    note : str or None
    """
    if space.startswith("MNI152"):
        return np.array(MNI_BOX_MM), None
    where = np.argwhere(mask)
    corners = np.stack([where.min(axis=0) - 0.5, where.max(axis=0) + 0.5])
    mm = corners @ affine[:3, :3].T + affine[:3, 3]
    return np.sort(mm, axis=0), (
        f"The image is in {space}, not in an MNI152 space: volumes are cropped to the"
        " box of its own mask, so that a cell is not the same place in everyone."
    )


def axis_weights(n: int, size: int, *, start: float, step: float) -> np.ndarray:
    """Return what each voxel along an axis gives to each cell.

    A triangle as wide as two cells, or two voxels where these are larger: linear
    interpolation that takes all voxels of a cell in, as ``antialias=True`` of
    ``torch.nn.functional.interpolate`` does.

    Parameters
    ----------
    n, size : int
        Voxels and cells along the axis.
    start, step : float
        Where the first cell begins and how long a cell is, in voxels; voxel 0 lies
        at 0. A negative step turns the axis.

    Returns
    -------
    weights : float array of shape (size, n)
        Rows sum to 1 over an endless axis, so to less where the image ends.

    Examples
    --------
    >>> axis_weights(4, 2, start=-0.5, step=2.0).round(3)
    array([[0.375, 0.375, 0.125, 0.   ],
           [0.   , 0.125, 0.375, 0.375]])
    """
    centres = start + (np.arange(size) + 0.5) * step
    reach = max(abs(step), 1.0)
    low, high = np.floor(centres.min() - reach), np.ceil(centres.max() + reach)
    voxels = np.arange(min(low, 0), max(high, n - 1) + 1)
    weights = np.clip(1 - np.abs(voxels - centres[:, None]) / reach, 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    first = int(-voxels[0])
    return weights[:, first : first + n]


class SmallVolumes:
    """Every volume on a small grid; a ``Reducer``.

    A cell is the weighted mean of the voxels of the mask around it, and 0 where less
    than half of it lies in the mask. Smoothing is done within the mask (nilearn
    smooths the whole image before it applies a mask): air does not darken the rim.

    Parameters
    ----------
    reader : VolumeReader
        Gives the grid; nothing is read.
    mask : bool array of shape (X, Y, Z)
        On the same grid.
    grid : SmallGrid
    fwhm_mm : float
        Full width at half maximum of the Gaussian; 0 for none.

    Attributes
    ----------
    grid : SmallGrid
    inside : bool array of shape (size, size, size)
        The cells in the brain.
    values : float32 array of shape (n_volumes, n_inside)
        In the unit of the image.
    n_nonfinite : int
        Values in the mask that were NaN or infinite and taken as 0.

    Raises
    ------
    InputError
        The image's axes are not those of its space, or no cell is in the brain.
    """

    def __init__(
        self,
        reader: VolumeReader,
        mask: np.ndarray,
        grid: SmallGrid,
        *,
        fwhm_mm: float = 0.0,
    ) -> None:
        self.grid, self.n_nonfinite = grid, 0
        brain = mask.transpose().astype(np.float32)  # z, y, x, as a block holds it
        axes = world_axes(reader.affine, reader.shape, reader.path)
        spans = tuple(_span(mask, axis) for axis in range(3))
        order = [2 - axis for axis in axes]  # of the contracted array, to x, y, z
        place = reader.affine, reader.shape
        sharp = cell_weights(*place, grid, axes, fwhm_mm=0.0)
        self.inside = contracted(brain, sharp).transpose(order) >= MIN_INSIDE - 1e-6
        self._check(reader)
        smooth = cell_weights(*place, grid, axes, fwhm_mm=fwhm_mm) if fwhm_mm else sharp
        share = contracted(brain, smooth)
        where = np.arange(share.size).reshape(share.shape).transpose(order)
        self._take = where[self.inside]
        self._share = share.reshape(-1)[self._take]
        self._shape, self._crop = reader.shape[::-1], spans[::-1]
        self._mask = np.ascontiguousarray(mask.transpose()[self._crop])
        self._brain = np.zeros(self._mask.shape, np.float32)
        self._weights = [
            np.ascontiguousarray(weights[:, span])
            for weights, span in zip(smooth, spans, strict=True)
        ]
        self.values = np.empty((reader.n_volumes, self._take.size), np.float32)

    def update(self, block: np.ndarray, first: int) -> None:
        """Take in float32 (n, X*Y*Z) volumes, the first of index ``first``."""
        for n, volume in enumerate(block, start=first):
            whole = volume.reshape(self._shape)[self._crop]
            np.copyto(self._brain, whole, where=self._mask)
            with np.errstate(over="ignore", invalid="ignore"):
                small = contracted(self._brain, self._weights)
            if not np.isfinite(small).all():  # also where NaN has met a weight of 0
                bad = ~np.isfinite(self._brain)
                self.n_nonfinite += int(bad.sum())
                self._brain[bad] = 0
                small = contracted(self._brain, self._weights)
            np.divide(small.reshape(-1)[self._take], self._share, out=self.values[n])

    @property
    def note(self) -> str | None:
        """What a reader should know of a brain that hardly fills the box."""
        share = float(self.inside.mean())
        if share >= FEW:
            return None
        return (
            f"The brain fills {share:.0%} of the cells of its box; the MNI152 brain"
            " fills 45%. Look at the mask and the field of view."
        )

    def whole(self, inside: np.ndarray) -> np.ndarray:
        """Put (n, n_inside) values into their cells: float32 (size, size, size, n)."""
        whole = np.zeros((*self.inside.shape, len(inside)), np.float32, order="F")
        whole[self.inside] = inside.T
        return whole

    def _check(self, reader: VolumeReader) -> None:
        if not self.inside.any():
            box = self.grid.box_mm.round(1).tolist()
            raise InputError(
                f"{reader.path}: the brain mask fills no cell of the box {box} mm on"
                f" a grid of {self.grid.size}. Is the image in the space that its name"
                " gives? If it is, choose a larger --volume-size."
            )


def world_axes(affine: np.ndarray, shape: Sequence[int], path: Path) -> list[int]:
    """Return the voxel axis that runs along x, along y and along z.

    Raises
    ------
    InputError
        An axis of the image runs askew; ``path`` is named.
    """
    linear = np.abs(affine[:3, :3])
    axes = [int(row.argmax()) for row in linear]
    drift = linear * np.array(shape)
    drift[range(3), axes] = 0
    if sorted(axes) != [0, 1, 2] or drift.max() > OBLIQUE_MM:
        raise InputError(
            f"{path}: its axes are oblique (affine"
            f" {affine[:3, :3].round(3).tolist()}); images are resized along"
            " the axes of the space. Resample the image to its template first."
        )
    return axes


def cell_weights(
    affine: np.ndarray,
    shape: Sequence[int],
    grid: SmallGrid,
    axes: list[int],
    *,
    fwhm_mm: float,
) -> list[np.ndarray]:
    """Return what each voxel gives to each cell, float32 (size, n) a voxel axis.

    Parameters
    ----------
    affine : float array of shape (4, 4)
        Voxel indices to mm.
    shape : (X, Y, Z)
    grid : SmallGrid
    axes : list of int
        ``world_axes``.
    fwhm_mm : float
        Full width at half maximum of the Gaussian; 0 for none.
    """
    weights = []
    for axis, n in enumerate(shape):
        world = axes.index(axis)
        voxel_mm, origin_mm = affine[world, axis], affine[world, 3]
        sharp = axis_weights(
            n,
            grid.size,
            start=(grid.box_mm[0, world] - origin_mm) / voxel_mm,
            step=grid.cell_mm[world] / voxel_mm,
        )
        if fwhm_mm:
            sigma = fwhm_mm / FWHM_PER_SIGMA / abs(voxel_mm)
            sharp = ndimage.gaussian_filter1d(
                sharp, sigma, axis=1, mode="constant", truncate=TRUNCATE
            )
        weights.append(sharp.astype(np.float32))
    return weights


def _span(mask: np.ndarray, axis: int) -> slice:
    others = tuple({0, 1, 2} - {axis})
    where = np.flatnonzero(mask.any(axis=others))
    return slice(int(where[0]), int(where[-1]) + 1)


def contracted(volume: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Resize a (Z, Y, X) volume along each axis: float32 (size, size, size)."""
    along_x, along_y, along_z = weights
    n_z, n_y, n_x = volume.shape
    size = len(along_x)
    small = (volume.reshape(-1, n_x) @ along_x.T).reshape(n_z, n_y, size)
    small = np.matmul(along_y, small).reshape(n_z, -1)
    small = along_z @ small
    return small.reshape(size, size, size)
