"""Who was learned from, so that nobody is predicted by a model that knows them."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.files import store

TRAITS = ("age", "age_at_scan", "sex", "gender", "site")


def person_digests(seam: Path, people: pd.DataFrame) -> list[str]:
    """Return a hash a person of dataset, label and traits, which a bundle can keep.

    The dataset's name and the label alone would take the first person of every
    simulated study for the same one.

    Parameters
    ----------
    seam : Path
        Root of the features, whose dataset_description.json has the name.
    people : DataFrame
        ``Cohort.people``.
    """
    path = seam / "dataset_description.json"
    name = store.read_json(path).get("Name", "") if path.is_file() else ""
    traits = [c for c in people.columns if c.lower() in TRAITS]
    known = people[["participant_id", *traits]].astype(str)
    return [
        sha256("\t".join([name, *row]).encode()).hexdigest()
        for row in known.itertuples(index=False, name=None)
    ]


def training(
    people: pd.DataFrame | Mapping[str, Any], digests: Sequence[str], who: np.ndarray
) -> list[dict[str, str]]:
    """Return the people learned from, a line a row of features.

    Parameters
    ----------
    people : mapping
        ``participant_id``, ``person`` and ``rows`` (person of each row).
    digests : sequence of str
        Of each row of features.
    who : int array
        The people learned from.
    """
    learned = set(who.tolist())
    return [
        {
            "participant_id": people["participant_id"][person],
            "person": people["person"][person],
            "digest": digest,
        }
        for person, digest in zip(people["rows"], digests, strict=True)
        if person in learned
    ]


def seen(
    known: Sequence[Mapping[str, str]],
    persons: Sequence[str],
    rows: np.ndarray,
    digests: Sequence[str],
) -> np.ndarray:
    """Tell which people a model was fitted on: the same features, or the same person.

    Returns
    -------
    bool array of shape (n_people,)
    """
    features = {one["digest"] for one in known}
    before = {one.get("person") for one in known}
    found = np.array([person in before for person in persons], bool)
    same = [digest in features for digest in digests]
    found[rows[np.array(same, bool)]] = True
    return found
