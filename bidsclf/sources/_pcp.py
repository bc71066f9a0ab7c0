"""Files of the Preprocessed Connectomes Project: found by layout, read, checked."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bidsclf.errors import ConfigError, InputError, NothingMatched
from bidsclf.options import did_you_mean

LAYOUTS = (  # of the project itself, of nilearn, and each without its first folder
    "Outputs/*/*/rois_*/*_rois_*.1D",
    "ABIDE_pcp/*/*/*_rois_*.1D",
    "*/*/rois_*/*_rois_*.1D",
    "*/*/*_rois_*.1D",
)
NAME = re.compile(r"(?P<file_id>.*?(?P<number>\d{7}))_rois_(?P<atlas>\w+)\.1D$")
PREFERRED = ("cpac", "filt_global", "cc200")
MIN_VOLUMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One file of regional signals.

    Attributes
    ----------
    path : Path
    file_id : str
        The project's name of the scan: ``NYU_0050952``.
    participant : str
        ``sub-0050952``.
    kind : tuple of str
        Pipeline, strategy, atlas.
    """

    path: Path
    file_id: str
    participant: str
    kind: tuple[str, str, str]


def find_series(folder: Path) -> list[Series]:
    """Return every file of regional signals below a folder, sorted.

    Raises
    ------
    NothingMatched
        The folder has neither layout.
    """
    if not folder.is_dir():
        raise NothingMatched(f"{folder}: no such folder.")
    found = {path for layout in LAYOUTS for path in folder.glob(layout)}
    series = [one for path in sorted(found) if (one := _series(path)) is not None]
    if not series:
        raise NothingMatched(
            f"no regional signals in {folder}; expected"
            " Outputs/<pipeline>/<strategy>/rois_<atlas>/*.1D (the project's layout)"
            " or ABIDE_pcp/<pipeline>/<strategy>/*_rois_<atlas>.1D (nilearn's)."
            " Name the folder that holds Outputs or ABIDE_pcp."
        )
    return series


def _series(path: Path) -> Series | None:
    match = NAME.match(path.name)
    if match is None:
        return None
    above = path.parent
    if above.name.startswith("rois_"):
        above = above.parent
    kind = (above.parent.name, above.name, match["atlas"])
    return Series(
        path=path,
        file_id=match["file_id"],
        participant=f"sub-{match['number']}",
        kind=kind,
    )


def choose_kind(
    kinds: set[tuple[str, str, str]], wanted: tuple[str | None, str | None, str | None]
) -> tuple[str, str, str]:
    """Return the one pipeline, strategy and atlas to read.

    The only one that fits what is wanted; of several, the preferred.

    Raises
    ------
    ConfigError
        None fits, or several do and none is preferred.
    """
    options = ("--pipeline", "--strategy", "--atlas")
    for place, (option, word) in enumerate(zip(options, wanted, strict=True)):
        known = sorted({kind[place] for kind in kinds})
        if word is not None and word not in known:
            raise ConfigError(
                f"{option} {word!r} is not there; there are: {', '.join(known)}."
                + did_you_mean(word, known)
            )
    fitting = sorted(
        kind
        for kind in kinds
        if all(w is None or w == k for w, k in zip(wanted, kind, strict=True))
    )
    likings = [kind for kind in fitting if kind == PREFERRED]
    if len(fitting) != 1 and not likings:
        there = ", ".join("/".join(kind) for kind in fitting or sorted(kinds))
        raise ConfigError(
            f"{len(fitting)} kinds of files fit; there are: {there}."
            f" Name one with {', '.join(options)}."
        )
    return (likings or fitting)[0]


def read_series(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a table of regional signals.

    Returns
    -------
    series : float32 array of shape (n_volumes, n_regions)
        A region outside the field of view, which the file gives as zeros, is a
        column of NaN.
    labels : tuple of str
        Label value of each region, as the header gives it.

    Raises
    ------
    InputError
        The file is cut off, or holds something else than numbers.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable ({error}). Fetch it again.") from error
    if not lines or not lines[0].startswith("#"):
        raise InputError(
            f"{path}: the first line is no header of labels (#1 #2 …)."
            " Fetch the file again."
        )
    labels = _labels(lines[0])
    rows = [line.split("\t") for line in lines[1:]]
    _check_rows(path, rows, labels)
    try:
        series = np.array(rows, dtype=np.float32)
    except ValueError as error:
        raise InputError(f"{path}: {error}. Fetch the file again.") from error
    if not np.isfinite(series).all():
        volume, region = np.argwhere(~np.isfinite(series))[0]
        raise InputError(
            f"{path}: region {labels[region]} is not finite at volume {volume}."
            " Fetch the file again or leave the person out."
        )
    series[:, ~series.any(axis=0)] = np.nan
    if np.isnan(series).all():
        raise InputError(f"{path}: every region is zero. Leave the person out.")
    return series, labels


def usual_labels(series: list[Series]) -> tuple[str, ...]:
    """Return the header that most files have; () where none can be read."""
    headers = Counter(_header(one.path) for one in series)
    headers.pop((), None)
    return headers.most_common(1)[0][0] if headers else ()


def _header(path: Path) -> tuple[str, ...]:
    try:
        with path.open(encoding="utf-8") as stream:
            return _labels(stream.readline())
    except (OSError, UnicodeDecodeError):
        return ()


def _labels(line: str) -> tuple[str, ...]:
    if not line.startswith("#"):
        return ()
    return tuple(word.strip("# \n") for word in line.split("\t"))


def _check_rows(path: Path, rows: list[list[str]], labels: tuple[str, ...]) -> None:
    if len(set(labels)) < len(labels):
        raise InputError(f"{path}: the header names a region twice. Fetch it again.")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(labels):
            raise InputError(
                f"{path}: line {number} has {len(row)} of {len(labels)} values."
                " The file is cut off or damaged: fetch it again."
            )
    if len(rows) < MIN_VOLUMES:
        raise InputError(
            f"{path}: {len(rows)} volumes; at least {MIN_VOLUMES} are needed."
            " Fetch the file again."
        )
