"""One pass over a gzipped 4D image, a block of volumes at a time.

Memory does not grow with the length of the run: one block is held, and
two more wait or are decompressed in a thread meanwhile.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bidsclf.errors import InputError
from bidsclf.features._ahead import BUFFERS, ahead
from bidsclf.features._nifti import fill, opened, read_header, skip, tr_s


class Reducer(Protocol):
    """Something computed from an image block by block."""

    def update(self, block: np.ndarray, first: int) -> None:
        """Take in a block.

        Parameters
        ----------
        block : float32 array of shape (n_volumes, n_voxels)
            Consecutive volumes; the buffer is used again for the next block.
        first : int
            Index of the block's first volume.
        """


@dataclass
class VolumeReader:
    """An open NIfTI image; nothing but its header is in memory.

    Attributes
    ----------
    path : Path
    shape : (X, Y, Z)
    n_volumes : int
    affine : float array of shape (4, 4)
        Voxel indices to mm.
    zooms : (float, float, float)
        Voxel sizes in mm.
    tr_s : float or None
        Repetition time in the header, in seconds; None where it says none.
    """

    path: Path
    header: Any

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.header.get_data_shape())
        self.shape: tuple[int, ...] = shape[:3]
        self.n_volumes: int = shape[3] if len(shape) > 3 else 1
        with np.errstate(all="ignore"):  # a damaged quaternion that sform overrides
            self.affine: np.ndarray = self.header.get_best_affine()
        self.zooms: tuple[float, ...] = tuple(
            np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        )
        self.tr_s: float | None = tr_s(self.header)

    def __enter__(self) -> "VolumeReader":
        return self

    def __exit__(self, *error: object) -> None:
        """Keep nothing open: each pass of ``blocks`` closes what it opens."""

    def blocks(self, n: int = 1) -> Iterator[np.ndarray]:
        """Yield the volumes in order, ``n`` at a time; the last block may be shorter.

        Parameters
        ----------
        n : int
            Volumes in a block; one leaves most of it in the processor's cache.

        Yields
        ------
        block : float32 array of shape (n, X * Y * Z)
            Scaled values in the file's voxel order (x fastest), NaN kept. The
            buffer is used again for the next block.

        Raises
        ------
        InputError
            The data are truncated, corrupt, or longer than the header says;
            a checksum can only fail after the last block.
        """
        n = min(n, self.n_volumes)
        block = np.empty((n, int(np.prod(self.shape))), np.float32)
        for raw, first in ahead(self._raw(n)):
            n_read = min(n, self.n_volumes - first)
            yield self._scaled(raw[:n_read], block[:n_read])

    def read(self) -> np.ndarray:
        """Return all values at once, in the file's type or float64 where scaled.

        Returns
        -------
        values : array of shape (X, Y, Z, n_volumes)
        """
        raw = [raw.copy() for raw, _ in self._raw(1)]
        whole = np.concatenate(raw).reshape((-1, *self.shape[::-1])).T
        if self._is_plain:
            return whole.astype(whole.dtype.newbyteorder("="), copy=False)
        slope, inter = self._scaling
        return whole * np.float64(slope) + inter

    @property
    def _scaling(self) -> tuple[float, float]:
        slope, inter = self.header.get_slope_inter()
        return (1.0 if slope is None else slope, inter or 0.0)

    @property
    def _is_plain(self) -> bool:
        return self._scaling == (1.0, 0.0)

    def _scaled(self, raw: np.ndarray, block: np.ndarray) -> np.ndarray:
        if self._is_plain and raw.dtype == np.float32 and raw.dtype.isnative:
            return raw
        slope, inter = self._scaling
        with np.errstate(over="ignore", invalid="ignore"):
            for given, out in zip(raw, block, strict=True):
                out[:] = given if self._is_plain else given * np.float64(slope) + inter
        return block

    def _raw(self, n: int) -> Generator[tuple[np.ndarray, int], None, None]:
        """Yield ``n`` unscaled volumes and the index of the first; buffers rotate."""
        dtype = self.header.get_data_dtype()
        buffers = np.empty((BUFFERS, n, int(np.prod(self.shape))), dtype)
        with opened(self.path) as source:
            skip(source, int(self.header["vox_offset"]))
            for first, buffer in zip(
                range(0, self.n_volumes, n), cycle(buffers), strict=False
            ):
                part = buffer[: self.n_volumes - first]
                wanted = part.view(np.uint8).reshape(-1).data
                n_bytes = fill(source, wanted)
                if n_bytes < len(wanted):
                    n_whole = first + n_bytes // part[0].nbytes
                    raise InputError(
                        f"{self.path}: the data end after {n_whole} of"
                        f" {self.n_volumes} volumes, which the header promises;"
                        " the file was cut off. Copy or make it again."
                    )
                yield buffer, first
            if source.read(1):
                raise InputError(
                    f"{self.path}: data go on after the {self.n_volumes} volumes of"
                    f" shape {self.shape} that the header promises; header and data"
                    " do not belong together. Make the file again."
                )


def open_volumes(path: Path) -> VolumeReader:
    """Open a 4D NIfTI-1 or NIfTI-2 file, gzipped or not, whatever its name says.

    Raises
    ------
    InputError
        The file is absent, not NIfTI, not 4D, without volumes, or holds colours,
        complex numbers or an affine that cannot be inverted.
    """
    reader = VolumeReader(path, read_header(path))
    shape = reader.header.get_data_shape()
    if len(shape) != 4:
        raise InputError(
            f"{path}: {len(shape)}D image of shape {shape};"
            " a series of volumes is 4D (x, y, z, time). Give the 4D file."
        )
    return reader


def read_volume(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a 3D NIfTI file, such as a mask.

    Returns
    -------
    values : array of shape (X, Y, Z)
        In the file's type, or float64 where the header scales it.
    affine : float array of shape (4, 4)

    Raises
    ------
    InputError
        As ``open_volumes``; a 4D image of one volume is taken, no longer one.
    """
    reader = VolumeReader(path, read_header(path))
    shape = reader.header.get_data_shape()
    if len(shape) not in (3, 4) or reader.n_volumes != 1:
        raise InputError(
            f"{path}: {len(shape)}D image of shape {shape};"
            " 3D (x, y, z) was expected. Give a file with a single volume."
        )
    return reader.read()[..., 0], reader.affine


def stream(reader: VolumeReader, reducers: Sequence[Reducer]) -> None:
    """Show every block of an image to every reducer, in one pass."""
    first = 0
    for block in reader.blocks():
        for reducer in reducers:
            reducer.update(block, first)
        first += len(block)


def flat(mask: np.ndarray) -> np.ndarray:
    """Return where a (X, Y, Z) mask is true, as columns of a block.

    Examples
    --------
    >>> mask = np.zeros((2, 3, 1), bool)
    >>> mask[1, 0, 0] = mask[0, 2, 0] = True
    >>> flat(mask)
    array([1, 4])
    """
    return np.flatnonzero(mask.ravel(order="F"))
