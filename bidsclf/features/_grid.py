"""An atlas on the grid of an image: resampled once, then read from a cache."""

import contextlib
import hashlib
import os
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy import ndimage

from bidsclf.features._atlas import Atlas
from bidsclf.features._labels import read_labels
from bidsclf.features._stream import open_volumes

VERSION = 1  # of the numbers in a cache file; raise it when they change
NEAREST, LINEAR = 0, 1  # spline orders: what nilearn's maskers take


@dataclass(frozen=True)
class Grid:
    """Voxels of an image and where they lie.

    Attributes
    ----------
    shape : (X, Y, Z)
    affine : float array of shape (4, 4)
    """

    shape: tuple[int, ...]
    affine: np.ndarray

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape))

    def holds(self, indices: np.ndarray) -> np.ndarray:
        """Tell which (3, n) voxel indices, whole or not, lie in the field of view."""
        last = np.array(self.shape)[:, None] - 0.5
        return ((indices >= -0.5) & (indices <= last)).all(axis=0)

    def same_as(self, shape: tuple[int, ...], affine: np.ndarray) -> bool:
        """Tell whether another image needs no resampling, as nilearn decides it."""
        return tuple(shape) == tuple(self.shape) and np.allclose(affine, self.affine)


@dataclass(frozen=True)
class Placed:
    """Regions on a grid, before any mask.

    Attributes
    ----------
    voxels : int array of shape (n_pairs,)
        Columns of a block that a region touches, region by region.
    values : float32 array of shape (n_pairs,)
        Weight of each: 1 for labels and spheres, the map's value for maps.
    sizes : int array of shape (n_regions,)
        Pairs of each region.
    in_view : float array of shape (n_regions,)
        Share of the region, by absolute weight, inside the field of view.
    """

    voxels: np.ndarray
    values: np.ndarray
    sizes: np.ndarray
    in_view: np.ndarray

    @property
    def regions(self) -> np.ndarray:
        """The region of each pair, int array of shape (n_pairs,)."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def each(self, values: np.ndarray) -> list[np.ndarray]:
        """Split an array of shape (n_pairs,) into one a region."""
        return np.split(values, np.cumsum(self.sizes)[:-1])


def place(atlas: Atlas, grid: Grid, cache_dir: Path | None) -> Placed:
    """Put an atlas on a grid, or read it from the cache.

    Parameters
    ----------
    atlas : Atlas
    grid : Grid
    cache_dir : Path or None
        A file appears in it whole or not at all; one that cannot be read is made
        again. None caches nothing.
    """
    if cache_dir is None:
        return _resampled(atlas, grid)
    path = cache_dir / f"atlas-{atlas.name}_{_key(atlas, grid)}.npz"
    placed = _load(path, len(atlas.regions))
    if placed is None:
        placed = _resampled(atlas, grid)
        with contextlib.suppress(OSError):  # a cache may be full or read-only
            _save(path, placed)
    return placed


def resample(
    values: np.ndarray, affine: np.ndarray, grid: Grid, *, order: int
) -> np.ndarray:
    """Resample one (X, Y, Z) volume, number for number as nilearn's maskers do."""
    if grid.same_as(values.shape, affine):
        return values
    to_source = np.linalg.inv(affine) @ grid.affine
    matrix, offset = to_source[:3, :3], to_source[:3, 3]
    if np.all(np.diag(np.diag(matrix)) == matrix):
        matrix = np.diag(matrix)  # scipy's separable algorithm rounds differently
    return ndimage.affine_transform(
        values, matrix, offset=offset, output_shape=grid.shape, order=order
    )


def _resampled(atlas: Atlas, grid: Grid) -> Placed:
    make = {"labels": _placed_labels, "maps": _placed_maps, "spheres": _spheres}
    return make[atlas.kind](atlas, grid)


def _placed_labels(atlas: Atlas, grid: Grid) -> Placed:
    assert atlas.image is not None
    labels, affine = read_labels(atlas.image, atlas.volume)
    values = np.array(atlas.values)
    on_grid = resample(labels, affine, grid, order=NEAREST).ravel(order="F")
    inside = np.flatnonzero(on_grid)
    owner = np.searchsorted(values, on_grid[inside])
    voxels = inside[np.argsort(owner, kind="stable")].astype(np.int32)
    sizes = np.bincount(owner, minlength=len(values))
    source = np.nonzero(labels)
    owner = np.searchsorted(values, labels[source])
    in_view = _in_view(np.array(source), affine, grid)
    share = np.bincount(owner, in_view, len(values)) / np.bincount(owner)
    return Placed(voxels, np.ones(len(voxels), np.float32), sizes, share)


def _placed_maps(atlas: Atlas, grid: Grid) -> Placed:
    assert atlas.image is not None
    reader = open_volumes(atlas.image)
    corners = np.indices(reader.shape).reshape(3, -1)
    in_view = _in_view(corners, reader.affine, grid).reshape(reader.shape)
    voxels, values, share = [], [], []
    for block in reader.blocks(1):
        source = np.nan_to_num(block[0], nan=0.0, posinf=0.0, neginf=0.0)
        source = source.reshape(reader.shape, order="F")
        total = np.abs(source, dtype=np.float64).sum()
        share.append(np.abs(source[in_view], dtype=np.float64).sum() / (total or 1))
        flat = resample(source, reader.affine, grid, order=LINEAR).ravel(order="F")
        voxels.append(np.flatnonzero(flat).astype(np.int32))
        values.append(flat[voxels[-1]])
    sizes = np.array([len(at) for at in voxels])
    return Placed(
        np.concatenate(voxels), np.concatenate(values), sizes, np.array(share)
    )


def _in_view(indices: np.ndarray, affine: np.ndarray, grid: Grid) -> np.ndarray:
    """Tell which voxels of another image lie in the grid's field of view."""
    to_grid = np.linalg.inv(grid.affine) @ affine
    return grid.holds(to_grid[:3, :3] @ indices + to_grid[:3, 3:])


def _spheres(atlas: Atlas, grid: Grid) -> Placed:
    """Take the voxels within the radius, and always the nearest one, as nilearn.

    Nilearn also adds a voxel whose whole-millimetre coordinates equal the seed's;
    for a radius of 3.5 mm or more it lies within the radius anyway.
    """
    to_index = np.linalg.inv(grid.affine)
    radius_mm = atlas.radius_mm or 0.0
    reach = radius_mm * np.linalg.norm(to_index[:3, :3], axis=1)
    voxels, share = [], []
    for seed in atlas.coords:
        centre = to_index[:3, :3] @ seed + to_index[:3, 3]
        axes = [
            np.arange(np.floor(c - r), np.ceil(c + r) + 1)
            for c, r in zip(centre, reach, strict=True)
        ]
        around = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
        mm = grid.affine[:3, :3] @ around + grid.affine[:3, 3:]
        distance = ((mm - np.array(seed)[:, None]) ** 2).sum(axis=0)
        is_nearest = (around == np.round(centre)[:, None]).all(axis=0)
        around = around[:, (distance <= radius_mm**2) | is_nearest].astype(int)
        here = around[:, grid.holds(around)]
        share.append(here.shape[1] / around.shape[1])
        flat = np.ravel_multi_index(tuple(here), grid.shape, order="F")
        voxels.append(np.sort(flat).astype(np.int32))
    sizes = np.array([len(at) for at in voxels])
    ones = np.ones(sizes.sum(), np.float32)
    return Placed(np.concatenate(voxels), ones, sizes, np.array(share))


def _key(atlas: Atlas, grid: Grid) -> str:
    affine = np.round(grid.affine, 5) + 0.0  # one key for 0 and -0
    parts = (VERSION, atlas.digest, tuple(grid.shape), affine.tolist())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _save(path: Path, placed: Placed) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **vars(placed))
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _load(path: Path, n_regions: int) -> Placed | None:
    """Read a cache file; None if it is absent, damaged or of another atlas."""
    try:
        with path.open("rb") as file:
            held = np.load(file, allow_pickle=False)  # checks each array's CRC
            placed = Placed(
                **{field.name: held[field.name] for field in fields(Placed)}
            )
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
    n_pairs = {len(placed.voxels), len(placed.values), int(placed.sizes.sum())}
    is_whole = len(placed.sizes) == n_regions and len(n_pairs) == 1
    return placed if is_whole else None
