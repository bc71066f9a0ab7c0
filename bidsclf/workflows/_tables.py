"""The tables of an analysis: predictions first, and everything else from them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.errors import FitError
from bidsclf.evaluate.ablation import ablation_table, families_of
from bidsclf.evaluate.calibration import reliability_table
from bidsclf.evaluate.comparison import comparisons_table
from bidsclf.evaluate.confounds import confounds_table
from bidsclf.evaluate.embedding import embedding_table
from bidsclf.evaluate.experiment import experiment_table, roc_table
from bidsclf.evaluate.metrics import metrics_table
from bidsclf.evaluate.permutation import fixed_table, null_metrics, refit_table
from bidsclf.files import store
from bidsclf.models._base import find
from bidsclf.workflows import (
    _analysis,
    _explain,
    _fits,
    _jobs,
    _run,
    _shared,
    _traits,
)
from bidsclf.workflows._jobs import TableJob

OUTPUTS = MappingProxyType(  # what is made at once -> its files
    {
        "metrics": ("metrics",),
        "comparisons": ("comparisons",),
        "ablation": ("ablation",),
        "permutations": ("permutations", "nulls"),
        "calibration": ("calibration",),
        "experiment": ("experiment",),
        "roc": ("roc",),
        "confounds": ("confounds",),
        "screening": _fits.SCREENED,
        "embedding": ("embedding",),
        "learning": ("learning",),
        "attributions": ("attributions", "attribution_time", "patterns"),
        "maps": ("maps",),
        "communities": ("communities", "influence", "robustness"),
        "latents": ("latents",),
        "rsa": ("rsa",),
        "silhouette": ("silhouette",),
        "mixture": ("mixture",),
        "plane": ("plane",),
    }
)
AFTER = MappingProxyType(  # what is made of a table that has to stand before
    dict.fromkeys(("rsa", "silhouette", "mixture", "plane"), "latents")
)
SCORES = ("score", "probability", "harmonized", "before")


def names_of(jobs: list[_jobs.Job]) -> list[str]:
    """Return what tables follow from these jobs."""
    kinds = [find(job.model) for job in jobs]
    ways = {way for one in kinds for way in one.explained}
    is_made = {
        "screening": any(job.kind == "screen" for job in jobs),
        "ablation": bool(families_of(job.model for job in jobs)),
        "embedding": any(job.members for job in jobs),
        "learning": any(one.needs_valid or "n_epochs" in one.settings for one in kinds),
        "attributions": bool(ways - {"volume", "latent"}),
        "maps": "volume" in ways,
        "communities": "communities" in ways,
        **dict.fromkeys(("latents", *AFTER), "latent" in ways),
    }
    return [name for name in OUTPUTS if is_made.get(name, True)]


def files_of(jobs: list[_jobs.Job]) -> list[str]:
    """Return the tables of a whole analysis with these jobs, relative to its folder."""
    has_nulls = any(job.kind == "permute" for job in jobs)
    names = [*_analysis.FIRST, "predictions"]
    names += [file for name in names_of(jobs) for file in OUTPUTS[name]]
    return [f"{name}.tsv" for name in names if has_nulls or name != "nulls"]


def merge(
    work: Path, analysis: Path, jobs: list[_jobs.Job], about: dict[str, Any]
) -> list[Path]:
    """Join the scores of all fits to predictions.tsv.

    Parameters
    ----------
    work, analysis : Path
    jobs : list of Job
        The tested fits of models that did not fail.
    about : dict
        More of analysis.json, written here only where nothing can be measured.
    """
    if not jobs:
        known = store.read_json(analysis / _analysis.ABOUT)
        store.write_json(analysis / _analysis.ABOUT, known | about)
        raise FitError("every model failed; there is nothing to measure.")
    shared = _shared.read(work)
    found = {job.unit: store.read_json(_fits.scores_of(work, job.unit)) for job in jobs}
    predictions = pd.concat(
        [_rows(shared, job, found[job.unit]) for job in jobs], ignore_index=True
    )
    return [_analysis.write_table(analysis / "predictions.tsv", predictions)]


def _rows(
    shared: dict[str, Any], job: _jobs.Job, found: dict[str, Any]
) -> pd.DataFrame:
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
            **{name: found[name] for name in SCORES if name in found},
        }
    )


def make(job: TableJob) -> list[Path]:
    """Make tables and write them; those that stood there before go first."""
    for name in OUTPUTS[job.name]:
        for suffix in (".tsv", ".json"):
            Path(job.analysis, name + suffix).unlink(missing_ok=True)
    return [
        _analysis.write_table(Path(job.analysis, f"{name}.tsv"), table)
        for name, table in MAKERS[job.name](job).items()
    ]


def _metrics(job: TableJob) -> dict[str, pd.DataFrame]:
    people = job.read("traits")
    how = {"n_bootstrap": job.n_bootstrap, "seed": job.seed}
    return {"metrics": metrics_table(job.read("predictions"), people, **how)}


def _permutations(job: TableJob) -> dict[str, pd.DataFrame]:
    predictions = job.read("predictions")
    how = {"n_permutations": job.n_permutations, "seed": job.seed}
    fixed = fixed_table(predictions, **how)
    nulls = _nulls(job, set(predictions["model"]))
    if nulls is None:
        return {"permutations": fixed}
    both = pd.concat([fixed, refit_table(predictions, nulls)], ignore_index=True)
    return {"permutations": both, "nulls": nulls}


def _nulls(job: TableJob, models: set[str]) -> pd.DataFrame | None:
    """Return nulls.tsv: the folds of repeat 1 joined, under each permutation."""
    of_model: dict[str, list[_jobs.Job]] = {}
    for one in job.of_kind("permute"):
        of_model.setdefault(one.model, []).append(one)
    if not of_model:
        return None
    work, tables = Path(job.work), []
    shared, labels = _shared.read(work), _shared.read_permuted(work)
    for model in (name for name in of_model if name in models):
        tested = [shared["folds"][one.number]["test"] for one in of_model[model]]
        scores = [np.load(_fits.null_of(work, one.unit)) for one in of_model[model]]
        table = null_metrics(labels[:, np.concatenate(tested)], np.hstack(scores))
        table.insert(0, "model", model)
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else None


def _confounds(job: TableJob) -> dict[str, pd.DataFrame]:
    return {"confounds": confounds_table(job.read("predictions"), job.read("traits"))}


def _screening(job: TableJob) -> dict[str, pd.DataFrame]:
    return {name: _joined(job, name) for name in _fits.SCREENED}


def _joined(job: TableJob, name: str) -> pd.DataFrame:
    """Return one table of all inputs that were screened."""
    work, screens = Path(job.work), job.of_kind("screen")
    paths = [_fits.screening_of(work, one.unit) / f"{name}.tsv" for one in screens]
    tables = [store.read_table(path, text=_analysis.TEXT) for path in paths]
    filled = [table for table in tables if len(table)] or tables[:1]
    return pd.concat(filled, ignore_index=True)


def _learning(job: TableJob) -> dict[str, pd.DataFrame]:
    work = Path(job.work)
    notes = {
        one.unit: store.read_json(_fits.scores_of(work, one.unit))["notes"]
        for one in job.of_kind("fit")
    }
    return {"learning": _explain.learning_table(work, job.jobs, notes)}


def _of_traits(job: TableJob) -> dict[str, pd.DataFrame]:
    how = {"n_permutations": job.n_permutations, "seed": job.seed}
    return {job.name: _traits.of_traits(job.name, Path(job.analysis), **how)}


def _of_spaces(job: TableJob) -> dict[str, pd.DataFrame]:
    made = _traits.of_spaces(job.name, Path(job.analysis), seed=job.seed)
    return {job.name: made}


MAKERS: Mapping[str, Callable[[TableJob], dict[str, pd.DataFrame]]] = MappingProxyType(
    {
        "metrics": _metrics,
        "comparisons": lambda job: {
            "comparisons": comparisons_table(job.read("predictions"), job.read("folds"))
        },
        "ablation": lambda job: {"ablation": ablation_table(job.read("predictions"))},
        "permutations": _permutations,
        "calibration": lambda job: {
            "calibration": reliability_table(job.read("predictions"))
        },
        "experiment": lambda job: {
            "experiment": experiment_table(job.read("predictions"), job.read("folds"))
        },
        "roc": lambda job: {"roc": roc_table(job.read("predictions"))},
        "confounds": _confounds,
        "screening": _screening,
        "embedding": lambda job: {
            "embedding": embedding_table(
                job.read("predictions"), n_bootstrap=job.n_bootstrap, seed=job.seed
            )
        },
        "learning": _learning,
        "attributions": lambda job: _explain.attribution_tables(
            Path(job.work), job.jobs
        ),
        "maps": lambda job: _explain.map_tables(
            Path(job.work), Path(job.analysis), job.jobs
        ),
        "communities": lambda job: _explain.community_tables(Path(job.work), job.jobs),
        "latents": lambda job: _explain.latent_tables(
            Path(job.work), Path(job.analysis), job.jobs
        ),
        "rsa": _of_traits,
        "silhouette": _of_traits,
        "mixture": _of_spaces,
        "plane": _of_spaces,
    }
)


def finish(
    work: Path, analysis: Path, jobs: list[_jobs.Job], about: dict[str, Any]
) -> Path:
    """Write into analysis.json how it ended.

    Parameters
    ----------
    work, analysis : Path
    jobs : list of Job
        Those that were done.
    about : dict
        ``failed``, ``failed_tables``, ``fold_notes``, ``run_notes``.
    """
    fits = [job for job in jobs if job.is_test]
    noted = [
        {name: value for name, value in asdict(job).items() if name != "bundle"}
        | {"notes": store.read_json(_fits.scores_of(work, job.unit))["notes"]}
        for job in fits
    ]
    screens = {
        job.unit.removeprefix("screen-"): store.read_json(
            _fits.screening_of(work, job.unit) / "notes.json"
        )
        for job in jobs
        if job.kind == "screen"
    }
    known = store.read_json(analysis / _analysis.ABOUT) | about
    known |= {"finished": _run.now().isoformat(), "input_digest": _digests(work)}
    known |= {"screening_notes": screens, "notes": noted}
    return store.write_json(analysis / _analysis.ABOUT, known)


def note_lost(analysis: Path, lost: dict[str, str]) -> None:
    """Write into analysis.json which tables could not be made again."""
    known = store.read_json(analysis / _analysis.ABOUT)
    store.write_json(analysis / _analysis.ABOUT, known | {"failed_tables": lost})


def _digests(work: Path) -> dict[str, str]:
    """Return a hash of the content of each input."""
    return {
        path.parent.name: sha256(path.read_bytes()).hexdigest()
        for path in sorted((work / "rows").glob(f"*/{_fits.DIGESTS}"))
    }
