"""The rows of one fold as a model takes them, harmonized or not."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.config import HarmonizeConfig
from bidsclf.folds import Fold
from bidsclf.harmonize._base import Harmonizer, make
from bidsclf.models._harmonized import from_features, to_features
from bidsclf.models._rows import row_digests, take

NOT_COVARIATES = ("site", "group")


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Which rows are learned from, stop the training, and are tested.

    Attributes
    ----------
    learn, stop, test : int arrays
        Positions in the rows of features; ``learn`` may repeat.
    """

    learn: np.ndarray
    stop: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """Rows that need nothing more but a model.

    Attributes
    ----------
    x : rows of features, of length n_used
    source : int array of shape (n_used,)
        The row that each was before.
    parts : Parts
        Positions in ``x``.
    harmonizer : Harmonizer or None
        The one that was learned from ``parts.learn``.
    handling : object array of shape (n_test,) or None
        What it did to the test rows.
    """

    x: Any
    source: np.ndarray
    parts: Parts
    harmonizer: Harmonizer | None = None
    handling: np.ndarray | None = None


def rows_of(people: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the rows of people, ascending, as often as each person is named.

    Examples
    --------
    >>> rows_of(np.array([2, 0, 2]), np.array([0, 1, 2, 2]))
    array([0, 2, 2, 3, 3])
    """
    n_people = max(rows.max(initial=-1), people.max(initial=-1)) + 1
    times = np.bincount(people, minlength=n_people)
    return np.repeat(np.arange(len(rows)), times[rows])


def of_rows(traits: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Return the traits of the person of each row."""
    return traits.iloc[rows].reset_index(drop=True)


def split_traits(traits: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Return sites, an object array, and the covariates."""
    covariates = [name for name in traits if name not in NOT_COVARIATES]
    return traits["site"].to_numpy(object), traits[covariates]


def tell_sites(model: Any, traits: pd.DataFrame | None, people: np.ndarray) -> None:
    """Tell a model that asks for it the site of each row that it will learn from."""
    if hasattr(model, "of_sites"):
        is_known = traits is not None and "site" in traits
        model.of_sites(split_traits(of_rows(traits, people))[0] if is_known else None)


def n_outside(
    harmonizers: Iterable[Harmonizer], traits: pd.DataFrame | None, people: np.ndarray
) -> int:
    """Return how many people to be changed have a covariate beyond the training's."""
    if traits is None or not len(people):
        return 0
    sites, covariates = split_traits(traits.iloc[people])
    return int(is_beyond(harmonizers, sites, covariates).sum())


def is_beyond(
    harmonizers: Iterable[Harmonizer], sites: np.ndarray, covariates: pd.DataFrame
) -> np.ndarray:
    """Tell of each row if a harmonizer changes it and it is beyond what that learned.

    Returns
    -------
    is_beyond : bool array of shape (n_rows,)
    """
    found = np.zeros(len(sites), bool)
    for one in harmonizers:
        found |= one.outside(covariates) & (one.handling(sites) != "identity")
    return found


def of_fold(rows: np.ndarray, fold: Fold, *, needs_valid: bool) -> Parts:
    """Return the rows of a fold's people.

    A model that does not stop early learns from the validation part as well.
    """
    learn, stop = fold.train, fold.valid
    if not needs_valid:
        learn, stop = np.concatenate([learn, stop]), stop[:0]
    return Parts(*(rows_of(people, rows) for people in (learn, stop, fold.test)))


def as_they_are(x: Any, parts: Parts) -> Ready:
    """Return the rows untouched."""
    return Ready(x, np.arange(len(x)), parts)


def harmonized(
    x: Any,
    parts: Parts,
    traits: pd.DataFrame,
    config: HarmonizeConfig,
    missing: str,
) -> Ready:
    """Learn a harmonizer from the rows that are learned from; apply it to all.

    It sees no label. Training rows come first, ordered by content, so that the
    order of people changes no number that is learned here or later.

    Parameters
    ----------
    x : rows of features, of length n_rows
    parts : Parts
    traits : DataFrame of shape (n_rows, ...)
        ``site``, and columns that are covariates except ``group``.
    config : HarmonizeConfig
    missing : str
        What ``--missing`` says.

    Returns
    -------
    ready : Ready
    """
    once = np.unique(parts.learn)
    features = to_features(take(x, once))
    order = by_content(features, traits.iloc[once])
    once, features = once[order], features[order]
    times = np.bincount(parts.learn, minlength=len(x))[once]
    learn = np.repeat(np.arange(len(once)), times)
    drawn = features if (times == 1).all() else features[learn]
    learner = make(config, missing).fit(
        drawn, *split_traits(of_rows(traits, once[learn]))
    )
    made = [learner.apply(features, *split_traits(of_rows(traits, once)))]
    for part in (parts.stop, parts.test):
        if len(part):
            known = split_traits(of_rows(traits, part))
            made.append(learner.apply(to_features(take(x, part)), *known))
    first, second = len(once), len(once) + len(parts.stop)
    end = second + len(parts.test)
    test_sites, _ = split_traits(of_rows(traits, parts.test))
    return Ready(
        x=from_features(x, np.concatenate(made), has_products=True),
        source=np.concatenate([once, parts.stop, parts.test]),
        parts=Parts(learn, np.arange(first, second), np.arange(second, end)),
        harmonizer=learner,
        handling=learner.handling(test_sites) if len(test_sites) else test_sites,
    )


def by_content(x: Any, traits: pd.DataFrame, y: np.ndarray | None = None) -> np.ndarray:
    """Return an order of rows that depends on what they hold alone."""
    sites, covariates = split_traits(traits)
    told = [
        repr([str(value) for value in line]) for line in covariates.to_numpy(object)
    ]
    labels = [0] * len(told) if y is None else y.tolist()
    keys = zip(row_digests(x), sites.astype(str), told, labels, strict=True)
    ranked = sorted((key, at) for at, key in enumerate(keys))
    return np.array([at for _, at in ranked], int)
