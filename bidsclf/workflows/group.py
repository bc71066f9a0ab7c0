"""The group level: prepare each input once, fit every fold, merge."""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bidsclf.cohort import Cohort, build_cohort
from bidsclf.config import Config
from bidsclf.folds import Fold, make_folds, to_table, whole
from bidsclf.folds import notes as fold_notes
from bidsclf.models._base import find
from bidsclf.workflows import (
    _analysis,
    _families,
    _graph,
    _inputs,
    _jobs,
    _preflight,
    _run,
    _shared,
    _source,
    _tables,
    _traits,
    _work,
    plugins,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Who is studied, how they are split, and what is to be done.

    Attributes
    ----------
    cohort : Cohort
    folds : list of Fold
        Those that are tested.
    everyone : Fold
        Of the final models.
    jobs : list of Job
    fold_notes, run_notes : list of str
        What a reader should know of the folds, and of the choices.
    source : Cohort or None
        People outside the study, of whom some models learn first.
    """

    cohort: Cohort
    folds: list[Fold]
    everyone: Fold
    jobs: list[_jobs.Job]
    fold_notes: list[str]
    run_notes: list[str]
    source: Cohort | None = None


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
    config = _families.expanded(config)
    if config.run.reports_only:
        return _draw_again(config, command)
    is_dry = config.run.dry_run
    plugins.choose(config.run)  # a plugin file that is wrong ends the run here
    with ExitStack() as stack:
        settings = replace(config.run, work_dir=None) if is_dry else config.run
        work = stack.enter_context(_work.work_folder(settings))
        study = _study(config)
        key = _key(config, study)
        name = f"group-{config.analysis.analysis_id}-{key[:12]}"
        own = stack.enter_context(_work.own_folder(work, name, settings))
        place = _place(config, own, key, study.cohort)
        is_done = _analysis.is_done(config, key, _products(config, study))
        if is_dry:
            _run.show(_forecast(config, study, is_done=is_done))
            return 0
        run = stack.enter_context(_run.recorded(config, command))
        run.notes += [*study.fold_notes, *study.run_notes]
        if is_done:
            _stand(run, place, study)
        else:
            _make(run, place, study)
        _graph.report(run, place)
    return run.code


def _stand(run: _run.Run, place: _graph.Place, study: Study) -> None:
    """Keep the fits of an analysis that is whole."""
    _run.open_notes(place.notes, run.config.run)
    names = [job.unit for job in study.jobs]
    run.add(_run.Unit(unit=name, state="done before") for name in names)
    if _analysis.note_interpretation(run.config, is_made=False):
        _graph.explain_again(run, place, study.jobs)
        _analysis.note_interpretation(run.config)  # last: whole, if this is cut off


def _make(run: _run.Run, place: _graph.Place, study: Study) -> None:
    """Fit all that is not kept, and make the tables."""
    _begin(run, place, study)
    _graph.fit(run, place, study.jobs)
    twice = _graph.identical(place, study.jobs)
    run.notes += twice
    about = {"fold_notes": study.fold_notes}
    about |= {"run_notes": [*study.run_notes, *twice]}
    _graph.merge(run, place, study.jobs, about)
    _graph.locate(run, place)


def _study(config: Config) -> Study:
    """Plan an analysis, and refuse what could not be done."""
    _preflight.check_models(config)
    seam = _analysis.seam(config)
    inputs = {find(model).input for model in config.analysis.models}
    cohort = build_cohort(seam, config.cohort, inputs)
    _inputs.check(config, cohort)
    _preflight.check_lengths(config, cohort)
    _traits.check(config, cohort)
    source = _source.gather(config, seam, cohort)
    folds = make_folds(cohort.people, config.folds)
    everyone = whole(cohort.people, config.folds)
    notes = _preflight.check(config, cohort, [*folds, everyone])
    return Study(
        cohort=cohort,
        folds=folds,
        everyone=everyone,
        jobs=_jobs.plan(config, folds, is_screened=_preflight.can_screen(cohort)),
        fold_notes=fold_notes(folds, cohort.people, config.folds),
        run_notes=[
            *_preflight.notes(config, cohort),
            *_source.notes(config, source),
            *notes,
        ],
        source=source,
    )


def _draw_again(config: Config, command: str | None) -> int:
    """Draw the page of an analysis that stands, from its tables alone."""
    _analysis.check_drawable(config)
    if config.run.dry_run:
        _run.show([f"  {_analysis.folder_of(config) / 'report.html'}"])
        return 0
    with _run.recorded(config, command) as run, ExitStack() as stack:
        work = stack.enter_context(_work.work_folder(config.run))
        own = _work.own_folder(work, run.folder.name, config.run)
        _graph.report(run, _place(config, stack.enter_context(own), key=""))
    return run.code


def _key(config: Config, study: Study) -> str:
    files = [*study.cohort.paths(), *(study.source.paths() if study.source else ())]
    if config.cohort.resample_tr_s is not None:  # a sidecar has the repetition time
        files += [path.with_suffix(".json") for path in files]
    files += [config.folds.folds_file] if config.folds.folds_file else []
    return _analysis.key_of(config, study.cohort.people, files)


def _place(
    config: Config, work: Path, key: str, cohort: Cohort | None = None
) -> _graph.Place:
    return _graph.Place(
        seam=_analysis.seam(config).absolute(),
        analysis=_analysis.folder_of(config).absolute(),
        work=work,
        key=key,
        row_gb=0.0 if cohort is None else _graph.row_gb(cohort),
    )


def _products(config: Config, study: Study) -> list[str]:
    """Return the files of a whole analysis, relative to its folder."""
    return [*_written(study), *_jobs.bundles(study.jobs, config.harmonize)]


def _written(study: Study) -> list[str]:
    """Return the tables of a whole analysis."""
    return [*_tables.files_of(study.jobs), *(["source.tsv"] if study.source else [])]


def _forecast(config: Config, study: Study, *, is_done: bool) -> list[str]:
    """Return the lines of ``--dry-run``."""
    cohort, jobs = study.cohort, study.jobs
    counts = cohort.people["label"].value_counts().to_dict()
    people = ", ".join(f"{n} {label}" for label, n in counts.items())
    state = "done before" if is_done else "to do"
    head = f"{len(cohort.people)} people ({people}), {len(cohort.excluded)} excluded"
    n_fits = sum(job.kind == "fit" for job in jobs)
    pages = ["report.html", "methods.md", "model_card.md"]
    if config.harmonize.method != "none" or any(job.kind == "screen" for job in jobs):
        pages.insert(1, "harmonization.html")
    pages += ["latent.html"] if "latents" in _tables.names_of(jobs) else []
    names = [*_written(study), _analysis.ABOUT, *pages]
    return [
        head,
        f"{n_fits} fits of {' '.join(config.analysis.models)}",
        *(f"note: {note}" for note in [*study.fold_notes, *study.run_notes]),
        *(f"{job.unit}: {state}" for job in jobs),
        *(f"  {_analysis.folder_of(config) / name}" for name in names),
    ]


def _begin(run: _run.Run, place: _graph.Place, study: Study) -> None:
    """Write who is studied and how they are split, before anything is fitted."""
    config, cohort = run.config, study.cohort
    if config.run.force:
        shutil.rmtree(place.work, ignore_errors=True)
    _run.open_notes(place.notes, config.run)
    about = _analysis.about(run, place.key, cohort.labels)
    about |= {"n_people": len(cohort.people), "models": config.analysis.models}
    about |= {"model_settings": _preflight.settings_in_use(config)}
    about |= {"interpret": _analysis.interpreted_with(config)}
    about |= {"interpret_files": _analysis.interpreting_files(config)}
    about |= {"atlas": cohort.source.get("atlas")}
    _analysis.open_folder(config, about)
    tables = {
        "cohort": cohort.table(),
        "folds": to_table(study.folds, cohort.people),
        "traits": _shared.traits_table(cohort),
    }
    if study.source is not None:
        tables["source"] = _source.table(study.source)
    for name, table in tables.items():
        _analysis.write_table(place.analysis / f"{name}.tsv", table)
    folds = [*study.folds, study.everyone]
    _shared.share(place.work, place.seam, cohort, folds, config, study.source)
