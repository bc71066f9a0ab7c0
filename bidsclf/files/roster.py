"""The whole table of people: read as far as it can be, and added to, never cut."""

import fcntl
import io
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf.errors import InputError
from bidsclf.files import store
from bidsclf.files.people import ID, listed, with_prefix

LOG = logging.getLogger("bidsclf")
LOCK = Path(".bidsclf", "participants.lock")
WAIT_S, STEP_S = 10.0, 0.05  # for other jobs that write, each some milliseconds; ours


def read_roster(
    places: Iterable[Path], labels: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, Any], list[str]]:
    """Return the first usable table of people, as text; nothing in it stops a run.

    Parameters
    ----------
    places : iterable of Path
        Datasets, the one that knows most first.
    labels : sequence of str
        People with a folder; whoever has no row gets one.

    Returns
    -------
    people : DataFrame
        One row a person, ``participant_id`` as ``sub-01``.
    columns : dict
        What the columns mean, from participants.json.
    notes : list of str
        What was not used, and why.
    """
    table, columns = pd.DataFrame({ID: pd.Series(dtype=str)}), {}
    notes: list[str] = []
    for place in places:
        path = place / "participants.tsv"
        try:
            if path.exists():
                table, said = _unique(_rows(path), path)
                notes += said
                columns = _meanings(path.with_suffix(".json"))
                break
        except InputError as error:
            notes.append(f"a table of people is not used: {error}")
    new = sorted({f"sub-{label}" for label in labels} - {*table[ID]})
    rows = pd.DataFrame({ID: new})
    people = pd.concat([table, rows], ignore_index=True) if new else table
    return people, columns, notes


def _rows(path: Path) -> pd.DataFrame:
    """Read a table of people as text, each named as ``sub-01`` or not at all."""
    table = store.read_table(path, text=True)
    if ID not in table:
        raise InputError(
            f"{path}: no column {ID!r}, which names each person as sub-01;"
            f" there are: {', '.join(table.columns)}. Rename the column."
        )
    return table.assign(**{ID: table[ID].map(with_prefix, na_action="ignore")})


def _unique(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Keep the first row of each person, and say what was left out."""
    nameless, notes = table[ID].isna(), []
    if nameless.any():
        notes.append(f"{path}: {nameless.sum()} rows without {ID} are left out")
    table = table[~nameless].drop_duplicates()
    twice = table[ID].duplicated()
    if twice.any():
        notes.append(
            f"{path}: more than one row for {listed(table[ID][twice])}, which differ;"
            " the first is taken. Correct it before the group level"
        )
    return table[~twice].reset_index(drop=True), notes


def _meanings(path: Path) -> dict[str, Any]:
    """Return what the columns mean; nothing if the file is absent or damaged."""
    try:
        found = store.read_json(path) if path.exists() else {}
    except InputError as error:
        LOG.warning("%s", error)
        return {}
    return found if isinstance(found, dict) else {}


def write_roster(
    out: Path, people: pd.DataFrame, columns: Mapping[str, Any]
) -> list[Path]:
    """Write participants.tsv and .json; nothing that they hold is lost.

    A row, column or cell that is there stays, unless the new table has another
    value for that cell. A table that cannot be read, or names a person twice, is
    left as it is.

    Parameters
    ----------
    out : Path
        Root of the dataset.
    people : DataFrame
        With ``participant_id``.
    columns : dict
        Column to its description.

    Raises
    ------
    InputError
        The new table has no ``participant_id``, or the disk refuses.
    """
    path, sidecar = out / "participants.tsv", out / "participants.json"
    if ID not in people:
        raise InputError(
            f"the table of people has the columns {list(people.columns)};"
            f" {ID!r} is required."
        )
    text = io.StringIO(store.to_tsv(people))
    new = pd.read_csv(
        text, sep="\t", dtype=str, na_values=[store.MISSING, ""], keep_default_na=False
    )
    with _alone(out / LOCK):
        _add(path, new)
    known = _meanings(sidecar)
    given = {name: words for name, words in columns.items() if words}
    if sidecar.exists() and not known:
        return [path, sidecar]
    return [path, store.keep_json(sidecar, known | given)]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Let one job at a time read and write, where the file system knows locks."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        stream = lock.open("a")
    except OSError:  # another user's lock; writing the table says what is wrong
        yield
        return
    with stream:
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(STEP_S)
            except OSError:  # no locks here
                break
        yield


def _add(path: Path, new: pd.DataFrame) -> None:
    """Add what a table knows, unless it is all there."""
    if not path.exists():
        store.write_table(path, new)
        return
    try:
        before = _rows(path)
    except InputError as error:
        LOG.warning("%s It is left as it is.", error)
        return
    if before[ID].isna().any() or before[ID].duplicated().any():
        LOG.warning("%s: rows without a name or of one person; left as it is.", path)
        return
    merged = merge(new, before)
    if not _sorted(merged).equals(_sorted(before)):
        store.write_table(path, merged)


def merge(new: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Return all that two tables of people know; the new one wins where both do.

    Examples
    --------
    >>> new = pd.DataFrame({"participant_id": ["sub-2"], "age": ["9"]})
    >>> before = new.assign(age=["8"], site=["A"])
    >>> merge(new, before).to_numpy().tolist()
    [['sub-2', '9', 'A']]
    """
    rows: dict[str, dict[str, Any]] = {who: {} for who in new[ID]}
    for table in (before, new):
        for row in table.to_dict("records"):
            given = {name: value for name, value in row.items() if pd.notna(value)}
            rows.setdefault(row[ID], {}).update(given)
    names = list(dict.fromkeys([*new.columns, *before.columns]))
    return pd.DataFrame(list(rows.values()), columns=names, dtype=object)


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose rows and columns have one order, for comparison."""
    ordered = table[sorted(table.columns)].sort_values(ID, ignore_index=True)
    return ordered.astype(object).where(ordered.notna(), None)
