"""A MATLAB v7.3 file of one scan: its members checked, its volumes one at a time.

MATLAB writes an array of (X, Y, Z, T) with x fastest, and HDF5 names its axes the
other way round: ``orig`` is read as (T, Z, Y, X) and ``mask`` as (Z, Y, X). Here
that order is taken, and turned back. Layout: seed 004 of this project's sources,
fMRIdata with orig (the scan), mask and dx (the diagnosis, a number or a word).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from bidsclf.errors import InputError

GROUP = "fMRIdata"
HDF5 = b"\x89HDF\r\n\x1a\n"
BLOCK_BYTES = 64 * 2**20  # read at once, where a chunk holds several volumes; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class MatScan:
    """What the members of a file say, before a volume is read.

    Attributes
    ----------
    shape : (X, Y, Z)
    n_volumes : int
    mask : bool array of shape (X, Y, Z)
    code : str or None
        Content of dx: ``'1'`` for a number, a word as it is; None without dx.
    """

    shape: tuple[int, int, int]
    n_volumes: int
    mask: np.ndarray
    code: str | None


def peek(path: Path) -> MatScan:
    """Read and check everything of a file but its volumes.

    Raises
    ------
    InputError
        The file is not MATLAB v7.3, is cut off, lacks orig or mask, or they are
        not a 4D scan of real numbers and a 3D mask of its shape.
    """
    with _opened(path) as file:
        orig, mask = _member(path, file, "orig"), _member(path, file, "mask")
        if orig.ndim != 4:
            raise InputError(
                f"{path.name}: {GROUP}/orig has {orig.ndim} axes, of lengths"
                f" {orig.shape[::-1]}; a scan has four (x, y, z, time). Save it again."
            )
        shape = orig.shape[:0:-1]
        _check_shape(path, mask.shape[::-1], shape, orig.shape)
        inside = np.nan_to_num(np.asarray(mask[()]).T) > 0
        if not inside.any():
            raise InputError(
                f"{path.name}: {GROUP}/mask holds no voxel. Make it again."
            )
        code = _code(path, file)
        return MatScan(
            shape=shape,
            n_volumes=orig.shape[0],
            mask=inside,
            code=code,
        )


def read_volumes(path: Path) -> Iterator[np.ndarray]:
    """Yield the volumes of a file in order, reading few at a time.

    Yields
    ------
    volume : float32 array of shape (X, Y, Z)
        Values beyond float32 are infinite.

    Raises
    ------
    InputError
        The data are cut off or damaged.
    """
    with _opened(path) as file:
        orig = _member(path, file, "orig")
        per_volume = int(np.prod(orig.shape[1:])) * orig.dtype.itemsize
        chunk = orig.chunks[0] if orig.chunks else 1
        step = max(1, min(chunk, BLOCK_BYTES // max(per_volume, 1)))
        for first in range(0, orig.shape[0], step):
            with np.errstate(over="ignore"):
                block = orig[first : first + step].astype(np.float32)
            for volume in block:
                yield volume.T


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open a file; whatever HDF5 finds damaged in it is an InputError.

    A flipped byte may also make a type that numpy has not, or a name that is no
    text: h5py then raises ValueError or TypeError.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(1024)
        _check_kind(path, start)
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path.name}: cannot be read ({error}). The file is cut off or damaged, or"
            " may not be read: copy or save it again."
        ) from error


def _check_kind(path: Path, start: bytes) -> None:
    is_hdf5 = any(start[at : at + 8] == HDF5 for at in (0, 512))
    if is_hdf5:
        return
    if start.startswith(b"MATLAB 5.0"):
        raise InputError(
            f"{path.name}: a MATLAB file of an older version; -v7.3 is read, which is"
            " HDF5. Load it and save it again with save(…, '-v7.3')."
        )
    raise InputError(
        f"{path.name}: no MATLAB v7.3 (HDF5) file ({len(start)} bytes at its start were"
        " looked at). Copy or save it again."
    )


def _member(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    group = file.get(GROUP)
    found = group.get(name) if isinstance(group, h5py.Group) else None
    if not isinstance(found, h5py.Dataset):
        there = sorted(map(str, group if isinstance(group, h5py.Group) else file))
        raise InputError(
            f"{path.name}: no {GROUP}/{name}; there are: {', '.join(there) or 'none'}."
            f" A file holds {GROUP} with orig, mask and dx."
        )
    is_real = found.dtype.kind in "fiub"
    if not is_real or found.size in (0, None) or "MATLAB_empty" in found.attrs:
        what = f"holds {found.dtype}" if not is_real else "is empty"
        raise InputError(
            f"{path.name}: {GROUP}/{name} {what}; real numbers are expected."
            " Save it again."
        )
    return found


def _check_shape(
    path: Path, mask: tuple[int, ...], shape: tuple[int, ...], stored: tuple[int, ...]
) -> None:
    if mask == shape:
        return
    turned = ""
    if mask[::-1] == stored[:3]:
        turned = (
            " It fits the axes in the other order: MATLAB's is read, in which HDF5"
            " gives time first."
        )
    raise InputError(
        f"{path.name}: {GROUP}/mask has the shape {mask}, the scan"
        f" {shape}; they share one grid.{turned} Save it again."
    )


def _code(path: Path, file: h5py.File) -> str | None:
    """Return what dx says as text; None where there is none."""
    if "dx" not in file[GROUP]:
        return None
    dataset = _member(path, file, "dx")
    values = np.asarray(dataset[()]).ravel(order="C")
    if dataset.attrs.get("MATLAB_class") in (b"char", "char"):
        return "".join(map(chr, values)).strip()
    if values.size != 1 or not np.isfinite(values[0]):
        raise InputError(
            f"{path.name}: {GROUP}/dx is {values[:5].tolist()}; it is one number or one"
            " word. Save it again."
        )
    return f"{float(values[0]):g}"
