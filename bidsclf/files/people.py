"""participants.tsv: who there is, one row a person."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from bidsclf.errors import InputError
from bidsclf.files import store

ID = "participant_id"
BLANK = ("", "n/a", "N/A", "NA", "nan", "NaN")  # what people write for "missing"


def listed(names: Iterable[str], most: int = 5) -> str:
    """Return names for a message, the first few of many.

    Examples
    --------
    >>> listed(["sub-02", "sub-01"]), listed("dcba", most=2)
    ('sub-01, sub-02', 'a, b and 2 more')
    """
    known = sorted(set(names))
    rest = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + rest


def with_prefix(participant: str) -> str:
    """Return the label as it stands in file names.

    Examples
    --------
    >>> with_prefix("01"), with_prefix("sub-01 ")
    ('sub-01', 'sub-01')
    """
    return "sub-" + participant.strip().removeprefix("sub-")


def read_people(out: Path, text: Sequence[str]) -> pd.DataFrame:
    """Read participants.tsv.

    Parameters
    ----------
    out : Path
        Folder that holds it.
    text : sequence of str
        Columns kept as text, compared without regard to case; the blank words
        in them become missing.

    Returns
    -------
    people : DataFrame
        ``participant_id`` ("sub-01", unique) and every other column, sorted by
        it.

    Raises
    ------
    InputError
        The table is absent or unreadable, has no participant_id, a row without
        one, or two rows of one person.
    """
    path = out / "participants.tsv"
    wanted = {ID, *(name.lower() for name in text)}
    names = [str(name) for name in store.read_table(path).columns]
    as_text = [name for name in names if name == ID or name.lower() in wanted]
    people = store.read_table(path, text=as_text)
    if ID not in people:
        raise InputError(
            f"{path}: no column participant_id; there are: {', '.join(names)}."
            " BIDS asks for it; name the people in it as in the folders sub-*."
        )
    for name in as_text:
        stripped = people[name].str.strip()
        people[name] = stripped.where(~stripped.isin(BLANK))
    if people[ID].isna().any():
        rows = [str(at + 2) for at in people.index[people[ID].isna()]]
        raise InputError(
            f"{path}: no participant_id in line {listed(rows)}; each row needs one."
        )
    people[ID] = people[ID].map(with_prefix)
    twice = people[ID].duplicated()
    if twice.any():
        raise InputError(
            f"{path}: more than one row for {listed(people[ID][twice])}; expected one"
            " row a person. Remove the others (sessions belong in sessions.tsv)."
        )
    return people.sort_values(ID).reset_index(drop=True)
