"""Whether covariates can be harmonized with in each fold, before anything is fitted."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from bidsclf.cohort import Cohort
from bidsclf.config import Config
from bidsclf.crossval.rows import rows_of, split_traits
from bidsclf.errors import InputError
from bidsclf.files.people import listed
from bidsclf.folds import Fold
from bidsclf.harmonize import make


def check(config: Config, cohort: Cohort, fold: Fold, name: str) -> set[str]:
    """Refuse what the harmonizer of one fold would refuse for its covariates alone.

    It is fitted here to a feature that does not vary: every guard of sites and
    covariates acts, and nothing is learned.

    Parameters
    ----------
    config : Config
    cohort : Cohort
    fold : Fold
    name : str
        Of the fold, for messages.

    Returns
    -------
    beyond : set of str
        Tested people with a number outside the range that was learned from.

    Raises
    ------
    InputError
        Covariates are constant, collinear or missing among the people to learn
        from, or somebody has a level that nobody of these has.
    """
    sites, covariates = split_traits(cohort.traits)
    if covariates.empty:
        return set()
    ids = cohort.people["participant_id"].to_numpy()
    people = np.concatenate([fold.train, fold.valid])
    drawn = cohort.rows[rows_of(people, cohort.rows)]
    harmonizer = make(config.harmonize, config.cohort.missing)
    flat = np.zeros((len(drawn), 1))
    try:
        harmonizer.fit(flat, sites[drawn], covariates.iloc[drawn])
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    known = np.isin(sites.astype(str), list(harmonizer.notes()["sites"]))
    taught = np.isin(np.arange(len(ids)), people)
    tested = np.isin(np.arange(len(ids)), fold.test)
    used = np.flatnonzero(taught | tested)  # a given fold may leave a site out
    changed = np.zeros(len(ids), bool)
    changed[used] = harmonizer.handling(sites[used]) != "identity"
    for column in covariates:
        levels = covariates[column]
        if levels.dtype == object:
            there = set(levels[taught & known].dropna())
            is_new = changed & ~levels.isin(there) & levels.notna()
            _refuse_levels(levels[is_new], ids[is_new], name)
    who = np.flatnonzero(tested & changed)
    return set(ids[who[harmonizer.outside(covariates.iloc[who])]])


def _refuse_levels(levels: pd.Series, ids: np.ndarray, name: str) -> None:
    if len(levels):
        raise InputError(
            f"{name}: covariate {levels.name!r} is {levels.iloc[0]!r} for"
            f" {listed(ids[levels == levels.iloc[0]])}, and for nobody of the people"
            " that the fold learns from. Leave them out with --include, or write that"
            " level as another one."
        )


def outside(people: Iterable[str]) -> str:
    """Return a note on people with a number beyond what was learned from."""
    n = len(set(people))
    return (
        f"{n} {'person has' if n == 1 else 'people have'} a covariate beyond the range"
        f" that harmonization learned from: {listed(people)}. A line goes on there, a"
        " curve stays at its end."
    )
