"""The graphs of an analysis: inputs, then fits; predictions, then tables."""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bidsclf.checks import to_plain
from bidsclf.cohort import Cohort
from bidsclf.crossval import is_harmonized
from bidsclf.files import store
from bidsclf.files.images import AXES
from bidsclf.models._base import find, prepare_key
from bidsclf.workflows import (
    _fits,
    _jobs,
    _persons,
    _placing,
    _run,
    _shared,
    _tables,
    _traits,
    plugins,
)
from bidsclf.workflows.interfaces import GroupPage, Merge, Places, Prepare, Table, Work
from bidsclf.workflows.plugins import nipype

COPIES = 6  # of float64 features that harmonization holds at once; ours, on 603 people


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an analysis reads and writes.

    Attributes
    ----------
    seam, analysis, work : Path
        Features, the folder of the analysis, and its own part of the work folder.
    key : str
        Hash of settings, people and files.
    row_gb : float
        Size of all features as float64, in 10^9 bytes.
    """

    seam: Path
    analysis: Path
    work: Path
    key: str
    row_gb: float = 0.0

    @property
    def notes(self) -> Path:
        """Folder of the notes that units leave."""
        return self.work / "notes"


def row_gb(cohort: Cohort) -> float:
    """Return the size of everyone's edges as float64, in 10^9 bytes."""
    n_regions = len(cohort.regions)
    return len(cohort.rows) * n_regions * (n_regions + 1) / 2 * 8 / 1e9


def fit(run: _run.Run, place: Place, jobs: list[_jobs.Job]) -> None:
    """Run the graph: a node an input, then a node a job that is not kept."""
    todo = [job for job in jobs if not _is_kept(place, job.unit)]
    kept = {job.unit for job in jobs} - {job.unit for job in todo}
    firsts = {prepare_key(job.model): job.model for job in reversed(todo)}
    units = {f"prepare-{key}": model for key, model in firsts.items()}
    _forget(place, [*units, *(job.unit for job in todo)])
    if todo:
        _execute(run, place, todo, units)
    causes = {}
    for unit in _run.collect(units, place.notes, run.folder):
        run.add([unit])
        if unit.state == "failed":
            causes[unit.unit.removeprefix("prepare-")] = unit.message
    ended = _run.collect([job.unit for job in jobs], place.notes, run.folder)
    for job, unit in zip(jobs, ended, strict=True):
        cause = causes.get(prepare_key(job.model))
        if job.unit in kept:
            unit = replace(unit, state="done before")
        elif cause is not None:
            unit = replace(unit, message=f"its input was not prepared: {cause}")
        run.add([unit])


def _execute(
    run: _run.Run, place: Place, todo: list[_jobs.Job], units: dict[str, str]
) -> None:
    graph = nipype.Workflow("fits", base_dir=os.fspath(place.work))
    prepared = {
        unit.removeprefix("prepare-"): _prepare_node(run, place, unit, model)
        for unit, model in units.items()
    }
    graph.add_nodes(list(prepared.values()))
    for job in todo:
        source = prepared[prepare_key(job.model)]
        graph.connect(source, "state", _job_node(run, place, job), "prepared")
    families = {job.model.partition("-")[0] for job in todo}
    preload = [_fits.__name__, *(f"bidsclf.models.{name}" for name in sorted(families))]
    if (method := run.config.harmonize.method) != "none":
        preload.append(f"bidsclf.harmonize.{method.partition('-')[0]}")
    plugins.execute(graph, run.config.run, crashes=run.folder, preload=preload)


def _is_kept(place: Place, unit: str) -> bool:
    """Tell whether an interrupted run did this unit, and its files are there."""
    note = place.notes / f"{unit}.json"
    if not note.exists():
        return False
    values = store.read_json(note)
    is_whole = all(Path(name).exists() for name in values["outputs"])
    return values["state"] == "done" and is_whole


def _forget(place: Place, units: Iterable[str]) -> None:
    for unit in units:
        (place.notes / f"{unit}.json").unlink(missing_ok=True)


def _prepare_node(run: _run.Run, place: Place, unit: str, model: str) -> nipype.Node:
    shell = Prepare(
        unit=unit,
        notes=str(place.notes),
        model=model,
        cohort=to_plain(run.config.cohort),
        work=str(place.work),
        out=str(place.seam),
    )
    return plugins.node(run.config.run, shell, unit, _jobs.FIT_GB)


def _job_node(run: _run.Run, place: Place, job: _jobs.Job) -> nipype.Node:
    shell = Work(
        unit=job.unit,
        notes=str(place.notes),
        job=asdict(job),
        work=str(place.work),
        analysis=str(place.analysis),
        use_gpu=job.device == "cuda",
    )
    is_heavy = job.kind == "screen" or is_harmonized(job.model, run.config.harmonize)
    gb = _jobs.FIT_GB + (COPIES * place.row_gb if is_heavy else 0)
    gb += job.cache / 1e9 if find(job.model).input in AXES else 0
    return plugins.node(run.config.run, shell, job.unit, gb)


def identical(place: Place, jobs: list[_jobs.Job]) -> list[str]:
    """Return a note a group of people whose brain features are the same."""
    shared, notes = _shared.read(place.work), []
    for model in dict.fromkeys(job.model for job in jobs):
        if "shape" in shared["described"][find(model).input]:
            digests = _fits.digests_of(place.work, model)
            notes += _persons.identical(shared, digests) if digests else []
    return list(dict.fromkeys(notes))


def merge(
    run: _run.Run, place: Place, jobs: list[_jobs.Job], about: dict[str, Any]
) -> None:
    """Join the scores, then make every table, each alone, and say how it ended.

    Parameters
    ----------
    run : Run
    place : Place
    jobs : list of Job
    about : dict
        More of analysis.json.
    """
    ended = {unit.unit: unit for unit in run.units}
    failed = _failed(jobs, ended, "fit")
    no_null = _failed(jobs, ended, "permute")
    done = [
        job
        for job in jobs
        if ended[job.unit].state != "failed"
        and job.model not in failed
        and not (job.kind == "permute" and job.model in no_null)
    ]
    about = about | {"failed": failed}
    shell = Merge(
        unit="merge",
        notes=str(place.notes),
        jobs=[asdict(job) for job in done if job.is_test],
        about=about,
        work=str(place.work),
        analysis=str(place.analysis),
    )
    if alone(run, place, shell, "merge"):
        names = _tables.names_of(done)
        lost = _lost(jobs, ended, failed) | _make_tables(run, place, done, names)
        about = about | {"failed_tables": lost}
        _tables.finish(place.work, place.analysis, done, about)


def _failed(
    jobs: list[_jobs.Job], ended: dict[str, _run.Unit], kind: str
) -> dict[str, str]:
    """Return the models of which a job of this kind failed, and its message."""
    failed: dict[str, str] = {}
    for job in (job for job in jobs if job.kind == kind):
        if ended[job.unit].state == "failed":
            failed.setdefault(job.model, ended[job.unit].message)
    return failed


def _lost(
    jobs: list[_jobs.Job], ended: dict[str, _run.Unit], failed: dict[str, str]
) -> dict[str, str]:
    """Return why a model has no refit null, or an input no screening.

    A model that failed has no null for that reason, and its input may be screened.
    """
    return {
        job.unit: ended[job.unit].message
        for job in jobs
        if ended[job.unit].state == "failed"
        and (
            job.kind in ("screen", "tensor")
            or (job.kind == "permute" and job.model not in failed)
        )
    }


def _make_tables(
    run: _run.Run, place: Place, done: list[_jobs.Job], wanted: Iterable[str]
) -> dict[str, str]:
    """Run the graph of tables; return which failed, and why."""
    settings = run.config.analysis
    graph = nipype.Workflow("tables", base_dir=os.fspath(place.work))
    names, nodes = {f"table-{name}": name for name in wanted}, {}
    _forget(place, names)
    for unit, name in names.items():
        job = _jobs.TableJob(
            name=name,
            work=str(place.work),
            analysis=str(place.analysis),
            n_bootstrap=settings.n_bootstrap,
            n_permutations=settings.n_permutations,
            seed=run.config.folds.seed,
            jobs=done,
        )
        shell = Table(unit=unit, notes=str(place.notes), job=asdict(job))
        nodes[name] = plugins.node(run.config.run, shell, unit, _jobs.FIT_GB)
    graph.add_nodes(list(nodes.values()))
    for name, first in _tables.AFTER.items():
        if name in nodes and first in nodes:
            graph.connect(nodes[first], "state", nodes[name], "after")
    plugins.execute(
        graph, run.config.run, crashes=run.folder, preload=[_tables.__name__]
    )
    units = _run.collect(names, place.notes, run.folder)
    run.add(units)
    return {names[u.unit]: u.message for u in units if u.state == "failed"}


def explain_again(run: _run.Run, place: Place, jobs: list[_jobs.Job]) -> None:
    """Make again what depends on the settings that explain models."""
    names = [name for name in _traits.TABLES if name in _tables.names_of(jobs)]
    if names:
        _tables.note_lost(place.analysis, _make_tables(run, place, jobs, names))
    locate(run, place)


def locate(run: _run.Run, place: Place) -> None:
    """Run the node that says where regions lie, if a model was explained."""
    if _placing.is_due(place.analysis):
        shell = Places(
            unit="places", notes=str(place.notes), analysis=str(place.analysis)
        )
        alone(run, place, shell, "places", is_report=True)


def report(run: _run.Run, place: Place) -> None:
    """Run the node that draws the page, unless there is nothing to draw."""
    is_measured = (place.analysis / "metrics.tsv").exists()
    ended = {unit.unit: unit.state for unit in run.units}
    if is_measured and ended.get("merge") != "failed":
        shell = GroupPage(
            unit="report", notes=str(place.notes), analysis=str(place.analysis)
        )
        alone(run, place, shell, "report", is_report=True)


def alone(
    run: _run.Run, place: Place, shell: Any, unit: str, *, is_report: bool = False
) -> bool:
    """Run a graph of one node, here; tell whether it was done."""
    place.notes.mkdir(parents=True, exist_ok=True)
    _forget(place, [unit])
    graph = nipype.Workflow(unit, base_dir=os.fspath(place.work))
    graph.add_nodes([plugins.node(run.config.run, shell, unit, _jobs.FIT_GB)])
    settings = replace(run.config.run, nprocs=1, nipype_plugin_file=None)
    plugins.execute(graph, settings, crashes=run.folder)
    ended = _run.collect([unit], place.notes, run.folder, is_report=is_report)
    run.add(ended)
    return ended[0].state != "failed"
