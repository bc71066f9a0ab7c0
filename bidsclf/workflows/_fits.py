"""The work of a node: prepare an input, fit a fold, permute it, screen an input."""

import logging
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bidsclf.checks import from_plain
from bidsclf.cohort import build_cohort
from bidsclf.config import CohortConfig
from bidsclf.crossval import (
    FitResult,
    Recipe,
    fit_fold,
    names_of,
    permute_fold,
    save_bundle,
)
from bidsclf.errors import BidsclfError, FitError, InputError
from bidsclf.files import store
from bidsclf.folds import Fold
from bidsclf.harmonize import make
from bidsclf.models._base import find, prepare_key, prepared
from bidsclf.models._harmonized import to_features
from bidsclf.models._rows import load_rows, row_digests, save_rows
from bidsclf.models._volumes import Volumes
from bidsclf.screening import screen as screened
from bidsclf.workflows import _analysis, _explain, _persons, _shared, _source
from bidsclf.workflows._jobs import Job

LOG = logging.getLogger("bidsclf")
DIGESTS = "digests.json"
SCREENED = ("sites", "site_map", "qcfc")  # tables of a screening


def prepare(work: Path, out: Path, config: dict[str, Any], model: str) -> list[Path]:
    """Load an input, do the work that all folds share, and keep it in the work folder.

    Parameters
    ----------
    work, out : Path
        Work folder of the analysis, and seam 1.
    config : dict
        The CohortConfig, plain.
    model : str
        One of the models that take these rows.
    """
    settings: CohortConfig = from_plain(CohortConfig, config)
    shared = _shared.read(work)
    cohort = build_cohort(out, settings, shared["described"])
    if _shared.scans_digest(cohort) != shared["scans"]:
        raise InputError(
            "the people or the scans that are read changed while the models were"
            " fitted: files were added, taken away, written again or damaged. Run it"
            " again."
        )
    loaded = cohort.load(find(model).input)
    folder = _rows_of(work, model)
    rows = prepared(model, loaded)
    save_rows(folder, rows)
    read = load_rows(folder) if isinstance(rows, Volumes) else loaded  # it has digests
    if settings.source is not None:
        _source.prepare(folder, out, settings, cohort, shared["source"], model)
    return [store.write_json(folder / DIGESTS, row_digests(read))]


def _rows_of(work: Path, model: str) -> Path:
    return work / "rows" / prepare_key(model)


def _open_rows(work: Path, job: Job) -> Any:
    folder = _rows_of(work, job.model)
    if not (folder / DIGESTS).exists():
        raise InputError(f"{job.model}: its input was not prepared; see that unit.")
    return load_rows(folder, job.cache)


def digests_of(work: Path, model: str) -> list[str]:
    """Return a hash a row of the input of a model; nothing if it was not prepared."""
    path = _rows_of(work, model) / DIGESTS
    digests: list[str] = store.read_json(path) if path.exists() else []
    return digests


def _recipe(work: Path, job: Job, shared: dict[str, Any]) -> Recipe:
    return Recipe(
        variant=job.model,
        seed=job.seed,
        device=job.device,
        harmonize=_shared.harmonize_of(shared),
        missing=shared["missing"],
        settings=_shared.settings_of(shared, job.model),
        source=_source.rows_of(_rows_of(work, job.model), shared, job.model),
    )


def do(work: Path, analysis: Path, job: Job) -> list[Path]:
    """Do a job, and return the files it wrote."""
    if job.kind == "screen":
        return screen(work, analysis, job)
    if job.kind == "tensor":
        x, shared = _open_rows(work, job), _shared.read(work)
        return _explain.keep(work, job.unit, _explain.tensor(x, job, shared))
    return permute(work, job) if job.kind == "permute" else fit(work, job)


def fit(work: Path, job: Job) -> list[Path]:
    """Fit one model on one fold; write its bundle if it is kept, then its scores."""
    x, shared = _open_rows(work, job), _shared.read(work)
    fold = _shared.fold_of(shared, job.number)
    unfinished = checkpoints_of(work, job.unit)
    recipe = replace(_recipe(work, job, shared), checkpoint=unfinished)
    found = fit_fold(
        x,
        np.array(shared["y"]),
        np.array(shared["rows"]),
        fold,
        recipe,
        traits=_shared.traits_of(shared),
    )
    _refuse_nan(job.unit, found)
    kept: list[Path] = []
    if job.bundle:
        context = _context(work, job, shared, fold) | {"notes": found.notes}
        folder = Path(job.bundle)
        save_bundle(
            folder,
            found.fitted,
            variant=job.model,
            context=context,
            made_with=recipe.settings,
        )
        is_harmonized = found.harmonizer is not None
        names = names_of(is_harmonized=is_harmonized, n_members=job.members)
        kept = [folder / name for name in names]
    values = _said(found)
    path = store.write_json(scores_of(work, job.unit), values)
    explained, fault = _explained(work, job, found, x, shared)
    if fault:
        notes = found.notes | {"not_explained": fault}
        store.write_json(path, values | {"notes": notes})
    shutil.rmtree(unfinished, ignore_errors=True)
    return [path, *kept, *explained]


def _said(found: FitResult) -> dict[str, Any]:
    """Return what a fit says of test people, as JSON values."""
    values = {
        "score": found.scores.tolist(),
        "probability": found.probabilities.tolist(),
        "harmonized": found.harmonized.tolist(),
        "notes": found.notes,
    }
    if found.before is not None:
        values["before"] = found.before.tolist()
    return values


def _explained(
    work: Path, job: Job, found: FitResult, x: Any, shared: dict[str, Any]
) -> tuple[list[Path], str]:
    """Keep what a fit looks at; else return why, for the fit counts all the same."""
    try:
        return _explain.keep(work, job.unit, _explain.look(job, found, x, shared)), ""
    except BidsclfError as error:
        fault = str(error)
    except Exception as error:  # a trained fold is worth more than its explanation
        LOG.exception("%s is fitted, but cannot be explained", job.unit)
        fault = f"{error!r}. This is a fault of bidsclf: report it."
    return _explain.keep(work, job.unit, {}), fault


def _refuse_nan(unit: str, found: FitResult) -> None:
    before = np.empty(0) if found.before is None else found.before
    every = np.concatenate([found.scores, found.probabilities, before])
    _refuse_nan_in(unit, every)


def _refuse_nan_in(unit: str, scores: np.ndarray) -> None:
    if not np.isfinite(scores).all():
        raise FitError(
            f"{unit}: {(~np.isfinite(scores)).sum()} scores are not finite; a model"
            " says a number of everyone. This is no fault of the settings: report it."
        )


def _context(
    work: Path, job: Job, shared: dict[str, Any], fold: Fold
) -> dict[str, Any]:
    """Return what a bundle says of the people and features behind it."""
    described = shared["described"][find(job.model).input]
    digests = None
    if "shape" in described:
        digests = digests_of(work, job.model)
    learned = np.concatenate([fold.train, fold.valid])
    return {
        "labels": shared["labels"],
        "feature": described,
        "runs": shared["runs"],
        "repeat": fold.repeat,
        "fold": fold.fold,
        "seed": job.seed,
        "training": [
            *_persons.training(shared, digests, learned),
            *_source.training(_rows_of(work, job.model), shared, job.model),
        ],
    }


def checkpoints_of(work: Path, unit: str) -> Path:
    """Return the folder of what an unfinished fit has learned so far."""
    return work / "checkpoints" / unit


def scores_of(work: Path, unit: str) -> Path:
    """Return the file of the scores of one fit."""
    return work / "scores" / f"{unit}.json"


def permute(work: Path, job: Job) -> list[Path]:
    """Fit a fold again for each permutation of the labels; keep the scores."""
    x, shared = _open_rows(work, job), _shared.read(work)
    fold = _shared.fold_of(shared, job.number)
    scores = permute_fold(
        x,
        _shared.read_permuted(work).astype(int),
        np.array(shared["rows"]),
        fold,
        _recipe(work, job, shared),
        traits=_shared.traits_of(shared),
    )
    _refuse_nan_in(job.unit, scores)
    path = null_of(work, job.unit)
    with store.atomic(path) as unfinished:
        np.save(unfinished, scores, allow_pickle=False)
    return [path]


def null_of(work: Path, unit: str) -> Path:
    """Return the file of the scores under permuted labels, (n_permutations, n_test)."""
    return work / "nulls" / f"{unit}.npy"


def screen(work: Path, analysis: Path, job: Job) -> list[Path]:
    """Measure how well an input tells sites apart, before and after harmonization."""
    shared = _shared.read(work)
    x = to_features(_open_rows(work, job))
    how = _shared.harmonize_of(shared)
    maker = partial(make, how, shared["missing"]) if how.method != "none" else None
    people = store.read_table(analysis / "traits.tsv", text=_analysis.TEXT)
    tables, notes = screened(
        x,
        np.array(shared["rows"]),
        _shared.traits_of(shared),
        people=people,
        make_harmonizer=maker,
        seed=job.seed,
    )
    key = prepare_key(job.model)
    folder = screening_of(work, job.unit)
    for table in tables.values():
        table.insert(0, "features", key)
    written = [
        store.write_table(folder / f"{name}.tsv", tables[name]) for name in SCREENED
    ]
    return [*written, store.write_json(folder / "notes.json", notes)]


def screening_of(work: Path, unit: str) -> Path:
    """Return the folder of the tables of a screening."""
    return work / "screening" / unit
