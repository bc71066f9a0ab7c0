"""Images of the feature 'volume': their grids, and their numbers when asked for."""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError

from bidsclf.errors import InputError
from bidsclf.files import store
from bidsclf.files.people import listed

GZIP_MAGIC = b"\x1f\x8b"
LIKE_MM = 1e-3  # how far two affines of one grid may be apart; ours
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


def grid_of(path: Path) -> Grid:
    """Read the header of an image, nothing else.

    Raises
    ------
    InputError
        The file is absent, no NIfTI image, or has not four axes.
    """
    try:
        image = _opened(path)
        shape, affine = image.shape, np.asarray(image.affine, float)
    except UNREADABLE as error:
        raise _refused(path, error) from error
    if len(shape) != 4 or 0 in shape:
        raise InputError(
            f"{path}: an image of shape {shape}; expected (X, Y, Z, volumes)."
            " Run the participant level again for this person."
        )
    return Grid(shape[:3], affine, shape[3])


def read_image(path: Path) -> np.ndarray:
    """Read an image: float32 of shape (T, X, Y, Z), finite.

    Raises
    ------
    InputError
        The file is absent, damaged or cut short, or holds NaN or infinity.
    """
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
    return np.ascontiguousarray(np.moveaxis(values, -1, 0))


def why_damaged(path: Path, *, is_read: bool = True) -> str | None:
    """Say why an image is refused: by its header, and where it is read, whole."""
    try:
        grid_of(path)
        if is_read:
            read_image(path)
    except InputError as error:
        return str(error).replace(str(path), path.name).partition("; expected")[0]
    return None


def common_grid(images: Sequence[Path], people: Sequence[str]) -> Grid | None:
    """Return the grid that all images share, None where there is no image.

    Raises
    ------
    InputError
        Images have other shapes or lie elsewhere; the message names the people who
        differ from most.
    """
    if not images:
        return None
    grids = [grid_of(path) for path in images]
    keys = [(*g.shape, *(g.affine / LIKE_MM).round(-1).ravel()) for g in grids]
    usual = grids[keys.index(Counter(keys).most_common(1)[0][0])]
    odd = {
        who: grid.shape
        for who, grid in zip(people, grids, strict=True)
        if not is_same(grid, usual)
    }
    if odd:
        raise InputError(
            f"{len(odd)} of {len(set(people))} people have volumes on another grid than"
            f" the {usual.shape} of the rest, or elsewhere: {listed(odd)} (the first"
            f" has {next(iter(odd.values()))}). All people of a cohort share one grid."
            " Run the participant level again for them, or select the others."
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
