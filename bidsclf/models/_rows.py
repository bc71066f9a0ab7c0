"""What ``x`` is: rows that are views of shared arrays, on disk without pickle."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.errors import FitError, InputError
from bidsclf.models._chunks import CACHE, FILE, Stored, write_volumes
from bidsclf.models._volumes import Volumes

BLOCK = 4096  # columns multiplied at once: bounds the float64 copy; ours


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Features with the inner products of all rows; a subset is a view.

    Attributes
    ----------
    features : float32 array of shape (n_all, n_features)
        May be memory-mapped; never copied as a whole.
    gram : float64 array of shape (n_all, n_all)
        Inner products of the features (``inner_products``).
    rows : int array of shape (n,)
        The rows of this view.
    """

    features: np.ndarray
    gram: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray) -> "Edges":
        return replace(self, rows=self.rows[rows])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.features[row] for row in self.rows)

    def kernel(self) -> np.ndarray:
        """Return the (n, n) inner products of the rows of this view."""
        return self.gram[np.ix_(self.rows, self.rows)]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Series of different lengths, end to end; a subset is a view.

    Attributes
    ----------
    volumes : float32 array of shape (n_all_volumes, n_regions)
    ends : int array of shape (n_all + 1,)
        Person i holds volumes ``ends[i]`` to ``ends[i + 1]``.
    rows : int array of shape (n,)
    """

    volumes: np.ndarray
    ends: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, series: Sequence[np.ndarray]) -> "Series":
        """Join a list of (T, R) arrays.

        Raises
        ------
        InputError
            The list is empty, a series has no volume or not the regions of the
            first, or a value is not finite.
        """
        shapes = [np.shape(one) for one in series]
        if not shapes or any(
            len(s) != 2 or s[0] < 1 or s[1] != shapes[0][1] for s in shapes
        ):
            raise InputError(
                f"series have the shapes {sorted(set(shapes))[:4]}; expected one or"
                " more of (volumes, regions) with the same regions. Extract again."
            )
        volumes = np.concatenate([np.asarray(one, np.float32) for one in series])
        check_finite(volumes, "series")
        ends = np.cumsum([0, *(shape[0] for shape in shapes)])
        return cls(volumes, ends, np.arange(len(series)))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray) -> "Series":
        return replace(self, rows=self.rows[rows])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.volumes[self.ends[r] : self.ends[r + 1]] for r in self.rows)


def edges(features: np.ndarray) -> Edges:
    """Return (n, n_features) rows with all inner products, once for all folds."""
    features = np.asarray(features, np.float32)
    check_finite(features, "features")
    return Edges(features, inner_products(features), np.arange(len(features)))


def inner_products(features: np.ndarray) -> np.ndarray:
    """Return the (n, n) inner products of float32 rows, summed in float64.

    Examples
    --------
    >>> inner_products(np.array([[3.0, 4.0], [1.0, 0.0]], np.float32))
    array([[25.,  3.],
           [ 3.,  1.]])
    """
    n_rows, n_columns = features.shape
    gram = np.zeros((n_rows, n_rows))
    for start in range(0, n_columns, BLOCK):
        block = features[:, start : start + BLOCK].astype(np.float64)
        gram += block @ block.T
    return gram


def check_finite(values: np.ndarray, what: str) -> None:
    """Refuse rows that hold NaN or infinity."""
    bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if bad.any():
        raise InputError(
            f"{what}: {bad.sum()} of {len(values)} rows hold values that are not"
            f" finite, first {np.flatnonzero(bad)[:5].tolist()}; models take numbers"
            " only. Run the participant level again for them or leave them out."
        )


def check_classes(y: np.ndarray) -> None:
    """Refuse labels that cannot be learned from: fewer than two of a class."""
    counts = np.bincount(y, minlength=2)
    if len(counts) != 2 or counts.min() < 2:
        raise FitError(
            f"the training rows hold {counts.tolist()} of classes 0, 1, …; two classes"
            " with two rows or more are needed. Use fewer folds or more people."
        )


def take(x: Any, rows: np.ndarray) -> Any:
    """Return rows of anything that a model takes."""
    if isinstance(x, pd.DataFrame):
        return x.iloc[rows].reset_index(drop=True)
    if isinstance(x, list):
        return [x[row] for row in rows]
    return x[rows]


def row_digests(x: Any) -> list[str]:
    """Return a SHA-256 a row: the same content, the same digest, anywhere."""
    if isinstance(x, pd.DataFrame):
        return [
            sha256(
                repr(["" if pd.isna(v) else str(v) for v in row]).encode()
            ).hexdigest()
            for row in x.itertuples(index=False, name=None)
        ]
    if isinstance(x, Volumes):
        return x.digests()
    return [sha256(np.ascontiguousarray(row).tobytes()).hexdigest() for row in x]


def canonical_order(x: Any, y: np.ndarray) -> np.ndarray:
    """Return the order of rows by content, so that no solver sees the table's."""
    keys = sorted(zip(row_digests(x), y.tolist(), range(len(y)), strict=True))
    return np.array([key[2] for key in keys], int)


def save_rows(folder: Path, x: Any) -> None:
    """Write rows for other processes: .npy arrays, a table as JSON, images as HDF5."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(x, Volumes):
        write_volumes(folder / FILE, x)
        return
    if isinstance(x, pd.DataFrame):
        x.to_json(folder / "table.json", orient="table", index=False)
        return
    for name, array in _arrays(x).items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def load_rows(folder: Path, cache: int = CACHE) -> Any:
    """Open rows of ``save_rows``; arrays are memory-mapped and read-only.

    Of images, ``cache`` bytes at most are kept in memory.
    """
    if (folder / FILE).exists():
        return Volumes.of(Stored(folder / FILE, cache))
    if (folder / "table.json").exists():
        return pd.read_json(folder / "table.json", orient="table")
    found = {
        path.stem: np.load(path, mmap_mode="r", allow_pickle=False)
        for path in folder.glob("*.npy")
    }
    for kind in (Edges, Series):
        names = kind.__dataclass_fields__
        if set(found) == set(names):
            return kind(**found)
    if "array" not in found:
        raise InputError(f"{folder}: no rows are saved here; save_rows writes them.")
    return found["array"]


def _arrays(x: Any) -> dict[str, np.ndarray]:
    if isinstance(x, Edges | Series):
        return {name: getattr(x, name) for name in type(x).__dataclass_fields__}
    return {"array": np.asarray(x)}
