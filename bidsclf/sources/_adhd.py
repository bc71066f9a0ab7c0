"""Everyone of ADHD-200: files and rows joined, converted, reported."""

import argparse
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.errors import ConfigError, InputError, NothingMatched
from bidsclf.files import derivatives, paths, status
from bidsclf.sources import _adhd_people, _arrays, _athena
from bidsclf.sources._adhd_people import ID
from bidsclf.sources._adhd_plan import CITATION, PROJECT, Plan, atlas_of, convert_run
from bidsclf.sources._input import check_apart
from bidsclf.sources._units import report
from bidsclf.sources._workers import each

LOG_COLUMNS = [ID, "source", "state", "reason"]
DESCRIPTIONS = {
    "athenafilt": "Athena pipeline of ADHD-200 Preprocessed, band-pass filtered.",
    "athenanofilt": "Athena pipeline of ADHD-200 Preprocessed, not filtered.",
    "arrays": "Series as an array of people, volumes and regions gave them.",
}
ATHENA = {"Name": "Athena", "CodeURL": PROJECT, "Description": CITATION}
Row = tuple[str, str, str, str]
Found = tuple[list[Plan], list[Row], pd.DataFrame]


def convert(namespace: argparse.Namespace) -> int:
    """Convert the files; return 0, or 4 when some could not be read.

    Raises
    ------
    ConfigError
        The options do not fit what is there.
    InputError
        A table is unusable, nothing matches, or OUT cannot be written.
    """
    folder, out = namespace.folder.resolve(), namespace.out.resolve()
    check_apart(folder, out)
    if not folder.is_dir():
        raise NothingMatched(f"{folder}: no such folder.")
    plans, log, people = _find(folder, namespace)
    plans, twice = _without_doubles(plans)
    log += twice
    if plans:
        _write_roots(out, people, plans)
        status.remove_partials(out)
    problems = each(partial(convert_run, out), plans, nprocs=namespace.nprocs)
    for plan, problem in zip(plans, problems, strict=True):
        state = "failed" if problem else "done"
        log.append((plan.participant, plan.path.name, state, problem))
    if not plans:
        raise NothingMatched(
            f"nobody in {folder} can be converted: {log[0][3] if log else 'no rows'}"
        )
    table = pd.DataFrame(log, columns=LOG_COLUMNS)
    name = f"adhd200_{plans[0].desc}_{plans[0].atlas}.tsv"
    return report(out / "logs" / name, table, title="ADHD-200", noun="runs")


def _find(folder: Path, namespace: argparse.Namespace) -> Found:
    """Return what is to be read, what is not and why, and the people."""
    arrays, courses = _arrays.find_arrays(folder), _athena.find_courses(folder)
    if arrays and courses:
        raise ConfigError(
            f"{folder} holds arrays and time courses. Name a folder of one kind."
        )
    if arrays:
        return _from_arrays(folder, arrays)
    if courses:
        courses = _athena.chosen(courses, namespace.atlas, namespace.strategy)
        tables = namespace.phenotypic or _adhd_people.find_tables(folder)
        people = _adhd_people.read_people(tables)
        return _from_courses(folder, courses, people, namespace.drop_failed_qc)
    raise NothingMatched(
        f"no series of ADHD-200 in {folder}; expected <site>/<number>/*_TCs.1D (the"
        " Athena pipeline's layout) or <site>_roi_timeseries.npy with"
        " <site>_labels.csv."
    )


def _from_courses(
    folder: Path, courses: list[_athena.Course], people: pd.DataFrame, is_strict: bool
) -> Found:
    """Join files and rows; whoever lacks one is named with the reason."""
    rows, labels = people.set_index(ID), _athena.all_labels(courses)
    plans: list[Plan] = []
    log: list[Row] = []
    for one in courses:
        name = _adhd_people.name_of(one.number)
        reason = _why_not(one, rows.loc[name] if name in rows.index else None)
        if reason and (is_strict or name not in rows.index):
            log.append((name, one.path.name, "left out", reason))
            continue
        plan = Plan(
            participant=name,
            entities={"ses": one.session, "run": one.run},
            path=one.path,
            row=None,
            site=one.site,
            atlas=one.atlas,
            desc=f"athena{one.strategy}",
            regions=labels,
            root=folder,
            motion_mm=_motion(rows.loc[name]),
        )
        plans.append(plan)
    sites = {plan.participant: plan.site for plan in plans}
    people["site"] = people[ID].map(sites).fillna(people["site"])
    named = {_adhd_people.name_of(one.number) for one in courses}
    absent = sorted(set(people[ID]) - named)
    log += [(name, "", "left out", "no file of this person") for name in absent]
    return plans, log, people


def _why_not(one: _athena.Course, row: Any) -> str:
    """Return why a run should not be used; '' where nothing speaks against it."""
    if row is None:
        return f"{one.path.name} has no row in the tables"
    column = f"qc_rest_{one.run}"
    if one.session == "1" and row.get(column) == "failed":
        return f"the archive's quality control failed this run ({column})"
    return ""


def _from_arrays(folder: Path, arrays: list[Path]) -> Found:
    """Join arrays and tables; a file that does not fit its table fails alone."""
    plans: list[Plan] = []
    log: list[Row] = []
    parts: list[pd.DataFrame] = []
    for path in arrays:
        try:
            parts.append(_arrays.people_of(path))
        except InputError as error:
            log.append(("n/a", path.name, "failed", str(error)))
            continue
        people = parts[-1]
        try:
            regions = _arrays.n_regions(path, len(people))
        except InputError as error:
            log += [(name, path.name, "failed", str(error)) for name in people[ID]]
            continue
        labels = tuple(str(number) for number in range(1, regions + 1))
        site = _arrays.site_of(path)
        common = {"path": path, "site": site, "regions": labels, "root": folder}
        plans += [_array_plan(common, at, row) for at, row in enumerate(_rows(people))]
    everyone = pd.concat(parts) if parts else pd.DataFrame(columns=[ID])
    return plans, log, everyone.drop_duplicates(ID).reset_index(drop=True)


def _rows(table: pd.DataFrame) -> Iterable[pd.Series]:
    return (row for _, row in table.iterrows())


def _array_plan(common: dict[str, Any], at: int, row: pd.Series) -> Plan:
    return Plan(
        participant=row[ID],
        entities={},
        row=at,
        atlas=f"roi{len(common['regions'])}",
        desc="arrays",
        motion_mm=_motion(row),
        **common,
    )


def _motion(row: pd.Series) -> tuple[float, float]:
    return float(row.get("mean_fd", np.nan)), float(row.get("max_fd", np.nan))


def _without_doubles(plans: list[Plan]) -> tuple[list[Plan], list[Row]]:
    """Take out runs that are given more than once: which is right is not known."""
    counts = Counter(plan.unit for plan in plans)
    log = [
        (
            plan.participant,
            plan.path.name,
            "failed",
            f"{plan.participant}: {counts[plan.unit]} rows or files give the same run,"
            " this one in"
            f" {plan.path.relative_to(plan.root)}. Keep the right one.",
        )
        for plan in plans
        if counts[plan.unit] > 1
    ]
    return [plan for plan in plans if counts[plan.unit] == 1], log


def _write_roots(out: Path, people: pd.DataFrame, plans: list[Plan]) -> None:
    """Write the root files: everyone of the tables, and what the files are."""
    atlases = {plan.atlas: atlas_of(plan) for plan in plans}
    known = _adhd_people.facts()["columns"]
    first = plans[0]
    roots = derivatives.Roots(
        name="ADHD-200, regional signals and connectivity",
        links={"adhd200": first.root.as_uri()},
        participants=people.sort_values(ID, ignore_index=True),
        columns={name: known[name] for name in people if name in known},
        atlases=tuple(atlases.values()),
        descriptions={paths.label(first.desc): DESCRIPTIONS[first.desc]},
        generated_by=(ATHENA,) if first.desc.startswith("athena") else (),
    )
    derivatives.write_roots(out, roots)
