"""Whose a .mat file is: from its path, a table of people, and dx."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bidsclf.errors import ConfigError, InputError
from bidsclf.files import paths
from bidsclf.sources._input import read_words

ID, DIAGNOSIS, SITE = "participant_id", "diagnosis", "site"
GROUPS = ("subject", "site", "label", "session", "run")
MISSING = ["", "n/a", "N/A", "NaN", "nan", "-999", "-9999"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What the path of a file says.

    Attributes
    ----------
    participant : str
        ``sub-28567``.
    session, run, site, label : str
        '' where the path does not say it; ``label`` as it stands there.
    """

    participant: str
    session: str = ""
    run: str = ""
    site: str = ""
    label: str = ""

    @property
    def entities(self) -> dict[str, str]:
        """Entities of the scan's name."""
        found = {
            "sub": self.participant.removeprefix("sub-"),
            "ses": self.session,
            "task": "rest",
            "run": self.run,
        }
        return {key: value for key, value in found.items() if value}


def read_labels(words: Iterable[str]) -> dict[str, str]:
    """Return the name of each code.

    Raises
    ------
    ConfigError
        A word is not CODE=NAME, a code occurs twice, or all have one name.

    Examples
    --------
    >>> read_labels(["1=autism", "2.0=control"])
    {'1': 'autism', '2': 'control'}
    """
    found: dict[str, str] = {}
    for word in words:
        code, equals, name = (part.strip() for part in word.partition("="))
        if not (code and equals and name) or _plain(code) in found:
            raise ConfigError(
                f"--labels {word!r}: expected CODE=NAME, each code once, as in"
                " 1=autism 2=control."
            )
        found[_plain(code)] = name
    if len(set(found.values())) < 2:
        raise ConfigError(
            f"--labels names {len(set(found.values()))} group; there are two or more,"
            " as in 1=autism 2=control."
        )
    return found


def _plain(code: str) -> str:
    """Return a number without a needless decimal part; a word as it is."""
    return re.sub(r"^(-?\d+)\.0*$", r"\1", code.strip())


def worded(label: str, labels: Mapping[str, str]) -> str:
    """Return the name of a label: of its code, or itself where it is a name.

    Raises
    ------
    InputError
        It is neither.
    """
    plain = _plain(label)
    if plain not in labels and plain not in labels.values():
        known = " ".join(f"{code}={name}" for code, name in labels.items())
        raise InputError(
            f"its label is {plain!r}, which is not one of --labels {known}. Correct the"
            " label, or name it there."
        )
    return labels.get(plain, plain)


def read_pattern(text: str) -> re.Pattern[str]:
    """Return a pattern of paths.

    Raises
    ------
    ConfigError
        It is no regular expression, lacks the group subject, or has a group of
        another name.
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ConfigError(
            f"--pattern {text!r} is no regular expression: {error}."
        ) from error
    other = sorted(set(pattern.groupindex) - set(GROUPS))
    if other or "subject" not in pattern.groupindex:
        raise ConfigError(
            f"--pattern {text!r} has the groups {sorted(pattern.groupindex)}; it needs"
            f" (?P<subject>…) and may have {', '.join(GROUPS[1:])}."
        )
    return pattern


def name_of(path: Path, folder: Path, pattern: re.Pattern[str]) -> Named | None:
    """Return what the path below a folder says; None if the pattern is not in it.

    Raises
    ------
    InputError
        A group of the pattern holds no letter or digit where a label is needed.
    """
    match = pattern.search(path.relative_to(folder).as_posix())
    if match is None:
        return None
    said = {key: value or "" for key, value in match.groupdict().items()}
    entities = {
        key: paths.label(said[key])
        for key in ("session", "run")
        if said.get(key, "").strip()
    }
    return Named(
        participant=participant_of(said["subject"]),
        site=said.get("site", "").strip(),
        label=said.get("label", "").strip(),
        **entities,
    )


def participant_of(word: str) -> str:
    """Return the participant of a name.

    Examples
    --------
    >>> participant_of("sub-28_567"), participant_of("0050952")
    ('sub-28567', 'sub-0050952')
    """
    return f"sub-{paths.label(word.strip().removeprefix('sub-'))}"


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of people, one row a person, indexed by participant_id.

    Raises
    ------
    InputError
        It cannot be read, has no participant_id, one that is no label, or names a
        person twice.
    """
    table = read_words(path, MISSING)
    if ID not in table or table[ID].isna().any():
        what = "no column" if ID not in table else "rows without a"
        raise InputError(
            f"{path}: {what} {ID!r}, which says whose each row is; there are:"
            f" {', '.join(map(str, table))}. Mend the table."
        )
    try:
        table[ID] = table[ID].map(participant_of)
    except InputError as error:
        raise InputError(f"{path}: {ID} {error} Mend the table.") from error
    twice = sorted(set(table[ID][table[ID].duplicated()]))
    if twice:
        raise InputError(
            f"{path}: {len(twice)} people have more than one row, first {twice[:5]}."
            " A person is one row; remove the others."
        )
    return table.set_index(ID)


def person_of(
    named: Named, code: str | None, row: pd.Series | None, labels: Mapping[str, str]
) -> dict[str, str | None]:
    """Return a person's row of participants.tsv: table, path and dx must agree.

    Raises
    ------
    InputError
        Nothing gives the diagnosis, it is not one of the labels, or two
        sources contradict each other.
    """
    told = {} if row is None else {k: v for k, v in row.items() if not pd.isna(v)}
    given = {
        "the table": told.get(DIAGNOSIS),
        "the path": named.label or None,
        "dx": code,
    }
    words = {place: worded(v, labels) for place, v in given.items() if v is not None}
    sites = {"the table": told.get(SITE), "the path": named.site or None}
    return {
        ID: named.participant,
        DIAGNOSIS: _agreed("diagnosis", words, is_needed=True),
        SITE: _agreed("site", {k: v for k, v in sites.items() if v is not None}),
        **{k: v for k, v in told.items() if k not in (DIAGNOSIS, SITE)},
    }


def _agreed(
    what: str, said: Mapping[str, str], *, is_needed: bool = False
) -> str | None:
    if len(set(said.values())) > 1:
        each = ", ".join(f"{place} says {word!r}" for place, word in said.items())
        raise InputError(f"its {what} is not clear: {each}. Correct the wrong one.")
    if is_needed and not said:
        raise InputError(
            f"nothing gives its {what}: no dx, no group 'label' in --pattern, no cell"
            f" {what} in the table. Add one."
        )
    return next(iter(said.values()), None)
