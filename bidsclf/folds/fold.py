"""One split of the people, and the table of all splits."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bidsclf.errors import InputError

PARTS = ("train", "valid", "test")
NO_SITE = "n/a"


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One split of the people.

    Attributes
    ----------
    repeat, fold : int
        Both count from 1; 0 and 0 is the fit on everyone (``whole``).
    train, valid, test : int arrays, ascending
        Rows of the table of people; the parts share nobody. In a bootstrap a
        person drawn k times stands k times in train or k times in valid.
    """

    repeat: int
    fold: int
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray

    def __post_init__(self) -> None:
        learned = [np.unique(self.train), np.unique(self.valid)]
        everyone = np.concatenate([*learned, self.test])
        if len(np.unique(everyone)) < len(everyone):
            raise InputError(
                f"repeat {self.repeat}, fold {self.fold}: a person is in two parts;"
                " the parts of a fold share nobody. Remove folds.tsv and run again."
            )


def to_table(folds: Iterable[Fold], people: pd.DataFrame) -> pd.DataFrame:
    """Return folds.tsv: a row a person and fold, with the person's part.

    A person drawn k times has k rows; a relative of tested people, whom no part
    holds, has none.
    """
    ids = people["participant_id"].to_numpy()
    rows = [
        pd.DataFrame(
            {
                "repeat": fold.repeat,
                "fold": fold.fold,
                "participant_id": ids[getattr(fold, part)],
                "part": part,
            }
        )
        for fold in folds
        for part in PARTS
    ]
    return pd.concat(rows, ignore_index=True)


def checked(people: pd.DataFrame) -> pd.DataFrame:
    """Return who is to be split, sorted by id; the order given is forgotten.

    Parameters
    ----------
    people : DataFrame
        participant_id, y, site and, where relatives are known, group.

    Returns
    -------
    table : DataFrame of shape (n_people, 6)
        id, y, site, row (in ``people``), unit (one number a family, numbered by
        its first member's id; a person without a group is one alone) and kind:
        the classes in the person's unit, '0', '1' or '01'.

    Raises
    ------
    InputError
        A person occurs twice, or y is not 0 or 1.
    """
    ids = people["participant_id"]
    if ids.duplicated().any():
        raise InputError(
            f"{ids[ids.duplicated()].iloc[0]} is in the cohort twice;"
            " a person is one row. Remove the double row of participants.tsv."
        )
    wrong = sorted(set(people["y"]) - {0, 1})
    if wrong:
        raise InputError(f"y holds {wrong[0]!r}; it is 0 or 1. Check --target.")
    table = pd.DataFrame(
        {
            "id": ids.to_numpy(),
            "y": people["y"].to_numpy(int),
            "site": sites_of(people),
            "row": np.arange(len(people)),
        }
    ).sort_values("id", ignore_index=True)
    group = people.get("group", pd.Series(np.nan, people.index)).to_numpy(object)
    group = pd.Series(group[table["row"]])
    named = group.map(lambda value: f"g{value}", na_action="ignore")
    table["unit"] = pd.factorize(named.fillna("p" + table["id"].astype(str)))[0]
    n_classes = table.groupby("unit")["y"].transform("nunique")
    table["kind"] = table["y"].astype(str).where(n_classes == 1, "01")
    return table


def sites_of(people: pd.DataFrame) -> np.ndarray:
    """Return each person's site as text; a missing one is a site of its own."""
    return people["site"].fillna(NO_SITE).astype(str).to_numpy(object)
