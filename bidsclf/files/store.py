"""Arrays, tables and sidecars; each file is complete from the moment it exists."""

import errno
import json
import os
import secrets
import socket
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
ADVICE = {  # what can be done when a file cannot be written
    errno.ENOSPC: "The disk is full: free space, then run again.",
    errno.EDQUOT: "The disk quota is used up: free space, then run again.",
    errno.EROFS: "The place is read-only: choose another output folder.",
    errno.EACCES: "You may not write there: choose another output folder.",
    errno.EPERM: "You may not write there: choose another output folder.",
    errno.EEXIST: "A file stands where a folder is needed: move it away.",
    errno.ENOTDIR: "A file stands where a folder is needed: move it away.",
}


def owner() -> str:
    """Return who writes: host, process namespace and process.

    A container has process ids of its own, so that the number alone would not
    tell whether the writer is still alive.
    """
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # not Linux
        namespace = 0
    return f"{socket.gethostname().replace('-', '')}-{namespace}-{os.getpid()}"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it when the block succeeds.

    Parameters
    ----------
    path : Path
        The file to make; its folder is created. The temporary path ends as the
        file does.

    Raises
    ------
    InputError
        The disk is full, or the place cannot be written to.
    """
    name = f"{PARTIAL}{owner()}-{secrets.token_hex(4)}{''.join(path.suffixes)}"
    partial = path.with_name(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch(exist_ok=False)
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        if error.errno not in ADVICE:
            raise
        raise InputError(
            f"{path}: not written ({error.strerror}). {ADVICE[error.errno]}"
        ) from error
    finally:
        _forget(partial)


def _forget(partial: Path) -> None:
    try:
        partial.unlink(missing_ok=True)
    except OSError:  # the folder is gone or read-only: nothing was written
        return


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def keep_text(path: Path, text: str) -> Path:
    """Write text unless the file already holds it."""
    try:
        same = path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        same = False
    return path if same else write_text(path, text)


def keep_json(path: Path, values: Any) -> Path:
    """Write JSON unless the file already holds it."""
    return keep_text(path, to_json(values))


def to_json(values: Any) -> str:
    """Return JSON as it is written: indented, in the order given."""
    return json.dumps(values, indent=2, ensure_ascii=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    """Return what JSON holds for an array, a number of numpy's, or a path."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON: {value!r}.")


def write_json(path: Path, values: Any) -> Path:
    """Write JSON, indented, in the order given."""
    return write_text(path, to_json(values))


def read_json(path: Path) -> Any:
    """Read JSON; a file that is not JSON is an InputError that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise InputError(
            f"{path}: not readable JSON ({error}). Mend or remove it."
        ) from error


def to_tsv(table: pd.DataFrame) -> str:
    """Return a BIDS TSV: tabs, a header, ``n/a`` for what is missing."""
    return table.to_csv(
        sep="\t", index=False, na_rep=MISSING, float_format=DIGITS, lineterminator="\n"
    )


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write a BIDS TSV: tabs, a header, ``n/a`` for what is missing."""
    return write_text(path, to_tsv(table))


def read_table(
    path: Path, *, text: Sequence[str] | bool = (), sep: str = "\t"
) -> pd.DataFrame:
    """Read a BIDS TSV; ``n/a`` and empty cells become NaN.

    Parameters
    ----------
    path : Path
    text : sequence of str, or bool
        Columns kept as text, so that ``001`` stays ``001``; True for all.
    sep : str
        What stands between columns.

    Raises
    ------
    InputError
        The file is absent, empty, not UTF-8 or not a table, or a column occurs
        twice.
    """
    kinds = (
        (str if text else None) if isinstance(text, bool) else dict.fromkeys(text, str)
    )
    try:
        _check_header(path, sep)
        return pd.read_csv(
            path,
            sep=sep,
            na_values=[MISSING, "N/A", "NaN", "nan", ""],
            keep_default_na=False,
            dtype=kinds,
            encoding="utf-8-sig",
        )
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not UTF-8, which BIDS tables are."
            " Save the table again as UTF-8."
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise InputError(
            f"{path}: not a readable table ({error})."
            " A BIDS table has a header line and tab-separated columns."
        ) from error


def _check_header(path: Path, sep: str) -> None:
    """Refuse a column that occurs twice, which pandas would rename."""
    with path.open(encoding="utf-8-sig") as stream:
        columns = stream.readline().rstrip("\r\n").split(sep)
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise InputError(
            f"{path}: column {', '.join(map(repr, twice))} occurs more than once."
            " Each column has its own name: rename or remove the others."
        )


def unreadable(path: Path, error: OSError) -> InputError:
    """Return what to raise when the system does not give a file."""
    advice = absent(path) or (
        " Check who may read it, and every folder above it."
        if isinstance(error, PermissionError)
        else ""
    )
    return InputError(f"{path}: not readable ({error.strerror}).{advice}")


def absent(path: Path) -> str:
    """Return advice for a link without its file, as datalad leaves it, or nothing."""
    is_broken = path.is_symlink() and not path.exists()
    return " The file's content is not here: run datalad get." if is_broken else ""


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
    line = "\t".join([DIGITS] * len(names))
    rows = ((line % tuple(row)).replace("nan", MISSING) for row in series.tolist())
    return write_text(path, "\n".join(["\t".join(names), *rows]) + "\n")


def read_series(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read ``write_series``: float32 (n_volumes, n_regions) and the names."""
    table = read_table(path)
    return table.to_numpy(np.float32), tuple(table.columns)
