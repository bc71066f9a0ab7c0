"""Time courses of the Athena pipeline: found by layout, read, checked.

3dROIstats writes them: a header 'File', 'Sub-brick', 'Mean_<label>' …, then a
line a volume. A region without a voxel is left out of the header, so files
differ in their columns.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bidsclf.errors import ConfigError, InputError, NothingMatched
from bidsclf.options import did_you_mean

NAME = re.compile(
    r"s(?P<prefix>\w*?)wmrda(?P<number>\d+)_session_(?P<session>\d+)"
    r"_rest_(?P<run>\d+)_(?P<atlas>\w+)_TCs\.1D$"
)
DEPTHS = ("*/*", "*/*/*", "*/*/*/*")  # sites, archives of an atlas, and one above
COLUMN = re.compile(r"Mean_(\d+)$")
MIN_VOLUMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One file of time courses.

    Attributes
    ----------
    path : Path
    number, session, run : str
        Of the file's name: '0010042', '1', '1'.
    site : str
        Name of the site's folder.
    atlas, strategy : str
        'aal', and 'filt' or 'nofilt'.
    """

    path: Path
    number: str
    session: str
    run: str
    site: str
    atlas: str
    strategy: str


def find_courses(folder: Path) -> list[Course]:
    """Return every file of time courses below a folder, sorted by path."""
    found = {path for depth in DEPTHS for path in folder.glob(f"{depth}_TCs.1D")}
    return [one for path in sorted(found) if (one := _course(path)) is not None]


def _course(path: Path) -> Course | None:
    match = NAME.match(path.name)
    if match is None:
        return None
    return Course(
        path=path,
        number=match["number"],
        session=str(int(match["session"])),
        run=str(int(match["run"])),
        site=path.parent.parent.name,
        atlas=match["atlas"].lower(),
        strategy="filt" if "f" in match["prefix"] else "nofilt",
    )


def chosen(courses: Iterable[Course], atlas: str | None, strategy: str) -> list[Course]:
    """Return the files of one atlas and strategy.

    Raises
    ------
    ConfigError
        Several atlases and none chosen, or the chosen one is not there.
    NothingMatched
        No file is of the strategy.
    """
    courses = list(courses)
    known = sorted({one.atlas for one in courses})
    if atlas is None and len(known) > 1:
        raise ConfigError(
            f"the files are of {len(known)} atlases: {', '.join(known)}."
            " Name one with --atlas."
        )
    wanted = atlas.lower() if atlas else known[0]
    if wanted not in known:
        raise ConfigError(
            f"--atlas {atlas!r} is not there; there are: {', '.join(known)}."
            f"{did_you_mean(wanted, known)}"
        )
    kept = [one for one in courses if (one.atlas, one.strategy) == (wanted, strategy)]
    if not kept:
        others = sorted({one.strategy for one in courses if one.atlas == wanted})
        raise NothingMatched(
            f"no file of {wanted} is of --strategy {strategy}; there are:"
            f" {', '.join(others)}."
        )
    return kept


def all_labels(courses: Iterable[Course]) -> tuple[str, ...]:
    """Return the label values that any readable header has, in their order."""
    found = {label for one in courses for label in _header(one.path)}
    return tuple(sorted(found, key=int))


def _header(path: Path) -> tuple[str, ...]:
    try:
        with path.open(encoding="utf-8") as stream:
            line = stream.readline()
    except (OSError, UnicodeDecodeError):
        return ()
    return _labels(line)[1] if line.endswith("\n") else ()  # else the header is cut


def _labels(line: str) -> tuple[int, tuple[str, ...]]:
    """Return how many columns of text a header starts with, and its labels."""
    words = [word.strip() for word in line.rstrip("\n\t ").split("\t")]
    matched = [COLUMN.match(word) for word in words]
    n_text = next((at for at, match in enumerate(matched) if match), len(words))
    if not all(matched[n_text:]):
        return len(words), ()
    return n_text, tuple(match[1] for match in matched[n_text:] if match)


def read_course(path: Path, labels: tuple[str, ...]) -> np.ndarray:
    """Read a file of time courses.

    Parameters
    ----------
    path : Path
    labels : tuple of str, length R
        Regions of the atlas.

    Returns
    -------
    series : float32 array of shape (n_volumes, R)
        A region that the file lacks, or gives as zeros, is a column of NaN.

    Raises
    ------
    InputError
        The file is cut off, or holds something else than numbers.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable ({error}). Fetch it again.") from error
    n_text, found = _labels(lines[0]) if lines else (0, ())
    if not found or len(set(found)) < len(found):
        raise InputError(
            f"{path}: the first line is no header of regions (File, Sub-brick, Mean_1,"
            " …), or names one twice. Fetch the file again."
        )
    known = _numbers(path, lines[1:], n_text, found)
    series = np.full((len(known), len(labels)), np.nan, np.float32)
    where = {label: place for place, label in enumerate(labels)}
    series[:, [where[label] for label in found]] = known
    return checked(series, f"{path}")


def _numbers(
    path: Path, lines: list[str], n_text: int, labels: tuple[str, ...]
) -> np.ndarray:
    """Return the numbers below the header, (n_volumes, n_labels)."""
    width = n_text + len(labels)
    rows = [line.rstrip("\t ").split("\t") for line in lines if line.strip()]
    for number, row in enumerate(rows, start=2):
        if len(row) != width:
            raise InputError(
                f"{path}: line {number} has {len(row)} of {width} columns."
                " The file is cut off or damaged: fetch it again."
            )
    _check_length(len(rows), f"{path}")
    try:
        values = np.array([row[n_text:] for row in rows], dtype=np.float32)
    except ValueError as error:
        raise InputError(f"{path}: {error}. Fetch the file again.") from error
    if not np.isfinite(values).all():
        volume, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(
            f"{path}: region {labels[column]} is not finite at volume {volume}."
            " Fetch the file again or leave the person out."
        )
    return values


def checked(series: np.ndarray, what: str) -> np.ndarray:
    """Return series whose regions without signal are columns of NaN.

    Raises
    ------
    InputError
        There is no signal at all, or there are too few volumes.
    """
    _check_length(len(series), what)
    series[:, ~np.nan_to_num(series).any(axis=0)] = np.nan
    if np.isnan(series).all():
        raise InputError(f"{what}: every region is zero. Leave the person out.")
    return series


def _check_length(n_volumes: int, what: str) -> None:
    if n_volumes < MIN_VOLUMES:
        raise InputError(
            f"{what}: {n_volumes} volumes; at least {MIN_VOLUMES} are needed."
            " Leave the person out, or fetch the file again."
        )
