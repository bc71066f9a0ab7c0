"""Who trains, who stops the training, who is tested: people, never rows."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bidsclf.config import FoldConfig
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
        Rows of the table of people. Each person is in exactly one part.
    """

    repeat: int
    fold: int
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray

    def __post_init__(self) -> None:
        everyone = np.concatenate([self.train, self.valid, self.test])
        if len(np.unique(everyone)) < len(everyone):
            raise InputError(
                f"repeat {self.repeat}, fold {self.fold}: a person is in two parts;"
                " the parts of a fold share nobody. Remove folds.tsv and run again."
            )


def make_folds(people: pd.DataFrame, config: FoldConfig) -> list[Fold]:
    """Split people into folds, the same whatever the order of the table.

    Parameters
    ----------
    people : DataFrame of shape (n_people, ...)
        Columns participant_id (unique), y (0 or 1) and site.
    config : FoldConfig
        'kfold' deals every cell of diagnosis x site out in turn, each cell
        continuing where the last one stopped, so that a cell smaller than the
        number of folds still goes where it is needed: within a class, and over
        all, folds differ by one person at most. 'loso' tests one site a fold.

    Returns
    -------
    folds : list of Fold
        By repeat, then fold.

    Raises
    ------
    InputError
        A person occurs twice, y is not 0 or 1, a class has fewer people than
        folds, a training part lacks a class, or 'loso' meets a missing or a
        single site.
    """
    table = _checked(people)
    if config.scheme == "loso":
        parts = [(1, _tests_by_site(table))]
    else:
        parts = [
            (repeat, _tests_by_cell(table, config, repeat))
            for repeat in range(1, config.repeats + 1)
        ]
    return [
        _split(table, config, (repeat, number), test)
        for repeat, tests in parts
        for number, test in enumerate(tests, start=1)
    ]


def whole(people: pd.DataFrame, config: FoldConfig) -> Fold:
    """Return the split of the final model: everyone learns, nobody is tested."""
    return _split(_checked(people), config, (0, 0), np.empty(0, int))


def notes(folds: Iterable[Fold], people: pd.DataFrame) -> list[str]:
    """Say which folds cannot be judged alone: test parts of a single class."""
    truth, said = people["y"].to_numpy(), []
    for fold in folds:
        classes = np.unique(truth[fold.test])
        if len(classes) == 1:
            sites = sorted(set(_sites(people)[fold.test]))
            said.append(
                f"repeat {fold.repeat}, fold {fold.fold} ({', '.join(sites)}): all"
                f" {len(fold.test)} test people are of class {classes[0]};"
                " the fold has no AUC of its own."
            )
    return said


def to_table(folds: Iterable[Fold], people: pd.DataFrame) -> pd.DataFrame:
    """Return folds.tsv: a row a person and fold, with the person's part."""
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


def _sites(people: pd.DataFrame) -> np.ndarray:
    return people["site"].fillna(NO_SITE).astype(str).to_numpy(object)


def _checked(people: pd.DataFrame) -> pd.DataFrame:
    """Return id, y, site and row, sorted by id; the order given is forgotten."""
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
            "site": _sites(people),
            "row": np.arange(len(people)),
        }
    )
    return table.sort_values("id", ignore_index=True)


def _tests_by_site(table: pd.DataFrame) -> list[np.ndarray]:
    sites = sorted(set(table["site"]))
    if NO_SITE in sites:
        lost = table.loc[table["site"] == NO_SITE, "id"].tolist()
        raise InputError(
            f"{len(lost)} people have no site: {', '.join(lost[:5])};"
            " --cv loso needs everyone's. Fill the column or use --cv kfold."
        )
    if len(sites) < 2:
        raise InputError(
            f"everyone is of site {sites[0]!r}; --cv loso needs two sites or more."
            " Check --site-column or use --cv kfold."
        )
    return [table.loc[table["site"] == site, "row"].to_numpy() for site in sites]


def _tests_by_cell(
    table: pd.DataFrame, config: FoldConfig, repeat: int
) -> list[np.ndarray]:
    counts = table["y"].value_counts().reindex([0, 1], fill_value=0)
    if counts.min() < config.n_folds:
        raise InputError(
            f"class {counts.idxmin()} has {counts.min()} people and --n-folds is"
            f" {config.n_folds}; every fold tests both classes. Lower --n-folds."
        )
    rng = np.random.default_rng([config.seed, repeat])
    queue = _queue(table, rng)
    fold_of = rng.permutation(config.n_folds)[np.arange(len(queue)) % config.n_folds]
    return [np.sort(queue[fold_of == fold]) for fold in range(config.n_folds)]


def _queue(table: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Return the rows cell by cell: class, then site, shuffled within each."""
    cells = [cell.to_numpy() for _, cell in table.groupby(["y", "site"])["row"]]
    return np.concatenate([rng.permutation(cell) for cell in cells])


def _split(
    table: pd.DataFrame, config: FoldConfig, name: tuple[int, int], test: np.ndarray
) -> Fold:
    """Hold a stratified share of everyone but the test people out for stopping."""
    rest = table[~table["row"].isin(test)]
    rng = np.random.default_rng([config.seed, *name, 1])
    held = []
    for label in (0, 1):
        queue = _queue_of_class(rest, label, rng, name)
        n_held = max(1, round(config.valid_fraction * len(queue)))
        steps = (np.arange(n_held) + rng.random()) * len(queue) / n_held
        held.append(queue[steps.astype(int)])
    valid = np.sort(np.concatenate(held))
    train = np.setdiff1d(rest["row"].to_numpy(), valid)
    return Fold(*name, train=train, valid=valid, test=np.sort(test))


def _queue_of_class(
    rest: pd.DataFrame, label: int, rng: np.random.Generator, name: tuple[int, int]
) -> np.ndarray:
    members = rest[rest["y"] == label]
    if len(members) < 2:
        raise InputError(
            f"repeat {name[0]}, fold {name[1]}: {len(members)} people of class {label}"
            " are left to learn from; 2 are needed at least."
            " Add people, or choose another --cv."
        )
    return _queue(members, rng)
