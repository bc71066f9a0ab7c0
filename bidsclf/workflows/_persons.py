"""Who was learned from, so that nobody is predicted by a model that knows them."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from bidsclf.dataset import describe
from bidsclf.models._rows import row_digests


def person_digests(seam: Path, participants: Sequence[str]) -> list[str]:
    """Return a hash a person of the dataset's name and the label, and of no more.

    Whatever else participants.tsv says may be said otherwise the next time, and
    the person would go for another one.

    Parameters
    ----------
    seam : Path
        Root of the features, whose dataset_description.json has the name.
    participants : sequence of str
        With ``sub-``.
    """
    name = describe(seam)["Name"]
    return [sha256(f"{name}\t{who}".encode()).hexdigest() for who in participants]


def feature_digests(loaded: Any, described: Mapping[str, Any]) -> list[str] | None:
    """Return a hash a row of brain features; None of a table.

    No two people have the same brain features (see ``identical``), and many the same
    age and sex or site.

    Parameters
    ----------
    loaded : rows
        As ``Cohort.load`` returns them.
    described : mapping
        ``Cohort.describe`` of the same input.
    """
    return row_digests(loaded) if "shape" in described else None


def training(
    people: Mapping[str, Any], digests: Sequence[str] | None, who: np.ndarray
) -> list[dict[str, str]]:
    """Return the people learned from, a line a row of features.

    Parameters
    ----------
    people : mapping
        ``participant_id``, ``person`` and ``rows`` (person of each row).
    digests : sequence of str or None
        ``feature_digests``.
    who : int array
        The people learned from.
    """
    learned = set(who.tolist())
    lines = []
    for row, person in enumerate(people["rows"]):
        if person in learned:
            line = {name: people[name][person] for name in ("participant_id", "person")}
            lines.append(line if digests is None else line | {"digest": digests[row]})
    return lines


def identical(people: Mapping[str, Any], digests: Sequence[str]) -> list[str]:
    """Return a note a group of people with the same brain features.

    Parameters
    ----------
    people : mapping
        ``participant_id``, ``rows`` (person of each row) and ``traits``; a family
        (their ``group``) is never split, so its members are not named.
    digests : sequence of str
        ``feature_digests``.

    Examples
    --------
    >>> people = {"participant_id": ["sub-1", "sub-2"], "rows": [0, 1], "traits": {}}
    >>> identical(people, ["a", "b"]), len(identical(people, ["a", "a"]))
    ([], 1)
    """
    families = people["traits"].get("group", range(len(people["participant_id"])))
    having: dict[str, dict[int, str]] = {}
    for person, digest in zip(people["rows"], digests, strict=True):
        having.setdefault(digest, {})[families[person]] = people["participant_id"][
            person
        ]
    return [
        f"identical features: {' and '.join(alike.values())}; they may be one scan"
        " given twice, and a split may learn from one and test the other. Check them,"
        " and leave one out or name them one family with --group-column."
        for alike in having.values()
        if len(alike) > 1
    ]


def seen(
    known: Sequence[Mapping[str, str]],
    persons: Sequence[str],
    rows: np.ndarray,
    digests: Sequence[str] | None,
) -> np.ndarray:
    """Tell which people a model was fitted on: the same person, or the same features.

    Returns
    -------
    bool array of shape (n_people,)
    """
    before = {one["person"] for one in known}
    found = np.array([person in before for person in persons], bool)
    if digests is not None:
        features = {one["digest"] for one in known}
        same = [digest in features for digest in digests]
        found[rows[np.array(same, bool)]] = True
    return found
