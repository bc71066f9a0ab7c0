"""The phenotypic table of ABIDE: found, checked, in BIDS words."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf.errors import ConfigError, InputError, NothingMatched
from bidsclf.sources._input import read_words

MISSING = ["", "-9999", "-9999.0", "n/a", "NaN", "nan"]
NO_FILE = "no_filename"
REQUIRED = ("SUB_ID", "DX_GROUP", "SITE_ID")
NUMBERS = {
    "age": "AGE_AT_SCAN",
    "fiq": "FIQ",
    "viq": "VIQ",
    "piq": "PIQ",
    "mean_fd": "func_mean_fd",
}
CODES = {
    "diagnosis": ("DX_GROUP", {1: "autism", 2: "control"}),
    "sex": ("SEX", {1: "male", 2: "female"}),
    "eyes": ("EYE_STATUS_AT_SCAN", {1: "open", 2: "closed"}),
}
COLUMNS = (
    "participant_id", "diagnosis", "site", "age", "sex", "handedness",
    "fiq", "viq", "piq", "eyes", "mean_fd",
)  # fmt: skip


def find_phenotype(folder: Path) -> Path:
    """Return the one phenotypic table below a folder.

    Raises
    ------
    NothingMatched
        There is none.
    ConfigError
        There are several.
    """
    places = [folder, folder / "ABIDE_pcp", folder.parent]
    for place in places:
        found = sorted(
            path
            for path in place.glob("*.csv")
            if path.name.casefold().startswith("phenotypic")
        )
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise ConfigError(
                f"{place} holds {len(found)} phenotypic tables: {names}."
                " Name one with --phenotypic."
            )
        if found:
            return found[0]
    raise NothingMatched(
        f"no Phenotypic*.csv in {folder}. Put the Preprocessed Connectomes Project's"
        " table there, or name it with --phenotypic."
    )


def read_phenotype(path: Path) -> pd.DataFrame:
    """Read the table, one row a person, in the words of participants.tsv.

    Returns
    -------
    people : DataFrame
        ``COLUMNS`` and ``file_id``; missing values (-9999 and blanks) are NaN.

    Raises
    ------
    InputError
        The table cannot be read, lacks a column, or names a person twice.
    """
    table = read_words(path, MISSING)
    absent = [name for name in REQUIRED if name not in table]
    if absent:
        raise InputError(
            f"{path}: no column {', '.join(absent)}; ABIDE's phenotypic table has"
            f" {', '.join(REQUIRED)}. Is it the Preprocessed Connectomes Project's?"
        )
    numbers = pd.to_numeric(table["SUB_ID"], errors="coerce")
    if numbers.isna().any():
        lines = (numbers.index[numbers.isna()] + 2).tolist()
        raise InputError(
            f"{path}: no number in SUB_ID on lines {lines[:5]}. Mend them."
        )
    names = numbers.map(lambda number: f"sub-{int(number):07d}")
    twice = sorted(set(names[names.duplicated()]))
    if twice:
        raise InputError(
            f"{path}: {len(twice)} people have more than one row: {_some(twice)}."
            " A person is one row; remove the others."
        )
    return _people(table, names)


def _people(table: pd.DataFrame, names: pd.Series) -> pd.DataFrame:
    empty = pd.Series(index=table.index, dtype=object)
    columns: dict[str, pd.Series] = {"participant_id": names, "site": table["SITE_ID"]}
    columns["handedness"] = table.get("HANDEDNESS_CATEGORY", empty)
    columns["file_id"] = table.get("FILE_ID", empty)
    for name, column in NUMBERS.items():
        columns[name] = pd.to_numeric(table.get(column, empty), errors="coerce")
    for name, (column, words) in CODES.items():
        numbers = pd.to_numeric(table.get(column, empty), errors="coerce")
        columns[name] = numbers.map(words).astype(object)
    return pd.DataFrame(columns)[[*COLUMNS, "file_id"]]


def without_scan(people: pd.DataFrame, found: set[str]) -> dict[str, str]:
    """Return the people who have a row and no file, with the reason."""
    absent = people[~people["participant_id"].isin(found)]
    return {
        row.participant_id: (
            "the table says that there is no scan (FILE_ID no_filename)"
            if row.file_id == NO_FILE or pd.isna(row.file_id)
            else f"no file of FILE_ID {row.file_id}"
        )
        for row in absent.itertuples()
    }


@cache
def site_facts() -> Any:
    """Return the published repetition times and the descriptions of columns."""
    path = files("bidsclf") / "data" / "abide" / "sites.json"
    return json.loads(path.read_text(encoding="utf-8"))


def repetition_time(site: Any, file_id: str) -> float | None:
    """Return the published repetition time in seconds; None for an unknown site.

    CMU had two protocols, told apart by the file's name alone.

    Examples
    --------
    >>> repetition_time("CMU", "CMU_b_0050642"), repetition_time("NYU", "NYU_0050952")
    (1.5, 2.0)
    """
    known: dict[str, float] = site_facts()["tr_s"]
    prefix = file_id.rpartition("_")[0].upper()
    return known.get(prefix, known.get(str(site).upper()))


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
