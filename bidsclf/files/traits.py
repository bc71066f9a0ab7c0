"""Covariates of people, and what makes one unfit to be harmonized with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bidsclf.errors import ConfigError, InputError
from bidsclf.files.people import BLANK, ID, column_of, listed

RESERVED = ("site", "group")  # columns of the traits that are no covariates
MOST_LEVELS = 10  # text with more values may be free text; ours
REFUSED = 0.95  # AUC of a covariate for the label: it is the target; ours
NOTED = 0.7  # AUC from which a reader should know of it; ours
LEAST = 5  # people of a class, below which any scale may rank them by chance; ours
ROUNDING = 1e-9  # an AUC is met in spite of it; ours


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
) -> list[str]:
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

    Returns
    -------
    notes : list of str
        A sentence for each covariate that tells much of the target.

    Raises
    ------
    InputError
        A cell is missing, a covariate has one value only, or it is text that
        differs between most people.
    ConfigError
        A covariate is the target under another name: alone it tells the
        classes apart with an AUC of 0.95 or more.
    """
    notes = []
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
        notes += _refuse_target(values, label.set_axis(traits.index)[values.index])
    return notes


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


def _told(values: pd.Series, label: pd.Series) -> float:
    """Return how well a covariate alone tells the two classes apart.

    Parameters
    ----------
    values, label : Series of shape (n_known,)

    Returns
    -------
    auc : float
        Of the value, in the better direction; or, where that is more, of a vote:
        whether the class is more frequent than usual among the others who have
        the same value. A value that nobody shares votes for neither, and
        a scale of more than two values ranks classes of five people or more.
    """
    is_one = label == label.iloc[0]
    others = is_one.groupby(values).transform("size") - 1
    alike = is_one.groupby(values).transform("sum") - is_one
    usual = (is_one.sum() - is_one) / (len(is_one) - 1)  # among the others too
    aucs = [_auc(np.sign(alike / others.where(others > 0) - usual), is_one)]
    may_rank = values.nunique() == 2 or label.value_counts().min() >= LEAST
    if values.dtype != object and may_rank:
        area = _auc(values, is_one)
        aucs += [area, 1 - area]
    return max(aucs)


def _auc(score: pd.Series, is_one: pd.Series) -> float:
    """Return the area under the ROC curve; a score that is NaN counts as 0."""
    n = int(is_one.sum())
    above = score.fillna(0).rank()[is_one].sum() - n * (n + 1) / 2
    return float(above / (n * (len(is_one) - n)))


def _refuse_target(values: pd.Series, label: pd.Series) -> list[str]:
    """Refuse a covariate from which the label can be read off; say what is near."""
    if label.nunique() < 2:
        found = f"is filled only for people with {label.name} {label.iloc[0]!r}"
    else:
        told = _told(values, label)
        found = f"alone tells {label.name} apart with an AUC of {told:.2f}"
        if told < NOTED - ROUNDING:
            return []
        if told < REFUSED - ROUNDING:
            return [
                f"covariate {values.name!r} {found}. Harmonization keeps its effect"
                " in the features, so that what models find may be this covariate."
                " Run without it as well."
            ]
    raise ConfigError(
        f"covariate {values.name!r} {found}: it is the target under another name,"
        " and harmonization that knows the target writes it into the features of the"
        " people to be tested (a leak). Leave it out of --covariates."
    )
