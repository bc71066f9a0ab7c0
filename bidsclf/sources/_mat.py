"""All .mat files of a folder: named, read, converted, reported; each fails alone."""

import argparse
import logging
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf import __version__
from bidsclf.errors import InputError, NothingMatched
from bidsclf.files import derivatives, status
from bidsclf.files.people import listed
from bidsclf.sources._input import check_apart
from bidsclf.sources._mat_file import peek
from bidsclf.sources._mat_people import (
    DIAGNOSIS,
    ID,
    SITE,
    Named,
    name_of,
    person_of,
    read_labels,
    read_pattern,
    read_table,
)
from bidsclf.sources._mat_volume import MatConfig, write_scan
from bidsclf.sources._units import report, run_unit
from bidsclf.sources._workers import each

LOG = logging.getLogger("bidsclf")
LOG_COLUMNS = [ID, "source", "state", "reason"]
COLUMNS = {
    DIAGNOSIS: {"Description": "Named by --labels, from the table, the path or dx."},
    SITE: {"Description": "From the table, or the path of the file."},
}
Row = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One file, and whose it is.

    Attributes
    ----------
    path, root : Path
        The file, and the folder it is named from.
    named : Named
    row : dict or None
        The person's row of the table, if there is one.
    problem : str
        Why the file cannot be used, as far as is known before it is read.
    """

    path: Path
    root: Path
    named: Named
    row: Mapping[str, Any] | None
    problem: str = ""

    @property
    def source(self) -> str:
        """Path below the folder."""
        return self.path.relative_to(self.root).as_posix()

    @property
    def unit(self) -> str:
        """Name of the scan."""
        return "_".join(f"{key}-{value}" for key, value in self.named.entities.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a first look at a file gave: a person and a shape, or a problem."""

    person: Mapping[str, str | None] | None = None
    shape: tuple[int, ...] = ()
    problem: str = ""


def convert(namespace: argparse.Namespace) -> int:
    """Convert the files; return 0, or 4 when some could not be used.

    Raises
    ------
    ConfigError
        An option is out of range, or the pattern or the labels cannot be read.
    InputError
        The table is unusable, or OUT cannot be written.
    NothingMatched
        There are no .mat files, or the pattern and the table know none of them.
    """
    folder, out = namespace.folder.resolve(), namespace.out.resolve()
    check_apart(folder, out)
    labels = read_labels(namespace.labels)
    config = MatConfig(
        size=namespace.size or 0,
        standardize=namespace.standardize,
        tr_s=namespace.tr,
        voxel_mm=namespace.voxel_size,
        space=namespace.space,
    )
    plans, log = _find(folder, namespace)
    looks = each(partial(look, labels), plans, nprocs=namespace.nprocs)
    seen = _judged(plans, list(looks), is_resized=bool(config.size))
    plans = [replace(p, problem=s.problem) for p, s in zip(plans, seen, strict=True)]
    _write_roots(out, folder, [one.person for one in seen if one.person], config)
    status.remove_partials(out)
    problems = each(partial(convert_file, out, config), plans, nprocs=namespace.nprocs)
    for plan, problem in zip(plans, problems, strict=True):
        state = "failed" if problem else "done"
        log.append((plan.named.participant, plan.source, state, problem))
    log += _kept(out, config, {plan.unit for plan in plans})
    table = pd.DataFrame(log, columns=LOG_COLUMNS)
    name = f"matfile_{config.kind}.tsv"
    return report(out / "logs" / name, table, title="matfile", noun="files")


def _find(folder: Path, namespace: argparse.Namespace) -> tuple[list[Plan], list[Row]]:
    """Name the files by pattern and table; say who is left out and why."""
    files = sorted(folder.rglob("*.mat")) if folder.is_dir() else []
    if not files:
        raise NothingMatched(f"{folder}: no *.mat file below it. Name their folder.")
    pattern = read_pattern(namespace.pattern)
    people = read_table(namespace.phenotypic) if namespace.phenotypic else None
    plans: list[Plan] = []
    log: list[Row] = []
    for path in files:
        source = os.fsencode(path.relative_to(folder)).decode(errors="replace")
        named = _named(path, source, folder, pattern)
        if not isinstance(named, Named):
            log.append(named)
        elif people is not None and named.participant not in people.index:
            reason = f"no row in {namespace.phenotypic.name}"
            log.append((named.participant, source, "left out", reason))
        else:
            row = None if people is None else people.loc[named.participant].to_dict()
            plans.append(Plan(path=path, root=folder, named=named, row=row))
    if not plans:
        _, source, _, reason = log[0]
        raise NothingMatched(
            f"none of {len(files)} files in {folder} can be used; the first,"
            f" {source}: {reason.removeprefix(f'{Path(source).name}: ').rstrip('.')}."
        )
    if people is not None:
        absent = sorted(set(people.index) - {plan.named.participant for plan in plans})
        log += [(name, "", "left out", "no file of this person") for name in absent]
    return plans, log


def _named(
    path: Path, source: str, folder: Path, pattern: re.Pattern[str]
) -> Named | Row:
    """Return what the path of a file says, or the row that says why it cannot."""
    if path.is_dir():
        return "n/a", source, "left out", "a folder, not a file"
    name = Path(source).name
    if source != str(path.relative_to(folder)):
        problem = f"{name}: its path is not text in UTF-8. Rename it."
        return "n/a", source, "failed", problem
    try:
        named = name_of(path, folder, pattern)
    except InputError as error:
        advice = "Rename it with letters a to z or digits, or choose another --pattern."
        problem = f"{name}: {error} {advice}"
        return "n/a", source, "failed", problem
    return named or ("n/a", source, "left out", "its path does not fit --pattern")


def _kept(out: Path, config: MatConfig, units: set[str]) -> list[Row]:
    """Return the scans of earlier runs that no file gives now; their images stay."""
    rows = []
    for before in status.read_all(out):
        unit = before.unit.removesuffix(f"_{config.kind}")
        there = [name for name in before.outputs if (out / name).exists()]
        if unit == before.unit or unit in units or not there:
            continue
        reason = "of an earlier run; no file gives it now, and what was written stays"
        rows.append((unit.partition("_")[0], "", "kept", f"{reason}: {there[0]}"))
    if rows:
        LOG.warning(
            "matfile: no file gives %d scans of earlier runs now, of %s. What was"
            " written of them stays, and group reads it; remove what is not wanted.",
            len(rows),
            listed(row[0] for row in rows),
        )
    return rows


def look(labels: Mapping[str, str], plan: Plan) -> Seen:
    """Take a first look at a file: its members, but no volume."""
    try:
        scan = peek(plan.path)
        person = person_of(plan.named, scan.code, plan.row, labels)
    except InputError as error:
        text = str(error)
        is_named = text.startswith(plan.path.name)
        return Seen(problem=text if is_named else f"{plan.path.name}: {text}")
    return Seen(person=person, shape=scan.shape)


def _judged(plans: list[Plan], seen: list[Seen], *, is_resized: bool) -> list[Seen]:
    """Add the problems that only all files together show."""
    units = Counter(plan.unit for plan in plans)
    words: dict[str, set[tuple[str | None, ...]]] = {}
    for plan, one in zip(plans, seen, strict=True):
        if one.person:
            said = (one.person[DIAGNOSIS], one.person[SITE])
            words.setdefault(plan.named.participant, set()).add(said)
    shapes = Counter(one.shape for one in seen if not one.problem)
    usual = shapes.most_common(1)[0][0] if shapes else ()

    def problem(plan: Plan, one: Seen) -> str:
        name = plan.path.name
        if one.problem:
            return one.problem
        if units[plan.unit] > 1:
            return (
                f"{name}: {units[plan.unit]} files are of {plan.unit}. Keep the right"
                " one, or tell them apart in --pattern by session or run."
            )
        if len(words[plan.named.participant]) > 1:
            return (
                f"{name}: the files of {plan.named.participant} give them more than one"
                " diagnosis or site. Correct the wrong ones."
            )
        if not is_resized and one.shape != usual:
            return (
                f"{name}: its grid is {one.shape}, that of most files {usual}; people"
                " of a study share one. Leave it out, or use --size."
            )
        return ""

    problems = [problem(*pair) for pair in zip(plans, seen, strict=True)]
    return [
        Seen(problem=problem) if problem else one
        for one, problem in zip(seen, problems, strict=True)
    ]


def convert_file(out: Path, config: MatConfig, plan: Plan) -> str:
    """Write one file's volumes, unless they are there; return the problem."""
    settings = {"version": __version__, "problem": plan.problem, **asdict(config)}
    key = status.unit_key(settings, [plan.path])
    uri = derivatives.bids_uri(plan.path, plan.root, "matfile")

    def write() -> list[Path]:
        if plan.problem:
            raise InputError(plan.problem)
        entities, meta = plan.named.entities, {"Sources": [uri]}
        return write_scan(out, plan.path, entities, meta, config=config)

    return run_unit(out, f"{plan.unit}_{config.kind}", key, write)


def _write_roots(
    out: Path, folder: Path, people: list[Mapping[str, str | None]], config: MatConfig
) -> None:
    """Write the root files: everyone whose file could be looked at."""
    table = pd.DataFrame(people, columns=None if people else [ID]).drop_duplicates(ID)
    grid = f"resized to {config.size}^3" if config.size else "on the grid of the file"
    roots = derivatives.Roots(
        name="Images of MATLAB files",
        links={"matfile": folder.as_uri()},
        participants=table.sort_values(ID, ignore_index=True),
        columns=COLUMNS,
        descriptions={config.desc: f"Scans of .mat files, masked, {grid}."},
    )
    derivatives.write_roots(out, roots)
