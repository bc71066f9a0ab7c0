"""NIfTI images that are written here: the same bytes each time."""

from collections.abc import Iterable
from pathlib import Path

import nibabel
import numpy as np
from isal import igzip

from bidsclf.files import store

SLOPE = 2.0  # an eighth of the thermal noise: small files, nothing lost
MNI, OWN = 4, 1  # NIfTI's codes of the space, and of no template
LARGEST = np.iinfo(np.int16).max


def digitize(values: np.ndarray, slope: float = SLOPE) -> np.ndarray:
    """Return int16 counts of ``slope``."""
    return np.clip(np.rint(values / slope), 0, LARGEST).astype(np.int16)


def write_image(
    path: Path,
    counts: np.ndarray,
    affine: np.ndarray,
    *,
    tr_s: float | None = None,
    slope: float = SLOPE,
) -> Path:
    """Write an image of counts.

    Parameters
    ----------
    path : Path
        Ends in .nii.gz.
    counts : int16 array of shape (Z, Y, X) or (n_volumes, Z, Y, X)
        The order of the file: x runs fastest.
    affine : float array of shape (4, 4)
        Voxel indices (x, y, z) to mm.
    tr_s : float, optional
        Repetition time in seconds, for a series.
    slope : float
        A value is it times a count.
    """
    header = _header(np.int16, counts.shape[::-1], affine, MNI, tr_s)
    header.set_slope_inter(slope, 0)
    raw = header.binaryblock + bytes(4) + np.ascontiguousarray(counts).tobytes()
    with store.atomic(path) as partial:
        partial.write_bytes(igzip.compress(raw, compresslevel=1, mtime=0))
    return path


def write_volumes(
    path: Path,
    volumes: Iterable[np.ndarray],
    shape: tuple[int, ...],
    affine: np.ndarray,
    *,
    tr_s: float | None = None,
) -> Path:
    """Write a series volume by volume: no more than one is held.

    Parameters
    ----------
    path : Path
        Ends in .nii.gz.
    volumes : iterable of float32 arrays of shape (X, Y, Z)
        What it raises leaves no file behind.
    shape : (X, Y, Z, n_volumes)
    affine : float array of shape (4, 4)
        Voxel indices to mm, of no template.
    tr_s : float, optional
        Repetition time in seconds.
    """
    header = _header(np.float32, shape, affine, OWN, tr_s or 0.0)
    with store.atomic(path) as partial, partial.open("wb") as stream:
        writer = igzip.IGzipFile("", "wb", compresslevel=1, fileobj=stream, mtime=0)
        with writer as packed:
            packed.write(header.binaryblock + bytes(4))
            for volume in volumes:
                packed.write(np.asarray(volume, np.float32).tobytes(order="F"))
    return path


def _header(
    dtype: type, shape: tuple[int, ...], affine: np.ndarray, code: int,
    tr_s: float | None,
) -> nibabel.Nifti1Header:  # fmt: skip
    """Return the header of an image, whose numbers begin right behind it."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header.set_xyzt_units("mm", "sec")
    header.set_qform(affine, code)
    header.set_sform(affine, code)
    spacing = nibabel.affines.voxel_sizes(affine)
    header.set_zooms([*spacing, *([] if tr_s is None else [tr_s])])
    header.set_data_offset(352)
    return header
