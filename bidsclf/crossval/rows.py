"""The rows of one fold as a model takes them, harmonized or not."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.config import HarmonizeConfig
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


def n_outside(
    harmonizer: Harmonizer, traits: pd.DataFrame | None, people: np.ndarray
) -> int:
    """Return how many people to be changed have a covariate beyond the training's."""
    if traits is None or not len(people):
        return 0
    sites, covariates = split_traits(traits.iloc[people])
    is_changed = harmonizer.handling(sites) != "identity"
    return int((harmonizer.outside(covariates) & is_changed).sum())


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
    order = _by_content(features, traits.iloc[once])
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


def _by_content(features: np.ndarray, traits: pd.DataFrame) -> np.ndarray:
    """Return an order of rows that depends on what they hold alone."""
    sites, covariates = split_traits(traits)
    told = [
        repr([str(value) for value in line]) for line in covariates.to_numpy(object)
    ]
    keys = zip(row_digests(features), sites.astype(str), told, strict=True)
    ranked = sorted((key, at) for at, key in enumerate(keys))
    return np.array([at for _, at in ranked], int)
