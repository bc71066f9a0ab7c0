"""What a reader should know of the folds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bidsclf.config import FoldConfig
from bidsclf.folds.fold import Fold, checked, sites_of
from bidsclf.folds.given import strangers
from bidsclf.folds.schemes import strata

SHOWN = 5  # names in a note


def notes(
    folds: Sequence[Fold], people: pd.DataFrame, config: FoldConfig | None = None
) -> list[str]:
    """Say what the folds cannot do: lone classes, sites of one class or few people.

    Parameters
    ----------
    folds : sequence of Fold
    people : DataFrame
        As given to ``make_folds``.
    config : FoldConfig or None
        None leaves out what depends on the scheme.

    Returns
    -------
    said : list of str
        Sentences, none where there is nothing to say.
    """
    said = [*_one_class(folds, people), *_one_sided(people)]
    said += _left_out(folds, people)
    if config is None:
        return said
    if config.folds_file is not None:
        extra = strangers(people, config)
        if extra:
            said.append(
                f"{_some(extra)} of {config.folds_file.name} are not in the cohort;"
                " they take no part."
            )
    elif config.scheme == "kfold":
        said += _small_cells(people, config.n_folds)
    elif config.scheme == "bootstrap":
        said += _pooled(people)
    return said


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} people ({', '.join(names[:SHOWN])}{rest})"


def _one_class(folds: Sequence[Fold], people: pd.DataFrame) -> list[str]:
    """Say which folds cannot be judged alone: test parts of a single class."""
    truth, sites, said = people["y"].to_numpy(), sites_of(people), []
    for fold in folds:
        classes = np.unique(truth[fold.test])
        if len(classes) == 1:
            where = ", ".join(sorted(set(sites[fold.test])))
            said.append(
                f"repeat {fold.repeat}, fold {fold.fold} ({where}): all"
                f" {len(fold.test)} test people are of class {classes[0]};"
                " the fold has no AUC of its own."
            )
    return said


def _one_sided(people: pd.DataFrame) -> list[str]:
    """Say at which sites everyone is of one class: site and class are one there."""
    classes = people["y"].groupby(sites_of(people)).agg(["nunique", "first", "size"])
    alone = classes[classes["nunique"] == 1].sort_index()
    shown = ", ".join(
        f"{site} ({row['size']} of class {row['first']})"
        for site, row in alone.iterrows()
    )
    if alone.empty or len(classes) == 1:
        return []
    return [
        f"sites of one class only: {shown}. There class and site cannot be told"
        " apart: the site itself tells the class to a model, harmonization takes"
        " what the class does for an effect of the site, and no pair within the"
        " site compares the classes."
    ]


def _left_out(folds: Sequence[Fold], people: pd.DataFrame) -> list[str]:
    """Say who is in no part of a fold, and who is tested in none."""
    ids, said = people["participant_id"].to_numpy(object), []
    for fold in folds:
        inside = np.concatenate([fold.train, fold.valid, fold.test])
        absent = np.setdiff1d(np.arange(len(ids)), inside)
        if len(absent):
            said.append(
                f"repeat {fold.repeat}, fold {fold.fold}: {_some(sorted(ids[absent]))}"
                " are in no part: relatives of people tested here, or left out by the"
                " file of folds."
            )
    tested = np.concatenate([np.empty(0, int), *(fold.test for fold in folds)])
    never = np.setdiff1d(np.arange(len(ids)), tested)
    if len(never) and len(tested):
        said.append(f"{_some(sorted(ids[never]))} are tested in no fold.")
    return said


def _small_cells(people: pd.DataFrame, n_folds: int) -> list[str]:
    """Say which sites are too small to be in every test part, or to be stratified."""
    table, said = checked(people), []
    sizes = table["site"].value_counts().sort_index()
    small = sizes[sizes < n_folds]
    if len(small):
        shown = ", ".join(f"{site} ({n})" for site, n in small.items())
        said.append(
            f"sites with fewer people than the {n_folds} folds: {shown}; they are"
            " tested in some of the folds only."
        )
    cells = table.groupby(["site", "y"]).size()
    alone = [f"{site}, class {y}" for (site, y), n in cells.items() if n == 1]
    if alone:
        said.append(
            f"one person alone of a site and class: {'; '.join(alone)}; when that"
            " person is tested, nobody like that is learned from."
        )
    return said


def _pooled(people: pd.DataFrame) -> list[str]:
    """Say which cells of the bootstrap were too small to be drawn alone."""
    table = checked(people)
    first = table.groupby("unit").first()
    own = (first["kind"] + "|" + first["site"]).to_numpy(object)
    moved = first.loc[own != strata(table), "id"].tolist()
    if not moved:
        return []
    return [
        f"{_some(sorted(moved))} are alone of their site and class; they are drawn"
        " together with those alone at other sites, since a cell of one would be"
        " drawn every time."
    ]
