"""NIfTI files on disk: opened, gunzipped and checked, nothing else."""

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError

from bidsclf.errors import InputError

GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 2**18  # bytes a read, measured: they are still in the cache when copied
HEADERS = {  # magic of a single file, and where it stands, by length of the header
    348: (nib.Nifti1Header, slice(344, 348), b"n+1\0"),
    540: (nib.Nifti2Header, slice(4, 8), b"n+2\0"),
}
DAMAGED: Any = (igzip.BadGzipFile, IsalError, zlib.error)
HARMED = (nib.spatialimages.HeaderDataError, KeyError, ValueError, OverflowError)
MOST_PACKED = 1100  # gzip makes nothing more than 1,032 times smaller
FAR_MM = 1e6  # a kilometre from the scanner; ours
TIME_BITS = 0x38  # of xyzt_units
SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, gunzipped where it is gzipped; what cannot be read is named."""
    try:
        with path.open("rb", buffering=0) as file:
            is_gzip = file.read(2) == GZIP_MAGIC
            file.seek(0)
            if not is_gzip:
                yield file
                return
            with igzip.open(file, "rb") as source:
                yield source
    except EOFError as error:
        raise InputError(
            f"{path}: the gzip stream ends before its end mark; the file was cut off"
            " (a broken download, a full disk). Copy or make it again."
        ) from error
    except DAMAGED as error:
        raise InputError(
            f"{path}: not readable as gzip ({error}); the file is damaged."
            " Copy or make it again."
        ) from error
    except OSError as error:
        raise InputError(
            f"{path}: not readable ({error.strerror or error})."
            " Check that the file exists and that you may read it."
        ) from error


def fill(source: BinaryIO, wanted: memoryview) -> int:
    """Read until ``wanted`` is full or the data end; return the bytes read."""
    n_bytes = 0
    while n_bytes < len(wanted) and (
        n_read := source.readinto(wanted[n_bytes : n_bytes + CHUNK])  # type: ignore[attr-defined]
    ):
        n_bytes += n_read
    return n_bytes


def skip(source: BinaryIO, n_bytes: int) -> None:
    """Read on by ``n_bytes``, or to the end."""
    while n_bytes > 0 and (piece := source.read(min(n_bytes, CHUNK))):
        n_bytes -= len(piece)


def read_header(path: Path) -> Any:
    """Read and check what ``open_volumes`` and ``read_volume`` both need."""
    with opened(path) as source:
        start = source.read(540)
    header = _parsed(path, start)
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    if min(shape, default=0) < 1:
        raise InputError(
            f"{path}: the header gives shape {shape}; every axis holds at least 1."
            " The image is empty: make it again."
        )
    if dtype.kind not in "iuf":
        raise InputError(
            f"{path}: voxels are of type {dtype}; real numbers were expected."
            " Colours and complex values are not signals."
        )
    n_bytes, held = dtype.itemsize * math.prod(shape), path.stat().st_size
    if n_bytes > MOST_PACKED * held:
        raise InputError(
            f"{path}: the header promises {n_bytes} bytes, which a file of {held}"
            " cannot hold; it was cut off or its header is damaged. Make it again."
        )
    with np.errstate(all="ignore"):  # a damaged quaternion; checked below
        affine = header.get_best_affine()
    is_near = bool((np.abs(affine) < FAR_MM).all())  # false for NaN too
    if not is_near or abs(np.linalg.det(affine)) < 1e-12:
        raise InputError(
            f"{path}: the affine {affine[:3].round(3).tolist()} cannot be inverted,"
            " so voxels have no place in mm. Mend sform or qform."
        )
    return header


def _parsed(path: Path, start: bytes) -> Any:
    sizes = {int.from_bytes(start[:4], order) for order in ("little", "big")}
    for size in sizes & set(HEADERS):
        kind, where, magic = HEADERS[size]
        if len(start) >= size and start[where] == magic:
            try:
                header = kind(start[:size])
                header.get_data_dtype(), header.get_slope_inter()
                int(header["vox_offset"])
            except HARMED as error:
                raise InputError(
                    f"{path}: its NIfTI header is damaged ({error})."
                    " Copy or make the file again."
                ) from error
            return header
    raise InputError(
        f"{path}: no NIfTI header in its first {len(start)} bytes;"
        " a single .nii or .nii.gz file was expected. Convert the image."
    )


def tr_s(header: Any) -> float | None:
    """Return the header's repetition time; many writers leave it or its unit out."""
    zooms, code = header.get_zooms(), int(header["xyzt_units"]) & TIME_BITS
    if len(zooms) < 4 or code not in SECONDS or not zooms[3] > 0:
        return None
    return float(zooms[3]) * SECONDS[code]
