"""The participant level: one node a scan or map, then one a page."""

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bidsclf import dataset
from bidsclf.config import Config, ExtractConfig, to_plain
from bidsclf.features._strategy import needs_aroma
from bidsclf.files import derivatives, status
from bidsclf.files.discover import Discovery
from bidsclf.files.finding import find, people_table
from bidsclf.scan import GreyMap, Scan
from bidsclf.workflows import _planning, _run, _scans, _staging, _units, _work, plugins
from bidsclf.workflows._planning import Planned
from bidsclf.workflows.plugins import nipype

SCAN_GB, PAGE_GB = 0.5, 0.5  # peak of a node; ours, measured on 97 x 115 x 97 x 400
MAP_GB = 0.5  # of 193 x 229 x 193
LONG = 1200  # volumes of a long run, as the Human Connectome Project's


def run_participant(config: Config, *, command: str | None = None) -> int:
    """Turn every scan and map into features, and every participant into a page.

    Parameters
    ----------
    config : Config
    command : str or None
        The command line, for the record.

    Returns
    -------
    int
        Exit code: 0 all done, 1 a bug, 4 some units failed, 5 a page failed.

    Raises
    ------
    ConfigError
        An atlas is not known, a participant is not there.
    NothingMatched
        No scan and no map is left.
    """
    is_dry = config.run.dry_run
    plugins.choose(config.run)  # a plugin file that is wrong ends the run here
    with ExitStack() as stack:
        settings = replace(config.run, work_dir=None) if is_dry else config.run
        work = stack.enter_context(_work.work_folder(settings))
        atlases = _scans.load_atlases(config.extract)
        _scans.check_atlases(config.output_dir, atlases, force=config.run.force)
        found = find(config, aroma=needs_aroma(config.extract.denoise.strategy))
        planned = _planning.plan(config, found, atlases)
        if is_dry:
            _run.show(_planning.forecast(config, found, planned, atlases))
            return 0
        run = stack.enter_context(_run.recorded(config, command))
        run.notes += found.notes
        _tidy(config.output_dir, found)
        roots = _roots(config, found, atlases)
        derivatives.write_roots(config.output_dir, roots)
        _scans.note_atlases(config.output_dir, atlases)
        own = stack.enter_context(_work.own_folder(work, run.folder.name, settings))
        _run.open_notes(own / "notes", settings)
        if not config.run.reports_only:
            is_kept = not config.run.clean_workdir
            weights = (work if is_kept else own) / "weights"
            try:
                _extract(run, found, planned, own / "notes", weights)
            finally:
                _describe(config, planned, roots)
        _draw(run, found, own / "notes")
    return run.code


def _people(found: Discovery) -> list[str]:
    sources = (*found.scans, *found.maps)
    units = [*(one.name for one in sources), *(bad.unit for bad in found.problems)]
    return sorted({unit.partition("_")[0] for unit in units})


def _tidy(out: Path, found: Discovery) -> None:
    """Remove what killed jobs left here; live jobs keep theirs."""
    removed = _staging.sweep(out) + status.remove_partials(out, _people(found))
    if removed:
        _run.LOG.info("removed %d half-written files of runs that ended", removed)


def _roots(
    config: Config, found: Discovery, atlases: Sequence[_scans.Atlas]
) -> derivatives.Roots:
    """Return what stands at the root before any scan is read."""
    people, columns = people_table(config, found)
    datasets = {("fmriprep", scan.dataset) for scan in found.scans}
    datasets |= {(grey.pipeline, grey.dataset) for grey in found.maps}
    return derivatives.Roots(
        name=_name(config.bids_dir),
        links={name: root.as_uri() for name, root in sorted(datasets)},
        participants=people,
        columns=columns,
        atlases=tuple(map(_scans.atlas_words, atlases)),
        generated_by=tuple(_pipelines(root for _, root in datasets)),
    )


def _describe(
    config: Config, planned: Sequence[Planned], roots: derivatives.Roots
) -> None:
    """Say what each ``desc-`` of this run means, where something has come to it."""
    said = _planning.descriptions(config, planned)
    if said:
        derivatives.write_roots(config.output_dir, replace(roots, descriptions=said))


def _name(bids_dir: Path) -> str:
    """Return the name of the output: people of another study may bear our labels."""
    name = dataset.describe(bids_dir)["Name"]
    return f"{name}: features by bidsclf" if name else "bidsclf features"


def _pipelines(roots: Iterable[Path]) -> list[dict]:
    """Return what the input says of how it was made."""
    return [
        one for root in sorted(roots) for one in dataset.describe(root)["GeneratedBy"]
    ]


def _extract(
    run: _run.Run, found: Discovery, planned: list[Planned], notes: Path, weights: Path
) -> None:
    """Run a node for each scan that is to do, and note how each ended."""
    out = run.config.output_dir
    for bad in found.problems:
        unit = _run.Unit(unit=bad.unit, state="failed", message=bad.message)
        _units.write_failure(out, unit)
        run.add([unit])
    for one in planned:
        _forget(out, found, one.source)
        if one.state != "to do":
            message = _planning.CLASH if one.state == "failed" else ""
            run.add([_run.Unit(unit=one.unit, state=one.state, message=message)])
    todo = [one for one in planned if one.state == "to do"]
    nodes = [_extract_node(run, one, notes, weights) for one in todo]
    try:
        _execute(run, nodes, notes)
    finally:
        _staging.sweep(out)  # of workers that were killed
    ended = _run.collect([one.unit for one in todo], notes, run.folder)
    for unit in ended:
        if not (notes / f"{unit.unit}.json").exists():
            _units.write_failure(out, unit, status.read_status(out, unit.unit))
    run.add(ended)


def _forget(out: Path, found: Discovery, source: Scan | GreyMap) -> None:
    """Forget problems of discovery that are mended; those of this run stay."""
    names = {source.name}
    if isinstance(source, GreyMap):
        names.add(f"sub-{source.entities['sub']}_label-GM")  # who had none
    for name in names - {bad.unit for bad in found.problems}:
        _units.forget(out, name)


def _extract_node(run: _run.Run, one: Planned, notes: Path, cache: Path) -> nipype.Node:
    from bidsclf.workflows.interfaces import Extract, ExtractMap

    given = {
        "config": to_plain(run.config.extract),
        "unit": one.unit,
        "key": one.key,
        "out": str(run.config.output_dir.absolute()),
        "notes": str(notes),
    }
    if isinstance(one.source, GreyMap):
        shell, gb = ExtractMap(grey=one.source.to_dict(), **given), MAP_GB
    else:
        shell = Extract(scan=one.source.to_dict(), cache=str(cache), **given)
        gb = scan_gb(run.config.extract)
    return plugins.node(run.config.run, shell, one.unit, gb)


def scan_gb(extract: ExtractConfig) -> float:
    """Return the memory that one scan takes at most, in GB.

    Of a run of ``LONG`` volumes, half of the cells are held, and what is taken of
    them one and a half times.
    """
    if "volume" not in extract.features:
        return SCAN_GB
    cells_gb = 4e-9 * extract.volume.size**3
    return SCAN_GB + cells_gb * (LONG / 2 + 1.5 * (extract.volume.length or LONG))


def _draw(run: _run.Run, found: Discovery, notes: Path) -> None:
    """Run a node for each page that has something new to show."""
    from bidsclf.workflows.interfaces import Page

    out = run.config.output_dir.absolute()
    people = _people(found)
    old = _unchanged(run, people)
    names = {f"{who}_report": who for who in people if who not in old}
    nodes = [
        plugins.node(
            run.config.run,
            Page(unit=unit, notes=str(notes), out=str(out), participant=who),
            unit,
            PAGE_GB,
        )
        for unit, who in names.items()
    ]
    _execute(run, nodes, notes)
    before = (f"{who}_report" for who in sorted(old))
    run.add(_run.Unit(unit=u, state="done before", is_report=True) for u in before)
    run.add(_run.collect(names, notes, run.folder, is_report=True))


def _unchanged(run: _run.Run, people: Iterable[str]) -> set[str]:
    """Return whose page stands, and whose scans were all done before."""
    if run.config.run.reports_only or run.config.run.force:
        return set()
    changed = {u.unit.partition("_")[0] for u in run.units if u.state != "done before"}
    pages = run.config.output_dir
    return {who for who in set(people) - changed if (pages / f"{who}.html").exists()}


def _execute(run: _run.Run, nodes: list[nipype.Node], notes: Path) -> None:
    if nodes:
        graph = nipype.Workflow("participant", base_dir=os.fspath(notes.parent))
        graph.add_nodes(nodes)
        plugins.execute(
            graph, run.config.run, crashes=run.folder, preload=[_planning.__name__]
        )
