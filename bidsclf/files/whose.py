"""Whose maps lie in a folder of CAT12 or SPM: by their names, or by a table."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bidsclf.errors import InputError, NothingMatched
from bidsclf.files import paths, store
from bidsclf.files.discover import Problem
from bidsclf.files.filters import Image, bare, named
from bidsclf.files.people import ID, listed

BIDS = r"sub-(?P<sub>[0-9A-Za-z]+)([_/]ses-(?P<ses>[0-9A-Za-z]+))?"
PREFIXES = {  # modulated maps of grey matter, those in most use first
    "cat12": ("mwp1",),
    "vbm": ("mwrc1", "mwc1", "smwrc1", "smwc1"),
}
EXTENSIONS = (".nii", ".nii.gz")
PREFIX = re.compile(r"^[a-z0]*[cp]1(?=sub-)")
LABEL = re.compile(r"[0-9A-Za-z+]+")
OWN = ("sub", "ses", "label", "desc")  # entities that are not taken from a name


@dataclass(frozen=True, slots=True)
class Found:
    """Images whose person is known, problems, and notes."""

    images: tuple[Image, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def by_pattern(root: Path, pipeline: str, pattern: str | None) -> Found:
    """Find maps anywhere below a folder, and read whose they are from their names.

    Parameters
    ----------
    root : Path
    pipeline : {'cat12', 'vbm'}
        How names begin: ``PREFIXES``; of several kinds the first is taken.
    pattern : str or None
        Regular expression with a group ``sub`` and perhaps ``ses``, searched in the
        file's name, then in its path below ``root``; None takes names as in BIDS.

    Raises
    ------
    NothingMatched
        There is no map, or none says whose it is.
    """
    files, notes = _of_one_kind(root, PREFIXES[pipeline])
    regex = re.compile(pattern or BIDS)
    images, untold = [], []
    for path in files:
        image = _read_from(path, root, regex)
        if image is None:
            untold.append(path.relative_to(root).as_posix())
        else:
            images.append(image)
    if not images:
        raise NothingMatched(
            f"{root}: none of {len(files)} maps says whose it is by {regex.pattern!r},"
            f" such as {listed(untold)}. Give --map-pattern with a group sub, as in"
            " 'mwrc1(?P<sub>[0-9]+)', or --map-table."
        )
    if untold:
        notes.append(
            f"{root}: {len(untold)} of {len(files)} maps are left out, since"
            f" {regex.pattern!r} does not say whose they are: {listed(untold)};"
            " --map-pattern or --map-table can"
        )
    return Found(tuple(images), (), tuple(notes))


def _of_one_kind(root: Path, prefixes: Iterable[str]) -> tuple[list[Path], list[str]]:
    """Return the maps of the first kind that is there, sorted, and notes."""
    kinds = {
        prefix: sorted(
            path
            for path in root.rglob(f"{prefix}*.nii*")
            if path.name.endswith(EXTENSIONS)
        )
        for prefix in prefixes
    }
    there = [prefix for prefix, files in kinds.items() if files]
    if not there:
        words = " or ".join(f"{prefix}*.nii[.gz]" for prefix in prefixes)
        raise NothingMatched(
            f"{root}: no {words} in it or below, which modulated maps of grey matter"
            " are called. Name their folder, or list other files in --map-table."
        )
    notes = [
        f"{root}: {len(kinds[other])} maps {other}* are left out, since there are"
        f" {there[0]}*; --map-table can list them instead"
        for other in there[1:]
    ]
    return kinds[there[0]], notes


def _read_from(path: Path, root: Path, regex: re.Pattern[str]) -> Image | None:
    """Return a map and whose it is; None if neither name nor path says so."""
    for text in (path.name, path.relative_to(root).as_posix()):
        if match := regex.search(text):
            told = match.groupdict()
            labels = told["sub"], told.get("ses")
            return owned(path, labels[0] or "", labels[1] or "")
    return None


def owned(path: Path, sub: str, ses: str) -> Image | None:
    """Return a person's map, with what else its name says; None if labels are not BIDS.

    Parameters
    ----------
    path : Path
    sub, ses : str
        Labels; no session where ``ses`` is empty.
    """
    if not LABEL.fullmatch(sub) or (ses and not LABEL.fullmatch(ses)):
        return None
    given = {"sub": sub} | ({"ses": ses} if ses else {})
    extra: dict[str, str] = {}
    try:
        told, _, _ = paths.parse(PREFIX.sub("", path.name))
        if told.get("sub") == sub:
            extra = {key: value for key, value in told.items() if key not in OWN}
    except InputError:  # a name of another kind
        pass
    suffixes = path.name.partition(".")[1:]
    return Image(path=path, entities=given | extra, extension="".join(suffixes))


def by_table(root: Path, table: Path) -> Found:
    """Find the maps that a table lists.

    Parameters
    ----------
    root : Path
        Files are looked for here, then beside the table, unless they are absolute.
    table : Path
        TSV, or CSV by its name, with ``file``, ``participant_id`` and perhaps
        ``session``.

    Raises
    ------
    InputError
        The table cannot be read, or lacks a column.
    """
    sep = "," if table.suffix.lower() == ".csv" else "\t"
    rows = store.read_table(table, text=True, sep=sep)
    if missing := {"file", ID} - set(rows):
        raise InputError(
            f"--map-table {table}: no column {' or '.join(sorted(missing))}; there are:"
            f" {', '.join(map(str, rows))}. It takes file, {ID} and, where there is"
            " one, session."
        )
    images: list[Image] = []
    problems: list[Problem] = []
    whole = rows.dropna(subset=["file", ID])
    for row in whole.fillna("").to_dict("records"):
        image, problem = _of_row(row, root, table)
        images += [image] if image else []
        problems += [problem] if problem else []
    n_short = len(rows) - len(whole)
    said = f"{table}: {n_short} rows without file or {ID} are left out"
    return Found(tuple(images), tuple(problems), (said,) if n_short else ())


def _of_row(
    row: dict[Any, Any], root: Path, table: Path
) -> tuple[Image | None, Problem | None]:
    sub, ses = (str(row.get(name, "")).strip() for name in (ID, "session"))
    sub, ses = bare("sub", sub), bare("ses", ses)
    places = [root / row["file"], table.parent / row["file"]]
    path = next((place for place in places if place.is_file()), None)
    unit = named({"sub": sub} | ({"ses": ses} if ses else {}) | {"label": "GM"})
    if path is None:
        looked = " nor ".join(dict.fromkeys(map(str, places)))
        text = f"{table}: {row['file']} is not there: neither {looked} is a file."
        return None, Problem(unit, f"{text} Mend the path, or drop the row.")
    image = owned(path, sub, ses)
    if image is None:
        raise InputError(
            f"--map-table {table}: {ID} {sub!r} and session {ses!r} of {row['file']};"
            " labels hold letters and digits only. Mend the row."
        )
    return image, None
