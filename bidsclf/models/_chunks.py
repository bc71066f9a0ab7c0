"""Images in one HDF5 file: checksummed, and read chunk by chunk when asked for."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bidsclf.errors import InputError
from bidsclf.models._volumes import Volumes, check_finite, digest

FILE = "volumes.h5"
OVERHEAD, ROOM = 512, 2**20  # bytes of HDF5's, a volume and a file; at most; ours
CACHE = 2**26  # bytes of chunks that a process keeps, where nothing is said; ours


class Stored(Sequence[np.ndarray]):
    """The images of a file of ``write_volumes``; nothing is read until asked for.

    Each process opens the file for itself. Chunks that were read last stay in
    HDF5's own cache.

    Parameters
    ----------
    path : Path
    cache : int
        Bytes of chunks to keep.

    Attributes
    ----------
    shapes : list of tuple
        (T_i, X, Y, Z) of each image.
    names, digests : list of str
        Of each image: what messages call it, and the SHA-256 of its numbers.

    Raises
    ------
    InputError
        The file is cut short, is no HDF5 file, or a chunk is damaged: the message
        names the image.
    """

    def __init__(self, path: Path, cache: int = CACHE) -> None:
        self.path, self.cache = path, cache
        self._open: tuple[int, h5py.Dataset] | None = None
        with _named(path), h5py.File(path, "r", locking=False) as file:
            self.ends = file["ends"][:]
            self.names = [name.decode() for name in file["names"][:]]
            self.digests = [told.decode() for told in file["digests"][:]]
            grid = file["volumes"].shape[1:]
        self.shapes = [(int(n), *grid) for n in np.diff(self.ends)]

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, at: Any) -> Any:
        return self.read(int(at), slice(None))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": None}

    def read(self, at: int, which: np.ndarray | slice) -> np.ndarray:
        """Return some volumes of an image, float32 of shape (n, X, Y, Z)."""
        begin, end = int(self.ends[at]), int(self.ends[at + 1])
        wanted = np.arange(begin, end)[which]
        found = np.empty((len(wanted), *self.shapes[at][1:]), np.float32)
        with _named(self.path, self.names[at]):
            dataset = self._dataset()
            for start, stop in _runs(wanted):
                volumes = slice(int(wanted[start]), int(wanted[stop - 1]) + 1)
                dataset.read_direct(found, np.s_[volumes], np.s_[start:stop])
        if len(wanted) == end - begin and digest(found) != self.digests[at]:
            with _named(self.path, self.names[at]):
                raise OSError("other numbers than were stored")
        return found

    def _dataset(self) -> h5py.Dataset:
        """Return the dataset as this process opened it: handles outlive no fork."""
        if self._open is None or self._open[0] != os.getpid():
            file = h5py.File(
                self.path,
                "r",
                locking=False,  # the file is renamed into place and never changes
                rdcc_nbytes=self.cache,
                rdcc_nslots=int(self.ends[-1]) + 1,  # no two chunks share a slot
                rdcc_w0=0.0,  # what was read last stays longest
            )
            self._open = os.getpid(), file["volumes"]
        return self._open[1]


def write_volumes(path: Path, x: Volumes) -> None:
    """Store images, one read at a time: the whole file appears, or none.

    A volume is a chunk, so that none holds two people, each with a checksum
    (Fletcher 32). The rows of ``x`` are stored in their order.

    Raises
    ------
    InputError
        An image holds values that are not finite or cannot be read, or the disk
        is full.
    """
    for old in path.parent.glob(f".partial-*-{path.name}"):  # of a process killed here
        old.unlink(missing_ok=True)
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        with _full(path):
            _reserve(partial, x)
            _store(partial, x)
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _reserve(partial: Path, x: Volumes) -> None:
    """Take all the room that images need: raise OSError where there is less."""
    n_volumes = int(x.lengths[x.rows].sum())
    n_bytes = n_volumes * (4 * int(np.prod(x.shape)) + OVERHEAD) + ROOM
    with partial.open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, n_bytes)


def _store(partial: Path, x: Volumes) -> None:
    """Write images and their digests, then cut off the room that was not needed."""
    known = getattr(x.source, "names", None)
    names = [f"row {row}" if known is None else known[row] for row in x.rows]
    ends = np.cumsum([0, *x.lengths[x.rows]])
    # the latest format, since older ones have no checksum of where chunks lie: a
    # flipped bit there would read as zeros
    with h5py.File(partial, "w", libver="latest") as file:
        _reserve(partial, x)  # a disk that fills later ends the process in HDF5
        stored = file.create_dataset(
            "volumes",
            (int(ends[-1]), *x.shape),
            np.float32,
            chunks=(1, *x.shape),
            fletcher32=True,
        )
        told = []
        for at, scan in enumerate(x):
            _check(scan, names[at], (int(x.lengths[x.rows[at]]), *x.shape))
            stored[ends[at] : ends[at + 1]] = scan
            told.append(digest(scan))
        texts = {"names": names, "digests": told}
        about = {"ends": ends} | {k: np.char.encode(v) for k, v in texts.items()}
        for name, values in about.items():
            file.create_dataset(name, data=values, fletcher32=True)
        file.flush()
        n_bytes = file.id.get_filesize()
    with partial.open("r+b") as whole:
        whole.truncate(n_bytes)
        os.fsync(whole.fileno())  # some disks say only now that they are full


def _check(scan: np.ndarray, name: str, shape: tuple[int, ...]) -> None:
    if scan.shape != shape:
        raise InputError(
            f"{name}: the image holds {scan.shape}; its header said {shape}."
            " Run the participant level again for this person."
        )
    try:
        check_finite([scan])
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _runs(wanted: np.ndarray) -> Iterator[tuple[int, int]]:
    """Return where runs of consecutive numbers begin and end.

    Examples
    --------
    >>> list(_runs(np.array([3, 4, 5, 9, 2])))
    [(0, 3), (3, 4), (4, 5)]
    """
    if not len(wanted):
        return iter(())
    cuts = (np.flatnonzero(np.diff(wanted) != 1) + 1).tolist()
    return zip([0, *cuts], [*cuts, len(wanted)], strict=True)


@contextmanager
def _named(path: Path, name: str = "") -> Iterator[None]:
    """Say in an error of HDF5 whose images cannot be read."""
    try:
        yield
    except (AttributeError, KeyError, OSError, RuntimeError, TypeError) as error:
        whose = f"the images of {name}" if name else "its images"
        raise InputError(
            f"{path}: {whose} cannot be read ({str(error)[:120]}); the file is damaged"
            " or gone. Run the same command again: it stores all images anew."
        ) from error


@contextmanager
def _full(path: Path) -> Iterator[None]:
    """Say in an error of the disk what could not be stored."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: the images cannot be stored ({str(error)[:120]}). Make room, or"
            " give another folder with --work-dir, and run it again."
        ) from error
