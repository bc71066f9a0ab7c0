"""Covariates of people, and what makes one unfit to be harmonized with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bidsclf.errors import ConfigError, InputError
from bidsclf.files.people import BLANK, ID, column_of, listed

RESERVED = ("site", "group")  # columns of the traits that are no covariates
MOST_LEVELS = 10  # a number with more values is taken for a measure; ours
LEAST_SHARE = 5  # people a level, below which chance alone splits classes; ours


def traits_of(
    people: pd.DataFrame, site: pd.Series, covariates: Sequence[str]
) -> pd.DataFrame:
    """Return site and covariates of everyone in participants.tsv.

    Parameters
    ----------
    people : DataFrame of shape (n_people, ...)
    site : Series of shape (n_people,)
    covariates : sequence of str
        Their columns, as they are written.

    Returns
    -------
    traits : DataFrame of shape (n_people, 1 + n_covariates), index participant_id
        'site', then each covariate; blank cells are NaN.

    Raises
    ------
    ConfigError
        There is no such column, or its name is one of ours.
    """
    taken = [name for name in covariates if name in RESERVED]
    if taken:
        raise ConfigError(
            f"--covariates names {taken[0]!r}, which is our own column for the"
            f" {taken[0]}. Rename that column of participants.tsv."
        )
    columns = {name: column_of(people, name, "--covariates") for name in covariates}
    found = pd.DataFrame({"site": site.astype(object)} | columns)
    for name in covariates:
        found[name] = _stripped(found[name])
    return found.set_index(people[ID])


def as_numbers(traits: pd.DataFrame, covariates: Sequence[str]) -> pd.DataFrame:
    """Make a covariate float64 if all its known cells are finite numbers, else text.

    Examples
    --------
    >>> traits = pd.DataFrame({"age": ["9", None], "sex": ["F", "1"]})
    >>> as_numbers(traits, ["age", "sex"]).dtypes.tolist()
    [dtype('float64'), dtype('O')]
    """
    typed = traits.copy()
    for name in covariates:
        numbers = pd.to_numeric(traits[name], errors="coerce")
        is_known = traits[name].notna()
        if np.isfinite(numbers[is_known]).all():
            typed[name] = numbers.astype(np.float64)
        else:
            typed[name] = traits[name].map(str, na_action="ignore").astype(object)
    return typed


def _stripped(values: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values.dtype) and values.dtype != bool:
        return values
    text = values.map(lambda cell: str(cell).strip(), na_action="ignore")
    return text.astype(object).where(text.notna() & ~text.isin(BLANK), np.nan)


def need_columns(out: Path, people: pd.DataFrame, covariates: Sequence[str]) -> None:
    """Refuse people to be predicted whose table lacks a covariate of the model.

    Raises
    ------
    InputError
        The message names the columns that are not there.
    """
    absent = [name for name in covariates if name not in people]
    if absent:
        has = [str(name) for name in people if name != ID]
        raise InputError(
            f"{out / 'participants.tsv'}: no column {', '.join(absent)}, which the"
            f" model's harmonization needs; there are: {', '.join(has) or 'none'}."
            " Add it, named and coded as for the people the model learned from."
        )


def missing_cells(
    traits: pd.DataFrame, covariates: Sequence[str], missing: str
) -> dict[str, str]:
    """Return who is left out for want of a covariate: nobody but under 'drop'."""
    if missing != "drop":
        return {}
    return {
        str(person): f"no {name} in participants.tsv (--missing drop)"
        for name in reversed(covariates)
        for person in traits.index[as_numbers(traits, covariates)[name].isna()]
    }


def check_covariates(
    traits: pd.DataFrame, label: pd.Series, covariates: Sequence[str], missing: str
) -> None:
    """Refuse covariates that say nothing, say the target, or lack cells.

    Parameters
    ----------
    traits : DataFrame of shape (n_people, ...), index participant_id
        As of ``as_numbers``, of the people who are studied.
    label : Series of shape (n_people,)
        What is predicted of them; its name is the target's.
    covariates : sequence of str
    missing : str
        ``--missing``; cells may be absent under 'impute-train-median' only.

    Raises
    ------
    InputError
        A cell is missing, a covariate has one value only, or it is text that
        differs between most people.
    ConfigError
        A covariate is the target under another name.
    """
    for name in covariates:
        lacking = traits.index[traits[name].isna()]
        if len(lacking) and missing == "error":
            raise InputError(
                f"participants.tsv: {len(lacking)} of {len(traits)} people have no"
                f" {name!r}, which --covariates names: {listed(lacking)}. Fill the"
                " cells, leave these people out with --missing drop, or use --missing"
                " impute-train-median."
            )
        values = traits[name].dropna()
        if values.nunique() < 2:
            shown = f"only the value {values.iloc[0]}" if len(values) else "no value"
            raise InputError(
                f"covariate {name!r} has {shown} among {len(traits)} people; it"
                " explains nothing. Leave it out of --covariates."
            )
        _refuse_free_text(values)
        _refuse_target(values, label.set_axis(traits.index)[values.index])


def _refuse_free_text(values: pd.Series) -> None:
    """Refuse text of too many values to be categories: numbers with a slip, often."""
    n_levels = values.nunique()
    if values.dtype != object or n_levels <= max(MOST_LEVELS, len(values) / 2):
        return
    words = values[~np.isfinite(pd.to_numeric(values, errors="coerce"))].unique()
    raise InputError(
        f"covariate {values.name!r} is text with {n_levels} values among"
        f" {len(values)} people; cells that are no numbers are"
        f" {', '.join(map(repr, words[:3]))}. Expected finite numbers"
        " in all cells, or a few categories. Mend the column, or leave it out."
    )


def _refuse_target(values: pd.Series, label: pd.Series) -> None:
    """Refuse a covariate from which the label can be read off.

    Parameters
    ----------
    values, label : Series of shape (n_known,)
    """
    n_labels = label.groupby(values).nunique()
    is_scale = len(n_labels) > min(MOST_LEVELS, len(values) / LEAST_SHARE)
    if label.nunique() < 2:
        found = f"is filled only for people with {label.name} {label.iloc[0]!r}"
    elif (n_labels == 1).all() and (len(n_labels) == 2 or not is_scale):
        pairs = label.groupby(values).first().head(3).items()
        shown = ", ".join(f"{value} is always {one}" for value, one in pairs)
        found = f"gives {label.name} away ({shown})"
    else:
        return
    raise ConfigError(
        f"covariate {values.name!r} {found}: it is the target under another name,"
        " and harmonization that knows the target writes it into the features of the"
        " people to be tested (a leak). Leave it out of --covariates."
    )
