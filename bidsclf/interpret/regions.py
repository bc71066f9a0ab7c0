"""Where regions lie: positions, networks and voxels, from an image of an atlas."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from bidsclf.errors import ConfigError, InputError
from bidsclf.features._atlas import Atlas, is_shipped, load_atlas, names
from bidsclf.features._labels import read_labels
from bidsclf.features._stream import open_volumes

GRID_SHAPE = (91, 109, 91)  # of the MNI templates at 2 mm, for spheres
GRID = np.array([[2.0, 0, 0, -90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
HALF = 0.5  # share of a map's maximum that counts as inside; ours
LEAST = 0.1  # share of a region that a network must hold to be its network; ours
VALUE = re.compile(r"(.*)_(\d+)")  # a region that is named by its label value


@dataclass(frozen=True, slots=True, eq=False)
class Parcels:
    """The voxels of regions.

    Attributes
    ----------
    regions : tuple of str
        As the model names them.
    labels : int array of shape (X, Y, Z)
        i + 1 in the voxels of region i; 0 in all others. A region that was not
        found has no voxel.
    affine : float array of shape (4, 4)
        Voxel indices to mm, MNI.
    """

    regions: tuple[str, ...]
    labels: np.ndarray
    affine: np.ndarray

    def mask(self, chosen: Sequence[str]) -> np.ndarray:
        """Return the voxels of some regions, bool of shape (X, Y, Z)."""
        wanted = [n for n, name in enumerate(self.regions, 1) if name in set(chosen)]
        return np.isin(self.labels, wanted)

    def on_grid(self, chosen: Sequence[str]) -> np.ndarray:
        """Return those voxels of the 2 mm grid, bool of shape ``GRID_SHAPE``."""
        mask = self.mask(chosen)
        voxels = np.indices(GRID_SHAPE).reshape(3, -1).T
        return _sampled(mask, self.affine, _moved(voxels, GRID)).reshape(GRID_SHAPE)


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Regions and what is known of their place.

    Attributes
    ----------
    table : DataFrame
        region, x, y, z (mm, NaN where unknown), network (None where unknown);
        a row a region, in the order given.
    parcels : Parcels or None
        None where no region was found.
    notes : tuple of str
        What is not known, and why, for the reader of a report.
    """

    table: pd.DataFrame
    parcels: Parcels | None
    notes: tuple[str, ...] = ()


def place_regions(
    regions: Sequence[str], *, atlas: str | Path | None, networks: Path | None
) -> Placed:
    """Return the position and the network of each region.

    Nothing is downloaded, and what is missing is said in the notes: no result
    depends on it.

    Parameters
    ----------
    regions : sequence of str
        Names, or ``<anything>_<label value>`` as sources without names give them.
    atlas : str, Path or None
        Image of the atlas with its table beside it, or a name of an atlas that is
        installed with us.
    networks : Path or None
        Image of labels, such as Yeo's seven networks, with its table beside it.
    """
    table = pd.DataFrame({"region": list(regions)})
    table[["x", "y", "z"]] = np.nan
    table["network"] = None
    try:
        found = _installed(atlas)
        places = matched(regions, found)
        parcels = parcels_of(regions, found, places)
    except (InputError, ConfigError) as error:
        told = [f"Positions of regions are not known: {error}"]
        if networks is not None:
            told.append(f"Networks need positions, so {networks} was not used.")
        return Placed(table, None, tuple(told))
    table[["x", "y", "z"]] = _positions(parcels, found, places)
    notes = []
    if None in places:
        notes.append(
            f"{places.count(None)} of {len(regions)} regions are not in the image of"
            f" atlas {found.label}; their positions are not known."
        )
    try:
        if networks is not None:
            table["network"] = network_of_each(parcels, networks)
    except (InputError, ConfigError) as error:
        notes.append(f"Networks of regions are not known: {error}")
    return Placed(table, parcels, tuple(notes))


def matched(regions: Sequence[str], atlas: Atlas) -> list[int | None]:
    """Return the place of each region in an atlas, None where it is not there.

    By name; where no name fits, by the label value at the end of the names, if
    every one is a label of the image: values of two atlases are alike, and one
    that fits in part is another atlas.

    Raises
    ------
    InputError
        No region fits.
    """
    by_name = {name: place for place, name in enumerate(atlas.regions)}
    if any(name in by_name for name in regions):
        return [by_name.get(name) for name in regions]
    by_value = {value: place for place, value in enumerate(atlas.values)}
    parts = [VALUE.fullmatch(name) for name in regions]
    places = [by_value.get(int(part[2])) if part else None for part in parts]
    if None in places or len({part[1] for part in parts if part}) > 1:
        raise InputError(
            f"regions {', '.join(list(regions)[:3])} … are not those of atlas"
            f" {atlas.label} ({', '.join(atlas.regions[:3])} …), by name or by label."
            " Give the image that the series were taken from with --atlas-image."
        )
    return list(places)


def parcels_of(
    regions: Sequence[str], atlas: Atlas, places: Sequence[int | None]
) -> Parcels:
    """Return the voxels of regions, of an atlas of any kind.

    A voxel of two spheres is the nearer one's; a voxel of several maps that reach
    half their maximum there is of the one that is nearest to its own.
    """
    drawn, affine = {"labels": _labels, "maps": _maps, "spheres": _spheres}[atlas.kind](
        atlas
    )
    renamed = np.zeros(len(atlas.regions) + 1, np.int32)
    for number, place in enumerate(places, start=1):
        if place is not None:
            renamed[place + 1] = number
    return Parcels(tuple(regions), renamed[drawn], affine)


def centres(parcels: Parcels) -> np.ndarray:
    """Return a point in each region: its voxel nearest to its centre of mass.

    The centre of mass itself may lie outside, between the two hemispheres.

    Returns
    -------
    centres : float array of shape (R, 3)
        mm; NaN for a region without voxels.
    """
    found = np.full((len(parcels.regions), 3), np.nan)
    where, mm = _voxels(parcels)
    order = np.argsort(where, kind="stable")
    present, first = np.unique(where[order], return_index=True)
    for number, inside in zip(present, np.split(mm[order], first[1:]), strict=True):
        off = np.linalg.norm(inside - inside.mean(axis=0), axis=1)
        found[number - 1] = inside[int(np.argmin(off))]
    return found


def network_of_each(parcels: Parcels, networks: Path) -> list[str | None]:
    """Return the network that holds most of each region.

    None for a region of which no network holds a tenth: most networks are drawn
    on the cortex alone.

    Raises
    ------
    InputError, ConfigError
        The image cannot be read, or is no image of labels.
    """
    drawn = load_atlas(str(networks))
    if drawn.kind != "labels":
        raise InputError(
            f"{networks}: {len(drawn.regions)} maps; an image of labels, one number"
            " a network, was expected. Give such an image to --networks."
        )
    labels, affine = _labels(drawn)
    where, mm = _voxels(parcels)
    hit = _sampled(labels, affine, mm)
    counts = np.zeros((len(parcels.regions) + 1, len(drawn.regions) + 1), int)
    np.add.at(counts, (where, hit), 1)
    size, best = counts.sum(axis=1)[1:], counts[1:, 1:].argmax(axis=1)
    most = counts[1:, 1:].max(axis=1)
    is_held = most > LEAST * size
    return [
        drawn.regions[place] if held else None
        for place, held in zip(best, is_held, strict=True)
    ]


def _installed(atlas: str | Path | None) -> Atlas:
    """Load an atlas without a download."""
    if atlas is None:
        raise InputError("no atlas is named. Give its image with --atlas-image.")
    known = {name.lower(): name for name in names()}
    name = known.get(str(atlas).lower())
    if (name is None and not Path(atlas).is_file()) or (name and not is_shipped(name)):
        raise InputError(
            f"the image of atlas {atlas} is not installed with bidsclf."
            " Give it with --atlas-image, its table of names beside it."
        )
    return load_atlas(name or str(atlas))


def _positions(
    parcels: Parcels, atlas: Atlas, places: Sequence[int | None]
) -> np.ndarray:
    """Return the centres; of spheres the exact ones."""
    if atlas.kind != "spheres":
        return centres(parcels)
    unknown = (np.nan, np.nan, np.nan)
    return np.array([unknown if p is None else atlas.coords[p] for p in places])


def _labels(atlas: Atlas) -> tuple[np.ndarray, np.ndarray]:
    """Return place + 1 of the atlas' region in every voxel, and the affine."""
    image: Any = atlas.image
    labels, affine = read_labels(image, atlas.volume)
    values = np.array(sorted(atlas.values))
    place = np.searchsorted(values, labels).clip(max=len(values) - 1)
    return np.where(values[place] == labels, place + 1, 0), affine


def _maps(atlas: Atlas) -> tuple[np.ndarray, np.ndarray]:
    image: Any = atlas.image
    reader = open_volumes(image)
    maps = np.nan_to_num(reader.read().astype(np.float32))
    top = maps.max(axis=(0, 1, 2))
    maps = maps / np.where(top > 0, top, 1)
    best = maps.argmax(axis=3)
    return np.where(maps.max(axis=3) >= HALF, best + 1, 0), reader.affine


def _spheres(atlas: Atlas) -> tuple[np.ndarray, np.ndarray]:
    voxels = np.indices(GRID_SHAPE).reshape(3, -1).T
    reach, nearest = cKDTree(atlas.coords).query(_moved(voxels, GRID))
    inside = reach <= float(atlas.radius_mm or 0)
    return np.where(inside, nearest + 1, 0).reshape(GRID_SHAPE), GRID


def _voxels(parcels: Parcels) -> tuple[np.ndarray, np.ndarray]:
    """Return the region number of every voxel in a region, and its mm (n, 3)."""
    voxel = np.argwhere(parcels.labels > 0)
    return parcels.labels[tuple(voxel.T)], _moved(voxel, parcels.affine)


def _sampled(image: np.ndarray, affine: np.ndarray, mm: np.ndarray) -> np.ndarray:
    """Return the value of the voxel that each point is in; 0 outside the image."""
    voxel = np.floor(_moved(mm, np.linalg.inv(affine)) + 0.5).astype(int)
    is_inside = ((voxel >= 0) & (voxel < image.shape)).all(axis=1)
    found = np.zeros(len(mm), image.dtype)
    found[is_inside] = image[tuple(voxel[is_inside].T)]
    return found


def _moved(points: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return points @ affine[:3, :3].T + affine[:3, 3]
