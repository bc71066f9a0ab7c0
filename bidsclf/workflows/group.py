"""The group level: prepare each input once, fit every fold, merge."""

import os
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bidsclf.checks import to_plain
from bidsclf.cohort import Cohort, build_cohort
from bidsclf.config import Config
from bidsclf.files import store
from bidsclf.folds import Fold, make_folds, to_table, whole
from bidsclf.folds import notes as fold_notes
from bidsclf.models._base import prepare_key
from bidsclf.workflows import _analysis, _fits, _run, _work, plugins
from bidsclf.workflows.interfaces import Fit, GroupPage, Merge, Prepare
from bidsclf.workflows.plugins import nipype

FIT_GB = 1.0  # a fit reads its rows from a memory map; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an analysis reads and writes.

    Attributes
    ----------
    seam, analysis, work : Path
        Features, the folder of the analysis, and its own part of the work folder.
    key : str
        Hash of settings, people and files.
    """

    seam: Path
    analysis: Path
    work: Path
    key: str

    @property
    def notes(self) -> Path:
        """Folder of the notes that units leave."""
        return self.work / "notes"


def run_group(config: Config, *, command: str | None = None) -> int:
    """Fit every model on every fold, and measure how well it does.

    Folds are on disk before anything is fitted. With a work folder that is kept,
    an analysis that was interrupted goes on where it stopped.

    Parameters
    ----------
    config : Config
    command : str or None
        The command line, for the record.

    Returns
    -------
    int
        Exit code: 0 all done, 1 a bug, 4 a model failed, 5 the report failed.

    Raises
    ------
    ConfigError
        The analysis exists with other settings, or a setting does not fit.
    NothingMatched
        Nobody is left to study.
    """
    if config.run.reports_only:
        return _draw_again(config, command)
    is_dry = config.run.dry_run
    plugins.choose(config.run)  # a plugin file that is wrong ends the run here
    with ExitStack() as stack:
        settings = replace(config.run, work_dir=None) if is_dry else config.run
        work = stack.enter_context(_work.work_folder(settings))
        cohort = build_cohort(_analysis.seam(config), config.cohort)
        folds = make_folds(cohort.people, config.folds)
        jobs = _fits.plan(config, folds)
        key = _key(config, cohort)
        name = f"group-{config.analysis.analysis_id}-{key[:12]}"
        own = stack.enter_context(_work.own_folder(work, name, settings))
        place = _place(config, own, key)
        is_done = _analysis.is_done(config, key, _fits.products(jobs))
        if is_dry:
            _run.show(_forecast(config, cohort, jobs, is_done=is_done))
            return 0
        run = stack.enter_context(_run.recorded(config, command))
        run.notes += fold_notes(folds, cohort.people)
        if is_done:
            _run.open_notes(place.notes, config.run)
            names = [job.unit for job in jobs]
            run.add(_run.Unit(unit=name, state="done before") for name in names)
        else:
            _begin(run, place, cohort, folds)
            _fit(run, place, jobs)
            _merge(run, place, jobs)
        _report(run, place)
    return run.code


def _draw_again(config: Config, command: str | None) -> int:
    """Draw the page of an analysis that stands, from its tables alone."""
    _analysis.check_drawable(config)
    if config.run.dry_run:
        _run.show([f"  {_analysis.folder_of(config) / 'report.html'}"])
        return 0
    with _run.recorded(config, command) as run, ExitStack() as stack:
        work = stack.enter_context(_work.work_folder(config.run))
        own = _work.own_folder(work, run.folder.name, config.run)
        _report(run, _place(config, stack.enter_context(own), key=""))
    return run.code


def _key(config: Config, cohort: Cohort) -> str:
    files = [
        path
        for column in cohort.files
        for path in cohort.files[column]
        if isinstance(path, Path)
    ]
    return _analysis.key_of(config, cohort.people, files)


def _place(config: Config, work: Path, key: str) -> Place:
    return Place(
        seam=_analysis.seam(config).absolute(),
        analysis=_analysis.folder_of(config).absolute(),
        work=work,
        key=key,
    )


def _forecast(
    config: Config, cohort: Cohort, jobs: list[_fits.FitJob], *, is_done: bool
) -> list[str]:
    """Return the lines of ``--dry-run``."""
    counts = cohort.people["label"].value_counts().to_dict()
    people = ", ".join(f"{n} {label}" for label, n in counts.items())
    state = "done before" if is_done else "to do"
    head = f"{len(cohort.people)} people ({people}), {len(cohort.excluded)} excluded"
    folder = _analysis.folder_of(config)
    names = [*(f"{name}.tsv" for name in _analysis.TABLES), _analysis.ABOUT]
    return (
        [head, f"{len(jobs)} fits"]
        + [f"{job.unit}: {state}" for job in jobs]
        + [f"  {folder / name}" for name in [*names, "report.html"]]
    )


def _begin(run: _run.Run, place: Place, cohort: Cohort, folds: list[Fold]) -> None:
    """Write who is studied and how they are split, before anything is fitted."""
    if run.config.run.force:
        shutil.rmtree(place.work, ignore_errors=True)
    _run.open_notes(place.notes, run.config.run)
    about = _analysis.about(run, place.key, cohort.labels)
    about |= {"n_people": len(cohort.people), "models": run.config.analysis.models}
    _analysis.open_folder(run.config, about)
    _analysis.write_table(place.analysis / "cohort.tsv", cohort.table())
    table = to_table(folds, cohort.people)
    _analysis.write_table(place.analysis / "folds.tsv", table)
    everyone = whole(cohort.people, run.config.folds)
    models = run.config.analysis.models
    how = {"models": models, "runs": run.config.cohort.runs}
    _fits.share(place.work, place.seam, cohort, [*folds, everyone], how)


def _is_kept(place: Place, unit: str) -> bool:
    """Tell whether an interrupted run did this unit, and its files are there."""
    note = place.notes / f"{unit}.json"
    if not note.exists():
        return False
    values = store.read_json(note)
    is_whole = all(Path(name).exists() for name in values["outputs"])
    return values["state"] == "done" and is_whole


def _fit(run: _run.Run, place: Place, jobs: list[_fits.FitJob]) -> None:
    """Run the graph: a node an input, then a node a fit."""
    todo = [job for job in jobs if not _is_kept(place, job.unit)]
    kept = {job.unit for job in jobs} - {job.unit for job in todo}
    firsts = {prepare_key(job.model): job.model for job in reversed(todo)}
    units = {f"prepare-{key}": model for key, model in firsts.items()}
    _forget(place, [*units, *(job.unit for job in todo)])
    graph = nipype.Workflow("fits", base_dir=os.fspath(place.work))
    prepared = {
        model: _prepare_node(run, place, unit, model) for unit, model in units.items()
    }
    graph.add_nodes(list(prepared.values()))
    for job in todo:
        source = prepared[firsts[prepare_key(job.model)]]
        graph.connect(source, "state", _fit_node(run, place, job), "prepared")
    if todo:
        families = {job.model.partition("-")[0] for job in todo}
        preload = [f"bidsclf.models.{family}" for family in sorted(families)]
        plugins.execute(
            graph,
            run.config.run,
            crashes=run.folder,
            preload=[_fits.__name__, *preload],
        )
    causes = {}
    for unit in _run.collect(units, place.notes, run.folder):
        run.add([unit])
        if unit.state == "failed":
            causes[unit.unit.removeprefix("prepare-")] = unit.message
    for job, unit in zip(
        jobs,
        _run.collect([job.unit for job in jobs], place.notes, run.folder),
        strict=True,
    ):
        cause = causes.get(prepare_key(job.model))
        if job.unit in kept:
            unit = replace(unit, state="done before")
        elif cause is not None:
            unit = replace(unit, message=f"its input was not prepared: {cause}")
        run.add([unit])


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
    return plugins.node(run.config.run, shell, unit, FIT_GB)


def _fit_node(run: _run.Run, place: Place, job: _fits.FitJob) -> nipype.Node:
    shell = Fit(
        unit=job.unit,
        notes=str(place.notes),
        job=asdict(job),
        work=str(place.work),
        use_gpu=job.device == "cuda",
    )
    return plugins.node(run.config.run, shell, job.unit, FIT_GB)


def _merge(run: _run.Run, place: Place, jobs: list[_fits.FitJob]) -> None:
    """Run the node that joins the fits of the models that did not fail."""
    failed: dict[str, str] = {}
    ended = {unit.unit: unit for unit in run.units}
    for job in jobs:
        if ended[job.unit].state == "failed":
            failed.setdefault(job.model, ended[job.unit].message)
    tested = [job for job in jobs if not job.unit.endswith("_final")]
    about = {"failed": failed, "fold_notes": run.notes}
    shell = Merge(
        unit="merge",
        notes=str(place.notes),
        jobs=[asdict(job) for job in tested if job.model not in failed],
        settings={
            "n_bootstrap": run.config.analysis.n_bootstrap,
            "seed": run.config.folds.seed,
            "about": about,
        },
        work=str(place.work),
        analysis=str(place.analysis),
    )
    _alone(run, place, shell, "merge")


def _report(run: _run.Run, place: Place) -> None:
    """Run the node that draws the page, unless there is nothing to draw."""
    is_merged = (place.analysis / "metrics.tsv").exists()
    ended = {unit.unit: unit.state for unit in run.units}
    if is_merged and ended.get("merge") != "failed":
        shell = GroupPage(
            unit="report", notes=str(place.notes), analysis=str(place.analysis)
        )
        _alone(run, place, shell, "report", is_report=True)


def _alone(
    run: _run.Run, place: Place, shell: Any, unit: str, *, is_report: bool = False
) -> None:
    """Run a graph of one node, here."""
    place.notes.mkdir(parents=True, exist_ok=True)
    _forget(place, [unit])
    graph = nipype.Workflow(unit, base_dir=os.fspath(place.work))
    graph.add_nodes([plugins.node(run.config.run, shell, unit, FIT_GB)])
    settings = replace(run.config.run, nprocs=1, nipype_plugin_file=None)
    plugins.execute(graph, settings, crashes=run.folder)
    run.add(_run.collect([unit], place.notes, run.folder, is_report=is_report))
