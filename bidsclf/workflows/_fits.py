"""One fit, from prepared rows to scores and a bundle; and all fits to tables."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.checks import from_plain
from bidsclf.cohort import Cohort, build_cohort
from bidsclf.config import CohortConfig, Config
from bidsclf.crossval import DESCRIPTION, WEIGHTS, Recipe, fit_fold, save_bundle
from bidsclf.errors import FitError, InputError
from bidsclf.evaluate.comparison import comparisons_table
from bidsclf.evaluate.metrics import metrics_table
from bidsclf.files import store
from bidsclf.folds import Fold
from bidsclf.models._base import find, prepare_key, prepared
from bidsclf.models._device import device_of
from bidsclf.models._rows import load_rows, row_digests, save_rows
from bidsclf.workflows import _analysis, _persons, _run

PEOPLE, DIGESTS = "people.json", "digests.json"
TEXT = ("participant_id", "site", "model")
PARTS = ("train", "valid", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """All that a worker needs for one fit.

    Attributes
    ----------
    unit : str
    model : str
        As ``--models`` names it.
    number : int
        Which of the folds that ``share`` wrote.
    seed : int
    device : str
    bundle : str
        Folder of the fitted model.
    """

    unit: str
    model: str
    number: int
    seed: int
    device: str
    bundle: str


def plan(config: Config, folds: list[Fold]) -> list[FitJob]:
    """Return a fit for each model and fold, and one on everyone."""
    folder = _analysis.folder_of(config).absolute() / "models"
    jobs = []
    for model in config.analysis.models:
        names = [_fold_name(fold, config.folds.repeats) for fold in folds]
        for number, name in enumerate([*names, "final"]):
            jobs.append(
                FitJob(
                    unit=f"{model}_{name}",
                    model=model,
                    number=number,
                    seed=config.folds.seed,
                    device=device_of(model, config.analysis.device),
                    bundle=str(folder / model / name),
                )
            )
    return jobs


def _fold_name(fold: Fold, n_repeats: int) -> str:
    repeat = f"repeat-{fold.repeat:02d}_" if n_repeats > 1 else ""
    return f"{repeat}fold-{fold.fold:02d}"


def products(jobs: Iterable[FitJob]) -> list[str]:
    """Return the files of a whole analysis, relative to its folder."""
    bundles = [Path(*Path(job.bundle).parts[-3:]) for job in jobs]
    return [f"{name}.tsv" for name in _analysis.TABLES] + [
        str(folder / name) for folder in bundles for name in (WEIGHTS, DESCRIPTION)
    ]


def share(
    work: Path, seam: Path, cohort: Cohort, folds: list[Fold], how: dict[str, Any]
) -> None:
    """Write what every fit reads: people, rows, labels, folds, features.

    Parameters
    ----------
    work, seam : Path
    cohort : Cohort
    folds : list of Fold
    how : dict
        ``models``, and ``runs`` as ``--runs`` says.
    """
    inputs = sorted({find(model).input for model in how["models"]})
    values = {
        "participant_id": cohort.people["participant_id"].tolist(),
        "person": _persons.person_digests(seam, cohort.people["participant_id"]),
        "site": cohort.people["site"].astype(str).tolist(),
        "y": cohort.people["y"].tolist(),
        "rows": cohort.rows.tolist(),
        "labels": {str(value): label for value, label in cohort.labels.items()},
        "runs": how["runs"],
        "described": {name: cohort.describe(name) for name in inputs},
        "folds": [
            {"repeat": fold.repeat, "fold": fold.fold}
            | {part: getattr(fold, part).tolist() for part in PARTS}
            for fold in folds
        ],
    }
    store.write_json(work / PEOPLE, values)


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
    cohort = build_cohort(out, from_plain(CohortConfig, config))
    loaded = cohort.load(find(model).input)
    folder = work / "rows" / prepare_key(model)
    save_rows(folder, prepared(model, loaded))
    return [store.write_json(folder / DIGESTS, row_digests(loaded))]


def fit(work: Path, job: FitJob) -> list[Path]:
    """Fit one model on one fold; write its bundle, then its scores."""
    shared = store.read_json(work / PEOPLE)
    folder = work / "rows" / prepare_key(job.model)
    if not (folder / DIGESTS).exists():
        raise InputError(f"{job.model}: its input was not prepared; see that unit.")
    given = shared["folds"][job.number]
    parts = {part: np.array(given[part], int) for part in PARTS}
    fold = Fold(repeat=given["repeat"], fold=given["fold"], **parts)
    y, rows = np.array(shared["y"]), np.array(shared["rows"])
    recipe = Recipe(variant=job.model, seed=job.seed, device=job.device)
    found = fit_fold(load_rows(folder), y, rows, fold, recipe)
    if not np.isfinite(found.scores).all():
        raise FitError(f"{job.unit}: {np.isnan(found.scores).sum()} scores are NaN.")
    learned = np.concatenate([fold.train, fold.valid])
    described = shared["described"][find(job.model).input]
    digests = store.read_json(folder / DIGESTS) if "regions" in described else None
    context = {
        "labels": shared["labels"],
        "feature": described,
        "runs": shared["runs"],
        "repeat": fold.repeat,
        "fold": fold.fold,
        "seed": job.seed,
        "notes": found.notes,
        "training": _persons.training(shared, digests, learned),
    }
    path = save_bundle(
        Path(job.bundle), found.model, variant=job.model, context=context
    )
    values = {"scores": found.scores.tolist(), "notes": found.notes}
    bundle = [path, path.with_name(WEIGHTS)]
    return [store.write_json(_scores(work, job.unit), values), *bundle]


def _scores(work: Path, unit: str) -> Path:
    return work / "scores" / f"{unit}.json"


def merge(
    work: Path, analysis: Path, jobs: list[FitJob], settings: dict[str, Any]
) -> list[Path]:
    """Join the scores of all fits, measure and compare, and finish analysis.json.

    Parameters
    ----------
    work, analysis : Path
    jobs : list of FitJob
        Those of models that did not fail.
    settings : dict
        ``n_bootstrap``, ``seed``, and ``about``: more of analysis.json.
    """
    if not jobs:
        about = store.read_json(analysis / _analysis.ABOUT) | settings["about"]
        store.write_json(analysis / _analysis.ABOUT, about)
        raise FitError("every model failed; there is nothing to measure.")
    shared = store.read_json(work / PEOPLE)
    found = {job.unit: store.read_json(_scores(work, job.unit)) for job in jobs}
    predictions = pd.concat(
        [_rows(shared, job, found[job.unit]["scores"]) for job in jobs],
        ignore_index=True,
    )
    how = {"n_bootstrap": settings["n_bootstrap"], "seed": settings["seed"]}
    written = [_analysis.write_table(analysis / "predictions.tsv", predictions)]
    predictions = store.read_table(written[0], text=TEXT)  # what a reviewer reads
    tables = {
        "metrics": metrics_table(predictions, **how),
        "comparisons": comparisons_table(predictions),
    }
    written += [
        _analysis.write_table(analysis / f"{name}.tsv", table)
        for name, table in tables.items()
    ]
    finished = _run.now().isoformat()
    about = store.read_json(analysis / _analysis.ABOUT) | settings["about"]
    about |= {"finished": finished, "input_digest": _digests(work)}
    about["notes"] = [asdict(job) | {"notes": found[job.unit]["notes"]} for job in jobs]
    for note in about["notes"]:
        note.pop("bundle")
    return [*written, store.write_json(analysis / _analysis.ABOUT, about)]


def _rows(shared: dict[str, Any], job: FitJob, scores: list[float]) -> pd.DataFrame:
    fold = shared["folds"][job.number]
    test = fold["test"]
    return pd.DataFrame(
        {
            "participant_id": [shared["participant_id"][row] for row in test],
            "site": [shared["site"][row] for row in test],
            "model": job.model,
            "repeat": fold["repeat"],
            "fold": fold["fold"],
            "truth": [shared["y"][row] for row in test],
            "score": scores,
        }
    )


def _digests(work: Path) -> dict[str, str]:
    """Return a hash of the content of each input."""
    return {
        path.parent.name: sha256(path.read_bytes()).hexdigest()
        for path in sorted((work / "rows").glob(f"*/{DIGESTS}"))
    }
