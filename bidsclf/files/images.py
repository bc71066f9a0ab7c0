"""Images of 'volume' and 'graymatter': grids, and numbers when asked for."""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError

from bidsclf.errors import InputError
from bidsclf.files import store
from bidsclf.files.people import listed
from bidsclf.scan import GREY_SLACK, MOST_MODULATED, MOST_SHARE

GZIP_MAGIC = b"\x1f\x8b"
LIKE_MM = 1e-3  # how far two affines of one grid may be apart; ours
VOLUME, GREY = "volume", "graymatter"
AXES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {VOLUME: ("X", "Y", "Z", "volumes"), GREY: ("X", "Y", "Z")}
)
CALLED = MappingProxyType({VOLUME: "volumes", GREY: "grey-matter maps"})
UNREADABLE: Any = (
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    IsalError,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    nib.wrapstruct.WrapStructError,
)


class Grid(NamedTuple):
    """Where the volumes of an image lie, and how many they are.

    Attributes
    ----------
    shape : tuple of int
        X, Y and Z.
    affine : float array of shape (4, 4)
        Voxel indices to mm.
    n_volumes : int
        1 of a map.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    n_volumes: int


class Images(Sequence[np.ndarray]):
    """The image of each row, float32 of shape (T, X, Y, Z), read when asked for.

    Parameters
    ----------
    rows : sequence of sequences of Path
        Images of a row, on one grid; they follow one another in time.

    Attributes
    ----------
    shapes : list of tuple
    names : list of str
        Of the files, for messages.
    """

    def __init__(self, rows: Sequence[Sequence[Path]]) -> None:
        self.rows = rows
        self.names = [" and ".join(path.name for path in row) for row in rows]
        self.shapes = [_shape([grid_of(path) for path in row]) for row in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, np.ndarray | slice):
            return Images([self.rows[row] for row in np.arange(len(self))[at]])
        return np.concatenate([read_image(path) for path in self.rows[at]])


class Maps(Images):
    """The grey-matter map of each row, float32 of shape (1, X, Y, Z).

    Parameters
    ----------
    rows : sequence of sequences of Path
        Maps of a row, on one grid, of which the mean is taken; the same file counts
        once.
    """

    def __init__(self, rows: Sequence[Sequence[Path]]) -> None:
        self.rows = [list(dict.fromkeys(row)) for row in rows]
        self.names = [" and ".join(path.name for path in row) for row in self.rows]
        self.shapes = [(1, *grid_of(row[0], GREY).shape) for row in self.rows]

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, np.ndarray | slice):
            return Maps([self.rows[row] for row in np.arange(len(self))[at]])
        maps = [read_map(path) for path in self.rows[at]]
        return np.mean(maps, axis=0, dtype=np.float64).astype(np.float32)[np.newaxis]


def grid_of(path: Path, kind: str = VOLUME) -> Grid:
    """Read the header of an image, nothing else.

    Parameters
    ----------
    path : Path
    kind : {'volume', 'graymatter'}
        With an axis of volumes, or without.

    Raises
    ------
    InputError
        The file is absent, no NIfTI image, or has not the axes of its kind.
    """
    try:
        image = _opened(path)
        shape, affine = image.shape, np.asarray(image.affine, float)
    except UNREADABLE as error:
        raise _refused(path, error) from error
    if len(shape) != len(AXES[kind]) or 0 in shape:
        raise InputError(
            f"{path}: an image of shape {shape}; expected ({', '.join(AXES[kind])})."
            " Run the participant level again for this person."
        )
    return Grid(shape[:3], affine, shape[3] if kind == VOLUME else 1)


def read_image(path: Path) -> np.ndarray:
    """Read an image: float32 of shape (T, X, Y, Z), finite.

    Raises
    ------
    InputError
        The file is absent, damaged or cut short, or holds NaN or infinity.
    """
    return np.ascontiguousarray(np.moveaxis(_numbers(path), -1, 0))


def read_map(path: Path) -> np.ndarray:
    """Read a grey-matter map: float32 of shape (X, Y, Z), from 0 to 1.

    To 10 where the sidecar says that it is modulated. Values that rounding has put
    outside are put back.

    Raises
    ------
    InputError
        As ``read_image``, or values lie outside or are all 0.
    """
    values = _numbers(path)
    low, high = float(values.min()), float(values.max())
    is_modulated = sidecar(path).get("Modulated") is True
    most = MOST_MODULATED if is_modulated else MOST_SHARE
    if not -GREY_SLACK <= low <= high <= most + GREY_SLACK:
        raise InputError(
            f"{path}: values from {low:g} to {high:g}, where a"
            f"{' modulated' if is_modulated else ''} grey-matter map has 0 to {most:g};"
            " expected those of the participant level. Run it again for this person."
        )
    if high <= 0:
        raise InputError(
            f"{path}: all values are 0; expected grey matter. Look at the segmentation"
            " and run the participant level again for this person."
        )
    return np.clip(values, 0, most)


def _numbers(path: Path) -> np.ndarray:
    """Read an image whole: float32, finite, of its own shape."""
    try:
        raw = path.read_bytes()
        whole = igzip.decompress(raw) if raw[:2] == GZIP_MAGIC else raw
        image = nib.Nifti1Image.from_bytes(whole)
        values = np.asarray(image.dataobj, np.float32)
    except UNREADABLE as error:
        raise _refused(path, error) from error
    if n_bad := int(values.size - np.isfinite(values).sum()):
        raise InputError(
            f"{path}: {n_bad} of {values.size} values are not finite; models take"
            " numbers only. Run the participant level again for this person."
        )
    return values


def why_damaged(path: Path, *, is_read: bool = True, kind: str = VOLUME) -> str | None:
    """Say why an image is refused: by its header, and where it is read, whole."""
    try:
        grid_of(path, kind)
        if is_read:
            read_image(path) if kind == VOLUME else read_map(path)
    except InputError as error:
        return str(error).replace(str(path), path.name).partition("; expected")[0]
    return None


def common_grid(
    images: Sequence[Path], people: Sequence[str], kind: str = VOLUME
) -> Grid | None:
    """Return the grid that all images of a kind share, None where there is none.

    Raises
    ------
    InputError
        Images have other shapes or lie elsewhere; the message names the people who
        differ from most.
    """
    if not images:
        return None
    grids = [grid_of(path, kind) for path in images]
    keys = [(*g.shape, *(g.affine / LIKE_MM).round(-1).ravel()) for g in grids]
    usual = grids[keys.index(Counter(keys).most_common(1)[0][0])]
    odd = {
        who: grid.shape
        for who, grid in zip(people, grids, strict=True)
        if not is_same(grid, usual)
    }
    if odd:
        raise InputError(
            f"{len(odd)} of {len(set(people))} people have {CALLED[kind]} on another"
            f" grid than the {usual.shape} of the rest, or elsewhere: {listed(odd)}"
            f" (the first has {next(iter(odd.values()))}). All people of a cohort share"
            " one grid. Run the participant level again for them, or select the others."
        )
    return usual


def is_same(one: Grid, other: Grid) -> bool:
    """Tell whether a voxel of one grid is the same place in the other."""
    return one.shape == other.shape and bool(
        np.allclose(one.affine, other.affine, rtol=0, atol=LIKE_MM)
    )


def seconds_between(path: Path) -> float | None:
    """Return the seconds between two volumes, None where the sidecar does not say."""
    said = sidecar(path)
    step = said.get("RepetitionTime")
    if step is None and isinstance(times := said.get("VolumeTiming"), list):
        step = float(np.median(np.diff(times))) if len(times) > 1 else None
    is_number = isinstance(step, int | float) and not isinstance(step, bool)
    return float(step) if is_number and 0 < step < np.inf else None  # type: ignore[arg-type, operator]


def sidecar(path: Path) -> Mapping[str, Any]:
    """Return what the JSON file beside a table or an image says; {} without one."""
    beside = path.with_name(path.name.partition(".")[0] + ".json")
    said = store.read_json(beside) if beside.exists() else {}
    return said if isinstance(said, dict) else {}


def _opened(path: Path) -> Any:
    """Open an image of which only the header is read."""
    return nib.Nifti1Image.from_filename(path)


def _shape(grids: Sequence[Grid]) -> tuple[int, int, int, int]:
    return (sum(grid.n_volumes for grid in grids), *grids[0].shape)


def _refused(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: not readable as an image ({str(error)[:120]}); expected NIfTI."
        " Run the participant level again for this person."
    )
