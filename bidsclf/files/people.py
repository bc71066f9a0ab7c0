"""participants.tsv: who there is, one row a person."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from bidsclf.errors import ConfigError, InputError
from bidsclf.files import store
from bidsclf.options import did_you_mean

ID = "participant_id"
TRAITS = {"age": ("age", "age_at_scan"), "sex": ("sex", "gender")}
CONTROL_WORDS = (  # what studies call the group without the diagnosis; ours
    "0", "no", "none", "false", "negative", "absent", "unaffected", "control",
    "controls", "ctrl", "ctl", "hc", "nc", "cn", "td", "tdc", "typical",
    "neurotypical", "healthy", "normal",
)  # fmt: skip
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


def read_people(
    out: Path, text: Sequence[str], others: Sequence[str] = ()
) -> pd.DataFrame:
    """Read participants.tsv.

    Parameters
    ----------
    out : Path
        Folder that holds it.
    text : sequence of str
        Columns kept as text, compared without regard to case; the blank words
        in them become missing.
    others : sequence of str
        More columns that are looked up by name.

    Returns
    -------
    people : DataFrame
        ``participant_id`` ("sub-01", unique) and every other column, rows as
        they stand.

    Raises
    ------
    InputError
        The table is absent or unreadable, has no participant_id, a row without
        one, two rows of one person, or two columns of one name (of those looked
        up, also if only their case differs).
    """
    path = out / "participants.tsv"
    if not path.exists():
        raise InputError(
            f"{path}: no such file; it says each person's target and site."
            " Copy the study's participants.tsv there."
        )
    wanted = {ID, *(name.lower() for name in text)}
    names = [str(name) for name in store.read_table(path).columns]
    as_text = [name for name in names if name == ID or name.lower() in wanted]
    _refuse_twins(path, names, {*wanted, *(name.lower() for name in others)})
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
    return people


def _refuse_twins(path: Path, names: Sequence[str], looked_up: set[str]) -> None:
    """Refuse columns that differ in case only, where one of them is looked up."""
    lower = [name.lower() for name in names]
    twins = [
        name
        for name, low in zip(names, lower, strict=True)
        if low in looked_up and lower.count(low) > 1
    ]
    if twins:
        raise InputError(
            f"{path}: {len(twins)} columns {', '.join(map(repr, twins))}; expected each"
            " name once, also without regard to case. Rename or remove one of them."
        )


def matching(
    people: pd.DataFrame, expression: str | None, option: str = "--include"
) -> pd.Series:
    """Tell whom an expression takes.

    Parameters
    ----------
    people : DataFrame
    expression : str or None
        A condition on columns, as ``DataFrame.query`` reads it; None takes all.
    option : str
        The one that gave it, for messages.

    Returns
    -------
    bool Series, index of ``people``

    Raises
    ------
    ConfigError
        It cannot be read, names an absent column, or is not a condition.

    Examples
    --------
    >>> people = pd.DataFrame({"site": ["NYU", "UM"], "age": [12.0, None]})
    >>> matching(people, "site == 'NYU' and age < 18").tolist()
    [True, False]
    """
    if expression is None:
        return pd.Series(True, people.index)
    try:
        taken = people.eval(expression, local_dict={}, global_dict={})
    except Exception as error:  # pandas raises whatever its parser meets
        raise ConfigError(
            f"{option} {expression!r} cannot be read ({error}). It is a condition on"
            f" the columns {', '.join(people.columns)}, such as \"site == 'NYU'\"."
        ) from error
    if not isinstance(taken, pd.Series) or taken.dtype != bool:
        raise ConfigError(
            f"{option} {expression!r} is not a condition: it gives"
            f" {type(taken).__name__}, not yes or no a person. Compare a column with"
            ' a value, such as "age < 18".'
        )
    return taken


def column_of(people: pd.DataFrame, column: str, option: str) -> pd.Series:
    """Return a column of participants.tsv; NaN where it is blank.

    Raises
    ------
    ConfigError
        There is none; the message lists the columns and names the option.
    """
    if column not in people:
        known = [name for name in people if name != ID]
        hint = did_you_mean(column, known)
        extra = ", or none for a single site" if option == "--site-column" else ""
        raise ConfigError(
            f"{option} is {column!r}; participants.tsv has no such column."
            f" There are: {', '.join(known)}.{hint} Give {option} one of them{extra}."
        )
    return people[column]


def two_labels(values: pd.Series, column: str, positive: str | None) -> dict[int, str]:
    """Return which of two values is 0 and which is 1.

    Parameters
    ----------
    values : Series of str
        The target of the people who have features, none blank.
    column, positive : str, str or None
        The target's name, and the value that is 1. None takes the other of a
        value that names controls (control, hc, td, healthy, 0, no, ...).

    Raises
    ------
    InputError
        All people have one value.
    ConfigError
        There are more than two, or it is open which is positive.

    Examples
    --------
    >>> two_labels(pd.Series(["autism", "control"]), "diagnosis", None)
    {0: 'control', 1: 'autism'}
    """
    counts = values.value_counts().sort_index()
    known = [str(value) for value in counts.index]
    shown = ", ".join(f"{value} ({n} people)" for value, n in counts.items())
    if len(known) == 1:
        raise InputError(
            f"column {column!r} has one value among those with features: {shown};"
            " a classifier needs two. Add the other group or choose another --target."
        )
    if len(known) > 2:
        raise ConfigError(
            f"column {column!r} has {len(known)} values: {shown}; expected exactly"
            " two. Write n/a for people to leave out, or choose another --target."
        )
    if positive is None:
        controls = [value for value in known if value.lower() in CONTROL_WORDS]
        if len(controls) != 1:
            raise ConfigError(
                f"column {column!r} has the values {shown}; it does not say which is"
                f" positive. Give --positive-label {known[0]} or {known[1]}."
            )
        positive = next(value for value in known if value != controls[0])
    if positive not in known:
        raise ConfigError(
            f"--positive-label is {positive!r}; column {column!r} has the values"
            f" {shown}.{did_you_mean(positive, known)} Give one of them."
        )
    return {0: next(value for value in known if value != positive), 1: positive}


def trait_of(people: pd.DataFrame, trait: str) -> pd.Series | None:
    """Return the column of 'age' or 'sex', found without regard to case, if any."""
    for word in TRAITS[trait]:
        for name in people:
            if str(name).lower() == word:
                return people[name]
    return None


def phenotype(people: pd.DataFrame) -> pd.DataFrame:
    """Return age (a number) and sex (as written), found without regard to case.

    An age that is no number, such as "89+", is missing here and for ``--match``; as
    a covariate it is refused by name (``traits.check_covariates``).

    Raises
    ------
    InputError
        Neither is a column.
    """
    known = {trait: trait_of(people, trait) for trait in TRAITS}
    found = {trait: cells for trait, cells in known.items() if cells is not None}
    if not found:
        raise InputError(
            "participants.tsv has no column age and none sex, which control-phenotype"
            f" needs; there are: {', '.join(people)}. Add one or drop that model."
        )
    table = pd.DataFrame(found)
    if "age" in table:
        table["age"] = pd.to_numeric(table["age"], errors="coerce")
    return table.reset_index(drop=True)
