"""Names of regions: the table beside an atlas, and what makes names fit a header."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bidsclf.errors import InputError

INDEX_COLUMNS = ("index", "id", "label", "value", "roi", "number")
NAME_COLUMNS = ("name", "difumo_names", "label", "region", "roi_name")
TABLES = (".tsv", ".csv", ".txt")


def find_table(image: Path) -> Path | None:
    """Return the table of names beside an image, or None.

    It has the image's name, or a shorter one: ``AAL.csv`` is found for
    ``AAL_space-MNI152NLin6_res-2x2x2.nii.gz``, and a TSV without ``res-`` for an
    image with it. The longest such name wins.
    """
    stem = stem_of(image)
    pieces = set(stem.split("_"))

    def fits(table: Path) -> bool:
        starts = (
            stem.startswith(table.stem) and not stem[len(table.stem) :][:1].isalnum()
        )
        return starts or set(table.stem.split("_")) <= pieces

    tables = [p for p in sorted(image.parent.iterdir()) if p.suffix.lower() in TABLES]
    return max(filter(fits, tables), key=lambda p: len(p.stem), default=None)


def stem_of(image: Path) -> str:
    """Return a file's name without ``.nii`` or ``.nii.gz``."""
    return image.name.removesuffix(".gz").removesuffix(".nii")


def read_names(path: Path) -> list[tuple[int | None, str]]:
    """Read a table of names.

    Takes a BIDS TSV with ``index`` and ``name``, a CSV or text file whose first
    column is the label and whose second is the name, or one name a line.

    Returns
    -------
    rows : list of (label or None, name)
        In the order of the file; the label is None where the table gives none.

    Raises
    ------
    InputError
        The table is empty, not UTF-8, or a label is not a whole number.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not UTF-8, which tables of regions are."
            " Save the table again as UTF-8."
        ) from error
    rows = [row for line in lines if (row := _cells(line, path)) and any(row)]
    index, name, rows = _columns(rows)
    if not rows:
        raise InputError(
            f"{path}: no region in it; a label and a name a line were expected."
            " Fill the table or remove it."
        )
    return [
        (None if index is None else _label(row[index], path), row[name] or "unnamed")
        for row in rows
        if len(row) > max(index or 0, name)
    ]


def unique(names: Sequence[str]) -> tuple[str, ...]:
    r"""Return names fit for a TSV header: no tab, no line break, none twice.

    Examples
    --------
    >>> unique(["insula", "insula", "left\tpole", ""])
    ('insula_1', 'insula_2', 'left pole', 'unnamed')
    """
    clean = [" ".join(str(name).split()) or "unnamed" for name in names]
    counts, seen, taken = Counter(clean), Counter[str](), set(clean)
    made = []
    for name in clean:
        new = name
        while counts[name] > 1 and (new in taken):
            seen[name] += 1
            new = f"{name}_{seen[name]}"
        taken.add(new)
        made.append(new)
    return tuple(made)


def in_image(
    image: Path,
    rows: Sequence[tuple[int | None, str]],
    values: tuple[int, ...],
    n_regions: int,
) -> list[str]:
    """Return a name for each region of an image, from the rows of its table.

    Parameters
    ----------
    image : Path
    rows : sequence of (label or None, name)
        As ``read_names``; may be empty.
    values : tuple of int
        Labels of the image; empty for maps.
    n_regions : int
        Labels or maps in the image.

    Raises
    ------
    InputError
        Names without labels are more or fewer than the regions.
    """
    by_label = {label: name for label, name in rows if label is not None}
    if values and by_label:
        return [by_label.get(value, str(value)) for value in values]
    in_order = [name for label, name in rows if label != 0]
    if in_order and len(in_order) != n_regions:
        raise InputError(
            f"{image}: {n_regions} regions, but its table has {len(in_order)} names;"
            " one a region was expected, in order. Mend the table beside the image."
        )
    return in_order or [str(value) for value in values or range(1, n_regions + 1)]


def _cells(line: str, path: Path) -> list[str]:
    if line.lstrip().startswith("#"):
        return []
    if "\t" in line:
        row = line.split("\t")
    elif path.suffix.lower() == ".csv":
        row = next(csv.reader([line]), [])
    elif re.match(r"\s*-?\d+\s+\S", line):
        row = line.split()[:2]
    else:
        row = [line]
    return [cell.strip() for cell in row]


def _columns(rows: list[list[str]]) -> tuple[int | None, int, list[list[str]]]:
    """Return the column of labels, the column of names, and the rows under them."""
    if not rows:
        return None, 0, rows
    head = [cell.lower() for cell in rows[0]]
    name = next((head.index(c) for c in NAME_COLUMNS if c in head), None)
    if name is not None:
        index = next(
            (
                head.index(c)
                for c in INDEX_COLUMNS
                if c in head and head.index(c) != name
            ),
            None,
        )
        return index, name, rows[1:]
    return (None, 0, rows) if len(rows[0]) == 1 else (0, 1, rows)


def _label(text: str, path: Path) -> int:
    try:
        value = float(text)
    except ValueError:
        value = 0.5
    if not value.is_integer():
        raise InputError(
            f"{path}: label {text!r} is not a whole number; the labels of the image"
            " were expected in the first column or under 'index'. Mend the table."
        )
    return int(value)
