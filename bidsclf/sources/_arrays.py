"""Arrays of series, people x volumes x regions, padded with zeros at the end."""

from pathlib import Path

import numpy as np
import pandas as pd

from bidsclf.errors import InputError
from bidsclf.sources._adhd_people import read_table
from bidsclf.sources._athena import checked

ENDING, LABELS = "_roi_timeseries.npy", "_labels.csv"


def find_arrays(folder: Path) -> list[Path]:
    """Return the arrays of a folder, sorted."""
    return sorted(folder.glob(f"*{ENDING}"))


def site_of(path: Path) -> str:
    """Return the site an array is named for.

    Examples
    --------
    >>> site_of(Path("in", "OHSU_roi_timeseries.npy"))
    'OHSU'
    """
    return path.name.removesuffix(ENDING)


def people_of(path: Path) -> pd.DataFrame:
    """Return the people of an array's table, in its order.

    Raises
    ------
    InputError
        The table is absent or unusable.
    """
    table = path.with_name(site_of(path) + LABELS)
    if not table.exists():
        raise InputError(
            f"{path.name}: no {table.name} beside it, which names its people."
        )
    return read_table(table).assign(site=site_of(path))


def n_regions(path: Path, n_people: int) -> int:
    """Check an array against its table and return its number of regions.

    Raises
    ------
    InputError
        The file is no array of numbers of shape (n_people, n_volumes, n_regions).
    """
    shape = _open(path).shape
    if len(shape) != 3:
        raise InputError(
            f"{path.name} has the shape {shape}; expected people x volumes x regions."
        )
    if shape[0] != n_people:
        raise InputError(
            f"{path.name} has {shape[0]} people, {site_of(path)}{LABELS} has"
            f" {n_people} rows; each row is one person of the array, in its order."
        )
    return int(shape[2])


def _open(path: Path) -> np.ndarray:
    """Map an array into memory; nothing is read, and no pickle."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path.name}: not a readable array of numbers ({error}). Fetch it again."
        ) from error
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(
            f"{path.name} holds {array.dtype}; series are floating-point numbers."
        )
    return array


def read_person(path: Path, row: int, name: str) -> np.ndarray:
    """Read one person of an array, without the zeros at the end.

    Returns
    -------
    series : float32 array of shape (n_volumes, n_regions)
        A region that is zero throughout is a column of NaN.

    Raises
    ------
    InputError
        The person's numbers are not finite, or there is no signal.
    """
    padded = np.array(_open(path)[row], dtype=np.float32)
    what = f"{path.name}, {name} (row {row})"
    if not np.isfinite(padded).all():
        volume, region = np.argwhere(~np.isfinite(padded))[0]
        raise InputError(
            f"{what}: region {region + 1} is not finite at volume {volume}."
            " Leave the person out."
        )
    signal = np.flatnonzero(padded.any(axis=1))
    if not len(signal):
        raise InputError(f"{what}: every region is zero. Leave the person out.")
    return checked(padded[: signal[-1] + 1], what)
