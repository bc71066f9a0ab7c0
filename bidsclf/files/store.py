"""Arrays, tables and sidecars; each file is complete from the moment it exists."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.errors import InputError

MISSING = "n/a"
PARTIAL = ".partial-"  # prefix of a file being written; never a result
DIGITS = "%.7g"  # float32 holds no more


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it when the block succeeds.

    Parameters
    ----------
    path : Path
        The file to make; its folder is created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=PARTIAL)
    os.close(descriptor)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o666 & ~_umask())
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, values: Any) -> Path:
    """Write JSON, indented, in the order given."""
    return write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a file that is not JSON is an InputError that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path}: not readable JSON ({error}). Mend or remove it."
        ) from error


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write a BIDS TSV: tabs, a header, ``n/a`` for what is missing."""
    with atomic(path) as partial:
        table.to_csv(
            partial, sep="\t", index=False, na_rep=MISSING, float_format=DIGITS
        )
    return path


def read_table(path: Path, *, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a BIDS TSV; ``n/a`` becomes NaN.

    Parameters
    ----------
    path : Path
    text : sequence of str
        Columns kept as text, so that ``001`` stays ``001``.

    Raises
    ------
    InputError
        The file is absent, empty, not UTF-8 or not a table.
    """
    try:
        return pd.read_csv(
            path,
            sep="\t",
            na_values=[MISSING],
            keep_default_na=False,
            dtype=dict.fromkeys(text, str),
            encoding="utf-8-sig",
        )
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not UTF-8, which BIDS tables are."
            " Save the table again as UTF-8."
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a readable table ({error})."
            " A BIDS table has a header line and tab-separated columns."
        ) from error


def write_matrix(path: Path, matrix: np.ndarray, names: Sequence[str]) -> Path:
    """Write a symmetric matrix with a header of names; NaN is ``n/a``.

    Parameters
    ----------
    path : Path
    matrix : float array of shape (n_regions, n_regions)
    names : sequence of str, length n_regions
    """
    n_regions = len(names)
    above = np.triu_indices(n_regions)
    words = np.array(
        [MISSING if v != v else DIGITS % v for v in matrix[above].tolist()], object
    )
    cells = np.empty((n_regions, n_regions), object)
    cells[above] = words
    cells.T[above] = words
    lines = ["\t".join(names), *("\t".join(row) for row in cells.tolist())]
    return write_text(path, "\n".join(lines) + "\n")


def read_matrix(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read ``write_matrix``: a float32 (n_regions, n_regions) array and the names."""
    table = read_table(path)
    values = table.to_numpy(np.float32)
    if values.shape[0] != values.shape[1]:
        raise InputError(
            f"{path}: {values.shape[0]} rows and {values.shape[1]} columns;"
            " a relation matrix is square. Run the participant level again."
        )
    return values, tuple(table.columns)


def write_series(path: Path, series: np.ndarray, names: Sequence[str]) -> Path:
    """Write (n_volumes, n_regions) signals, one named column a region."""
    return write_table(path, pd.DataFrame(series, columns=list(names)))


def read_series(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read ``write_series``: float32 (n_volumes, n_regions) and the names."""
    table = read_table(path)
    return table.to_numpy(np.float32), tuple(table.columns)
