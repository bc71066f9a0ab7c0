"""What models take, read from the tables of scans: one row a person or a run.

A row is a list of scans; a scan is a mapping from 'timeseries', 'quality', a stat,
'volume' or 'graymatter' to the path of its table or image. Nothing here learns from
anyone.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.errors import InputError
from bidsclf.files import store
from bidsclf.files.images import AXES, GREY, VOLUME, Images, Maps
from bidsclf.files.people import listed
from bidsclf.files.resampling import at_one_rate, count_volumes

Scan = Mapping[str, Path]
Rows = Sequence[Sequence[Scan]]
NOT_MATRICES = ("timeseries", "quality", *AXES)


def read_numbers(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a table of numbers: float32 values, NaN for ``n/a``, and the header.

    Written for speed: a cohort reads a thousand of these.

    Raises
    ------
    InputError
        The file is absent, or is not a table of numbers and ``n/a``.
    """
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        names = tuple(head.decode("utf-8-sig").rstrip("\r").split("\t"))
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # numpy: not a number
            cells = np.fromstring(body.replace(b"n/a", b"nan"), np.float32, sep="\t")
        return cells.reshape(-1, len(names)), names
    except (OSError, ValueError, DeprecationWarning) as error:
        raise InputError(
            f"{path}: not a table of numbers ({error}); expected a header, numbers and"
            " n/a. Run the participant level again for this person."
        ) from error


def peek(scan: Scan) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the regions of a scan and which of them are missing, cheaply.

    Returns
    -------
    names : tuple of str, length n_regions
    is_missing : bool array of shape (n_regions,)
    """
    if "timeseries" not in scan:
        matrix, names = read_numbers(next(iter(matrices(scan).values())))
        return names, np.isnan(matrix).sum(axis=0) >= len(names) - 1
    try:
        with scan["timeseries"].open("rb") as stream:
            lines = [stream.readline().rstrip(b"\r\n") for _ in range(2)]
        names = tuple(lines[0].decode("utf-8-sig").split("\t"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{scan['timeseries']}: not readable ({error}); expected a UTF-8 table."
            " Run the participant level again for this person."
        ) from error
    cells = lines[1].split(b"\t")
    if len(cells) != len(names):
        raise InputError(
            f"{scan['timeseries']}: {len(names)} regions in the header and"
            f" {len(cells)} cells in the first volume; expected as many."
            " Run the participant level again for this person."
        )
    return names, np.array([cell == b"n/a" for cell in cells])


def matrices(scan: Scan) -> dict[str, Path]:
    """Return the relation matrices of a scan."""
    return {k: v for k, v in scan.items() if k not in NOT_MATRICES}


def has_regions(scan: Scan) -> bool:
    """Tell whether a scan has a table of regions, and not an image alone."""
    return "timeseries" in scan or bool(matrices(scan))


def images(rows: Rows, _: tuple[str, ...] = ()) -> Images:
    """Return the images of rows, which are read one at a time when asked for.

    Those of a person's runs follow one another.
    """
    require(rows, VOLUME)
    return Images([[scan[VOLUME] for scan in scans] for scans in rows])


def maps(rows: Rows, _: tuple[str, ...] = ()) -> Maps:
    """Return the grey-matter maps of rows, the mean where a row has several."""
    require(rows, GREY)
    return Maps([[scan[GREY] for scan in scans] for scans in rows])


def series(
    rows: Rows, regions: tuple[str, ...], tr_s: float | None = None
) -> list[np.ndarray]:
    """Return a (n_volumes, n_regions) float32 series a row.

    Each run is brought to the repetition time ``tr_s``, in seconds, if one is
    given. Then each region is z-scored over each run, since resampling changes its
    variance; runs follow one another. A region that is missing or constant in a run
    is 0 in it.
    """
    require(rows, "timeseries")
    return [
        np.concatenate([_run(scan["timeseries"], regions, tr_s) for scan in scans])
        for scans in rows
    ]


def lengths(rows: Rows, tr_s: float | None = None) -> np.ndarray:
    """Return how many volumes each row of ``series`` has: int (n_rows,)."""
    require(rows, "timeseries")
    counts = [[count_volumes(one["timeseries"], tr_s) for one in row] for row in rows]
    return np.array([sum(runs) for runs in counts], int)


def _run(table: Path, regions: tuple[str, ...], tr_s: float | None) -> np.ndarray:
    values = read(table, regions)
    return _standard(values if tr_s is None else at_one_rate(values, table, tr_s))


def _standard(values: np.ndarray) -> np.ndarray:
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    is_flat = ~(spread > 1e-6 * np.abs(values).max(axis=0, initial=0))  # or NaN
    centred[:, is_flat] = 0
    return (centred / np.where(is_flat, 1, spread)).astype(np.float32)


def edges(rows: Rows, regions: tuple[str, ...], stat: str) -> np.ndarray:
    """Return (n_rows, n_regions * (n_regions - 1) / 2) edges, the mean over runs.

    Order of ``np.triu_indices(n_regions, k=1)``; an edge of a missing region
    is 0.
    """
    require(rows, stat)
    above = np.triu_indices(len(regions), k=1)
    found = np.empty((len(rows), len(above[0])), np.float32)
    for at, scans in enumerate(rows):
        mean = _mean([read(scan[stat], regions)[above] for scan in scans])
        found[at] = np.where(np.isnan(mean), 0, mean)
    return found


def covariances(rows: Rows, regions: tuple[str, ...]) -> np.ndarray:
    """Return (n_rows, n_regions, n_regions) covariances, the mean over runs.

    A region that is missing in a run has the row and column of the identity in
    that run, so that every matrix, and so their mean, stays positive definite.
    """
    require(rows, "covariance")
    found = np.empty((len(rows), len(regions), len(regions)), np.float32)
    for at, scans in enumerate(rows):
        runs = [_whole(read(scan["covariance"], regions)) for scan in scans]
        found[at] = np.mean(runs, axis=0)
    return found


def _whole(matrix: np.ndarray) -> np.ndarray:
    """Return a covariance with the identity in place of missing regions."""
    whole = np.where(np.isnan(matrix), 0, matrix)
    is_missing = np.isnan(np.diagonal(matrix))
    whole[is_missing, is_missing] = 1
    return whole


def _mean(runs: list[np.ndarray]) -> np.ndarray:
    """Return the mean over the runs that have a value; NaN where none has."""
    if len(runs) == 1:
        return runs[0]
    stacked = np.stack(runs)
    n_known = np.isfinite(stacked).sum(axis=0)
    total = np.nansum(stacked, axis=0)
    return np.divide(total, n_known, out=np.full_like(total, np.nan), where=n_known > 0)


def motion(rows: Rows, _: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return mean_fd (mm, mean over runs) and n_volumes (sum over runs)."""
    names = ["mean_fd", "n_volumes"]
    found = np.full((len(rows), 2), np.nan)
    for at, scans in enumerate(rows):
        tables = [store.read_table(s["quality"]) for s in scans if "quality" in s]
        if tables:
            joined = pd.concat(tables).reindex(columns=names).to_numpy(float)
            known = np.isfinite(joined)
            total = np.where(known, joined, 0).sum(axis=0) / [
                max(1, known[:, 0].sum()),
                1,
            ]
            found[at] = np.where(known.any(axis=0), total, np.nan)
    if np.isnan(found).all():
        raise InputError(
            "no person has a quality.tsv with mean_fd or n_volumes, which"
            " control-motion needs. Drop that model, or run the participant level."
        )
    return pd.DataFrame(found, columns=names)


LOADERS: Mapping[str, Callable[[Rows, tuple[str, ...]], Any]] = MappingProxyType(
    {
        "timeseries": series,
        "fisherz": partial(edges, stat="fisherz"),
        "partialcorrelation": partial(edges, stat="partialcorrelation"),
        "covariance": covariances,
        "motion": motion,
        VOLUME: images,
        GREY: maps,
    }
)


def require(rows: Rows, name: str) -> None:
    """Refuse rows of which some scans lack a table."""
    lacking = [scan for scans in rows for scan in scans if name not in scan]
    if lacking:
        held = [scan for scan in lacking if scan]
        seen = [next(iter(scan.values())).name.partition("_")[0] for scan in held]
        total = sum(len(scans) for scans in rows)
        asked = name if name in AXES else "timeseries connectivity"
        raise InputError(
            f"{len(lacking)} of {total} scans have no {name}: {listed(seen)}."
            f" Run the participant level again with --features {asked}."
        )


def read(path: Path, regions: tuple[str, ...]) -> np.ndarray:
    """Read a table whose columns must be the regions, with finite numbers or n/a."""
    values, names = read_numbers(path)
    is_series = path.name.endswith("_timeseries.tsv")
    if names != regions or not (is_series or len(values) == len(names)):
        raise InputError(
            f"{path}: {len(values)} rows, {len(names)} columns; expected the"
            f" {len(regions)} regions of the others in their order."
            " Run the participant level again for this person."
        )
    off = np.isinf(values)
    if not is_series:
        np.fill_diagonal(off, False)
    if off.any():
        raise InputError(
            f"{path}: {off.sum()} values are infinite, first in"
            f" {names[int(np.argmax(off.any(axis=0)))]!r}; expected finite numbers"
            " or n/a. Run the participant level again for this person."
        )
    return values
