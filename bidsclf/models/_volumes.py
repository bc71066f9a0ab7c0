"""Images of people: rows that are read when they are asked for, volume by volume."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np

from bidsclf.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Volumes:
    """Images of people on one small grid; a subset is a view, and reads nothing.

    Attributes
    ----------
    source : sequence of float32 arrays of shape (T_i, X, Y, Z)
        A list in memory, images that are read one at a time, or what
        ``save_rows`` stored. It may offer ``shapes``, one an entry, and
        ``read(at, which)`` for some volumes of an entry.
    lengths : int array of shape (n_all,)
        Volumes of each entry of the source.
    shape : tuple of int
        X, Y and Z.
    rows : int array of shape (n,)
        The entries of this view.
    """

    source: Sequence[np.ndarray]
    lengths: np.ndarray
    shape: tuple[int, int, int]
    rows: np.ndarray

    @classmethod
    def of(cls, scans: Sequence[np.ndarray]) -> "Volumes":
        """Take images as rows; what is not in memory yet is not read.

        Raises
        ------
        InputError
            There is none, one has no volume or another grid than the first, or
            one in memory holds a value that is not finite.
        """
        shapes = getattr(scans, "shapes", None)
        if shapes is None:
            shapes = [np.shape(one) for one in scans]
        if not len(shapes) or any(
            len(s) != 4 or s[0] < 1 or s[1:] != shapes[0][1:] for s in shapes
        ):
            raise InputError(
                f"volumes have the shapes {sorted(set(shapes))[:4]}; expected one or"
                " more of (volumes, X, Y, Z) on the same grid. Extract again."
            )
        if isinstance(scans, list):
            check_finite(scans)
        lengths = np.array([shape[0] for shape in shapes], int)
        return cls(scans, lengths, tuple(shapes[0][1:]), np.arange(len(shapes)))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray) -> "Volumes":
        return replace(self, rows=self.rows[rows])

    def __iter__(self) -> Iterator[np.ndarray]:
        every = slice(None)
        return (self.read(at, every) for at in range(len(self)))

    def read(self, at: int, which: np.ndarray | slice) -> np.ndarray:
        """Return some volumes of a row of this view, float32 of shape (n, X, Y, Z)."""
        reader: Any = getattr(self.source, "read", None)
        row = int(self.rows[at])
        found = self.source[row][which] if reader is None else reader(row, which)
        return np.asarray(found, np.float32)

    def digests(self) -> list[str]:
        """Return a SHA-256 a row, of its numbers; those of a store are kept in it."""
        known: Any = getattr(self.source, "digests", None)
        if known is not None:
            return [known[row] for row in self.rows]
        return [digest(one) for one in self]


def digest(scan: np.ndarray) -> str:
    """Return the SHA-256 of the numbers of an image, as float32."""
    return sha256(np.ascontiguousarray(scan, np.float32).data).hexdigest()


def check_finite(scans: Sequence[np.ndarray]) -> None:
    """Refuse images that hold NaN or infinity."""
    bad = [at for at, one in enumerate(scans) if not np.isfinite(one).all()]
    if bad:
        raise InputError(
            f"volumes: {len(bad)} of {len(scans)} rows hold values that are not finite,"
            f" first {bad[:5]}; models take numbers only. Run the participant level"
            " again for them or leave them out."
        )
