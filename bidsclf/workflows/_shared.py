"""What every worker of an analysis reads: people, their traits, folds, labels."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.checks import from_plain, to_plain
from bidsclf.cohort import Cohort
from bidsclf.config import Config, HarmonizeConfig
from bidsclf.errors import InputError
from bidsclf.evaluate.permutation import label_permutations
from bidsclf.files import status, store
from bidsclf.files.people import ID
from bidsclf.folds import PARTS, Fold
from bidsclf.models._base import find
from bidsclf.models._settings import read_settings, restored
from bidsclf.workflows import _persons, _source

PEOPLE, PERMUTED = "people.json", "permuted.npy"


def share(
    work: Path,
    seam: Path,
    cohort: Cohort,
    folds: list[Fold],
    how: Config,
    source: Cohort | None = None,
) -> None:
    """Write what every fit reads, and the permuted labels where they are asked for.

    Parameters
    ----------
    work, seam : Path
        Work folder of the analysis, and seam 1.
    cohort : Cohort
    folds : list of Fold
        Those to be tested, then the one of everyone.
    how : Config
    source : Cohort or None
        People outside the study, of whom some models learn first.
    """
    people, models = cohort.people, how.analysis.models
    inputs = sorted({find(model).input for model in models})
    values = {
        "participant_id": people["participant_id"].tolist(),
        "person": _persons.person_digests(seam, people["participant_id"]),
        "site": people["site"].astype(str).tolist(),
        "y": people["y"].tolist(),
        "rows": cohort.rows.tolist(),
        "scans": scans_digest(cohort),
        "labels": {str(value): label for value, label in cohort.labels.items()},
        "runs": how.cohort.runs,
        "traits": {name: plain(cohort.traits[name]) for name in cohort.traits},
        "harmonize": to_plain(how.harmonize),
        "missing": how.cohort.missing,
        "settings": {m: read_settings(m, how.analysis.settings) for m in models},
        "described": {name: cohort.describe(name) for name in inputs},
        "folds": [
            {"repeat": fold.repeat, "fold": fold.fold}
            | {part: getattr(fold, part).tolist() for part in PARTS}
            for fold in folds
        ],
    }
    if source is not None:
        values["source"] = _source.described(source, seam, models)
    store.write_json(work / PEOPLE, values)
    if n_permutations := how.analysis.n_refit_permutations:
        y = people["y"].to_numpy(int)
        cells = cells_of(values["site"], folds)
        permuted = label_permutations(y, cells, n=n_permutations, seed=how.folds.seed)
        with store.atomic(work / PERMUTED) as partial:
            np.save(partial, permuted, allow_pickle=False)


def scans_digest(cohort: Cohort) -> str:
    """Return a hash of whose scans are read in which order, and of their files."""
    files = cohort.paths()
    order = {"people": cohort.files[ID].tolist(), "rows": cohort.rows.tolist()}
    return status.unit_key(order | {"files": [path.name for path in files]}, files)


def cells_of(site: Sequence[str], folds: Iterable[Fold]) -> np.ndarray:
    """Return the people among whom labels change places: of one site and test fold.

    Permuted within the test folds of repeat 1 as well, the labels leave each fold as
    stratified as it was, so that a null fold is as hard to learn as the real one.

    Examples
    --------
    >>> nobody = np.empty(0, int)
    >>> folds = [
    ...     Fold(1, 1, np.array([1]), nobody, np.array([0])),
    ...     Fold(1, 2, np.array([0]), nobody, np.array([1])),
    ... ]
    >>> cells_of(["NYU", "NYU"], folds).tolist()
    ['NYU/1', 'NYU/2']
    """
    tested = np.zeros(len(site), int)
    for fold in folds:
        if fold.repeat == 1:
            tested[fold.test] = fold.fold
    return np.array(
        [f"{name}/{fold}" for name, fold in zip(site, tested, strict=True)], object
    )


def plain(values: pd.Series) -> list[Any]:
    """Return cells as JSON; a missing one is null, whatever the column's kind."""
    return [None if pd.isna(value) else value for value in values.tolist()]


def read(work: Path) -> dict[str, Any]:
    """Return the values that ``share`` wrote."""
    values: dict[str, Any] = store.read_json(work / PEOPLE)
    return values


def read_permuted(work: Path) -> np.ndarray:
    """Return the permuted labels, int8 of shape (n_permutations, n_people)."""
    try:
        permuted: np.ndarray = np.load(work / PERMUTED, allow_pickle=False)
    except OSError as error:
        raise InputError(
            f"{work / PERMUTED}: not readable ({error}); the group level writes it"
            " before it fits. Run it again."
        ) from error
    return permuted


def traits_of(values: dict[str, Any]) -> pd.DataFrame:
    """Return site, covariates and group of everyone, as the cohort had them."""
    return pd.DataFrame(values["traits"])


def harmonize_of(values: dict[str, Any]) -> HarmonizeConfig:
    """Return how site effects are removed."""
    return from_plain(HarmonizeConfig, values["harmonize"])


def settings_of(values: dict[str, Any], model: str) -> dict[str, Any]:
    """Return what is changed of a model, as its ``make`` takes it."""
    return restored(values["settings"][model])


def fold_of(values: dict[str, Any], number: int) -> Fold:
    """Return one of the folds that ``share`` wrote."""
    given = values["folds"][number]
    parts = {part: np.array(given[part], int) for part in PARTS}
    return Fold(repeat=given["repeat"], fold=given["fold"], **parts)


def traits_table(cohort: Cohort) -> pd.DataFrame:
    """Return traits.tsv: what is known of each person studied, beside the features.

    Parameters
    ----------
    cohort : Cohort

    Returns
    -------
    traits : DataFrame of shape (n_people, ...)
        participant_id, site, age, sex, mean_fd (mm, mean over runs), n_volumes (sum
        over runs), then covariates and the group; NaN where it is not known, and no
        column where it is not known of anyone.
    """
    table = cohort.people[["participant_id", "site"]].copy()
    for name in ("phenotype", "motion"):
        known = _table_or_none(cohort, name)
        if known is not None:
            table = table.join(known.dropna(axis="columns", how="all"))
    more = [name for name in cohort.traits if name not in table]
    return table.join(cohort.traits[more])


def _table_or_none(cohort: Cohort, name: str) -> pd.DataFrame | None:
    """Return a row a person of an input that is a table; None where there is none."""
    try:
        table: pd.DataFrame = cohort.load(name)
    except InputError:
        return None
    by_person = table.groupby(cohort.rows)
    if name == "motion":
        volumes = by_person["n_volumes"].sum(min_count=1)
        return pd.DataFrame(
            {"mean_fd": by_person["mean_fd"].mean(), "n_volumes": volumes}
        )
    return by_person.first()
