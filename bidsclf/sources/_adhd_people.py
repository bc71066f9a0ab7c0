"""The tables of people of ADHD-200: found, joined, in BIDS words."""

import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf.errors import InputError, NothingMatched
from bidsclf.files import paths
from bidsclf.sources._input import read_words

MISSING = ["", "-999", "-999.0", "n/a", "N/A", "NaN", "nan", "pending", "withheld"]
IDS = ("scandirid", "id", "subject", "subid")  # spellings of the archive's tables
DEPTHS = ("", "*/", "*/*/", "*/*/*/")
ID = "participant_id"


@cache
def facts() -> Any:
    """Return codes, repetition times and descriptions of columns."""
    path = files("bidsclf") / "data" / "adhd200" / "facts.json"
    return json.loads(path.read_text(encoding="utf-8"))


def repetition_time(site: str) -> float | None:
    """Return the published repetition time in seconds; None for an unknown site.

    Examples
    --------
    >>> repetition_time("KKI"), repetition_time("Peking_2"), repetition_time("Mars")
    (2.5, 2.0, None)
    """
    known: dict[str, float] = facts()["tr_s"]
    return known.get(site.upper())


def name_of(number: Any) -> str:
    """Return the participant of an archive's number or name.

    Numbers have seven digits, as in the names of the archive's folders.

    Examples
    --------
    >>> name_of(10042), name_of("sub-1340333"), name_of("0010042")
    ('sub-0010042', 'sub-1340333', 'sub-0010042')
    """
    word = str(number).strip().removeprefix("sub-").removesuffix(".0")
    return f"sub-{int(word):07d}" if word.isdecimal() else f"sub-{paths.label(word)}"


def find_tables(folder: Path) -> list[Path]:
    """Return the tables of people below a folder, sorted.

    Raises
    ------
    NothingMatched
        There is none.
    """
    found = {
        path
        for depth in DEPTHS
        for path in folder.glob(f"{depth}*")
        if path.suffix in (".csv", ".tsv") and "phenotypic" in path.name.casefold()
    }
    if not found:
        raise NothingMatched(
            f"no *phenotypic*.csv in {folder}. Put the archive's tables there, or name"
            " them with --phenotypic."
        )
    return sorted(found)


def read_people(tables: Sequence[Path]) -> pd.DataFrame:
    """Read tables of people and join them, one row a person.

    Returns
    -------
    people : DataFrame
        participant_id, site, then the columns of ``facts()["columns"]`` that a
        table has; missing values (-999, pending, withheld, blank) are NaN.

    Raises
    ------
    InputError
        A table cannot be read or has no column of people, or two rows of one
        person disagree.
    """
    parts = [read_table(path) for path in tables]
    joined = pd.concat(parts, ignore_index=True)
    by_person = joined.groupby(ID, sort=True)
    differ = by_person["diagnosis"].nunique() > 1
    if differ.any():
        names = differ.index[differ].tolist()
        raise InputError(
            f"{len(names)} people have rows with different diagnoses, first"
            f" {names[:5]}. A person has one; mend the tables."
        )
    people = by_person.first().reset_index()
    order = [ID, "site", *(name for name in facts()["columns"] if name != "site")]
    return people[[name for name in order if name in people]]


def read_table(path: Path) -> pd.DataFrame:
    """Read one table, one row a row, in the words of participants.tsv.

    Raises
    ------
    InputError
        The table cannot be read, or lacks the people or their diagnosis.
    """
    table = read_words(path, MISSING)
    table.columns = pd.Index([_plain(name) for name in table.columns])
    table = table.loc[:, ~table.columns.duplicated()]
    if "label" in table:
        table = table.rename(columns={"label": "dx"})
    found = [name for name in IDS if name in table]
    if not found or "dx" not in table:
        raise InputError(
            f"{path}: no column of {'people' if not found else 'diagnoses'}; a table of"
            " ADHD-200 has 'ScanDir ID' and 'DX', or 'id' and 'label'."
        )
    nameless = table.index[table[found[0]].isna()]
    if len(nameless):
        raise InputError(
            f"{path}: no name in {found[0]!r} on lines {(nameless[:5] + 2).tolist()}."
            " Mend them."
        )
    return _worded(table, table[found[0]].map(name_of))


def _plain(name: str) -> str:
    """Return a column's name without what its spellings differ in."""
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _worded(table: pd.DataFrame, names: pd.Series) -> pd.DataFrame:
    """Put codes into words; columns the table lacks stay away."""
    columns: dict[str, pd.Series] = {ID: names}
    if "site" in table:
        columns["site"] = _code(table["site"]).map(facts()["sites"])
    else:
        columns["site"] = pd.Series(None, table.index, dtype=object)
    for name, source in facts()["words"].items():
        ((column, words),) = source.items()
        if column in table:
            columns[name] = _code(table[column]).map(words).astype(object)
    for name, column in facts()["numbers"].items():
        if column in table:
            columns[name] = pd.to_numeric(table[column], errors="coerce")
    for name, column in facts()["texts"].items():
        if column in table:
            columns[name] = table[column].str.strip()
    return pd.DataFrame(columns)


def _code(column: pd.Series) -> pd.Series:
    """Return codes as text without a decimal part: '1.0' is '1'."""
    return column.str.strip().str.removesuffix(".0")
