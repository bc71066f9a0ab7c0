"""What latent spaces mean: tables of traits, kinds of people and pictures of them.

From latents.tsv, cohort.tsv and analysis.json of an analysis: nothing here needs a
fit or the features again, and no fit depends on it.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bidsclf.cohort import Cohort
from bidsclf.config import Config
from bidsclf.errors import ConfigError
from bidsclf.files import store
from bidsclf.files.people import ID, column_of
from bidsclf.interpret import latent
from bidsclf.interpret.latent import LEAST, Trait, read_trait
from bidsclf.models._base import find
from bidsclf.workflows import _analysis
from bidsclf.workflows._latent import EVERYONE

WAY = "latent"  # of Variant.explained
TABLES = ("rsa", "silhouette")  # those that traits change
OURS = ("included", "reason", ID, "y", "label", "n_runs", "n_missing_regions", "group")
NAMES = ("site", "sex")  # whose numbers are names
MOST_KINDS = 20  # of a category that is taken unasked; ours
IS_ID = re.compile(r"(^|[^a-z])(id|index|key|code|number|no)s?$|[a-z]ID$")
COLUMNS = {
    "rsa": "model fit space trait kind n tau p p_holm",
    "silhouette": "model fit space trait kind n silhouette p p_holm",
    "mixture": "model fit space n_components shape n_axes bic apart is_best",
    "plane": f"model fit space {ID} pca_1 pca_2 umap_1 umap_2",
}
NUMBERED = re.compile(r"(.+)_\d{2,}")  # the columns of latents.tsv that are a space


class Fit(NamedTuple):
    """The patients of one fit, and where they lie.

    Attributes
    ----------
    model, name : str
        ``name`` is 'everyone' or 'crossfitted'.
    who : Series of str
    blocks : int array of shape (n_people,)
        The fold of each.
    spaces : {name: float array of shape (n_people, d)}
    """

    model: str
    name: str
    who: pd.Series
    blocks: np.ndarray
    spaces: dict[str, np.ndarray]


def check(config: Config, cohort: Cohort) -> None:
    """Refuse columns that are not there, and traits that nothing looks for.

    Raises
    ------
    ConfigError
        ``--traits`` names an unknown column, or no model has a latent space.
    """
    asked, models = config.interpret.traits, config.analysis.models
    if asked and not any(WAY in find(model).explained for model in models):
        raise ConfigError(
            f"--traits is {' '.join(asked)} and none of --models {' '.join(models)} has"
            " a latent space to look for them in. Give one that has, such as cvae, or"
            " leave it out."
        )
    known = cohort.people.drop(columns=[n for n in OURS if n in cohort.people])
    for name in asked:
        column_of(known, name, "--traits")


def chosen(
    people: pd.DataFrame, asked: Sequence[str], about: dict[str, Any]
) -> tuple[list[Trait], dict[str, str]]:
    """Return the traits that are looked for, and why other columns are not.

    Parameters
    ----------
    people : DataFrame
        Rows of cohort.tsv of patients, every cell as text.
    asked : sequence of str
        Columns to take, whatever is in them; where it is empty, all that can be used.
    about : dict
        analysis.json.

    Returns
    -------
    traits : list of Trait
    left : {column: reason}
    """
    how = about["settings"]["cohort"]
    no = {*OURS, how.get("target"), how.get("group_column"), how.get("site_column")}
    no -= {"site"}
    read = partial(_read, people, how.get("site_column"))
    if asked:
        return [read(name) for name in asked if name in people], {}
    traits, left = [], {}
    for trait in map(read, (name for name in people if name not in no)):
        if why := _unfit(trait):
            left[trait.name] = why
        else:
            traits.append(trait)
    return traits, left


def _read(people: pd.DataFrame, site: str | None, name: str) -> Trait:
    is_category = name in (site, *NAMES)
    return read_trait(name, people[name], is_category=is_category)


def _unfit(trait: Trait) -> str:
    """Return why a column is not taken unasked; '' if it is."""
    told = trait.values[trait.known]
    n_kinds = len(np.unique(told))
    if len(told) < LEAST:
        return f"known of {len(told)} patients, fewer than {LEAST}"
    if n_kinds == 1:
        return "the same in all patients"
    if trait.is_number:
        is_name = n_kinds == len(told) and (told == told.round()).all()
        return "a name of people" if is_name and IS_ID.search(trait.name) else ""
    if n_kinds > min(MOST_KINDS, len(told) // 2):
        return f"{n_kinds} different words in {len(told)} patients"
    return ""


def fits(analysis: Path, about: dict[str, Any]) -> Iterator[Fit]:
    """Yield the patients of each model and fit of latents.tsv."""
    text = (*_analysis.TEXT, "label", "fit")
    table = store.read_table(analysis / "latents.tsv", text=text)
    table = table[table["label"] == str(about["labels"]["1"])]
    for (model, fit), rows in table.groupby(["model", "fit"], sort=False):
        known = rows.dropna(axis="columns", how="all")
        columns = [name for name in known if NUMBERED.fullmatch(str(name))]
        names = dict.fromkeys(str(name).rpartition("_")[0] for name in columns)
        spaces = {
            space: known[[c for c in columns if c.startswith(f"{space}_")]].to_numpy()
            for space in names
        }
        who = known[ID].reset_index(drop=True)
        yield Fit(model, fit, who, known["fold"].to_numpy(int), spaces)


def of_traits(
    name: str, analysis: Path, *, n_permutations: int, seed: int
) -> pd.DataFrame:
    """Return rsa.tsv or silhouette.tsv of all models and fits.

    Parameters
    ----------
    name : {'rsa', 'silhouette'}
    analysis : Path
        With latents.tsv, cohort.tsv and analysis.json, which says what is asked for.
    n_permutations, seed : int

    Returns
    -------
    table : DataFrame
        ``attrs`` says in words of the column 'trait' which columns were left out.
    """
    about = store.read_json(analysis / _analysis.ABOUT)
    cohort = store.read_table(analysis / "cohort.tsv", text=True).set_index(ID)
    asked = about.get("interpret", {}).get("traits", [])
    measure = latent.similarities if name == "rsa" else latent.silhouettes
    parts, missing = [], {}
    for one in fits(analysis, about):
        traits, left = chosen(cohort.loc[one.who].reset_index(), asked, about)
        missing |= left
        if not traits:
            continue
        table = measure(
            one.spaces,
            traits,
            n_permutations=n_permutations,
            seed=seed,
            blocks=None if one.name == EVERYONE else one.blocks,
        )
        parts.append(_placed(table, model=one.model, fit=one.name))
    found = pd.concat(parts, ignore_index=True) if parts else _empty(name)
    found.attrs["trait"] = {"LeftOut": missing}
    return found


def of_spaces(name: str, analysis: Path, *, seed: int) -> pd.DataFrame:
    """Return mixture.tsv or plane.tsv of the models fitted on everyone.

    Networks of different folds have spaces of their own, so that people of several
    folds cannot be drawn or counted together.
    """
    about = store.read_json(analysis / _analysis.ABOUT)
    parts = []
    for one in fits(analysis, about):
        if one.name != EVERYONE or len(one.who) < LEAST:
            continue
        for space, values in one.spaces.items():
            where = {"model": one.model, "fit": one.name, "space": space}
            if name == "mixture":
                table = latent.mixtures(values, seed=seed).astype({"is_best": int})
                parts.append(_placed(table, **where))
            else:
                table = latent.planes(values, seed=seed)
                parts.append(_placed(table, **where, **{ID: one.who}))
    return pd.concat(parts, ignore_index=True) if parts else _empty(name)


def _placed(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    """Return a table with columns that say of what it is, in front."""
    for at, (name, value) in enumerate(where.items()):
        table.insert(at, name, value)
    return table


def _empty(name: str) -> pd.DataFrame:
    return pd.DataFrame(columns=COLUMNS[name].split())
