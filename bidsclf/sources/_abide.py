"""Everyone of ABIDE: files and rows joined, converted, reported."""

import argparse
from functools import partial
from pathlib import Path

import pandas as pd

from bidsclf.errors import InputError, NothingMatched
from bidsclf.files import derivatives, status
from bidsclf.sources import _pcp, _phenotype
from bidsclf.sources._conversion import PROJECT, Plan, atlas_of, convert_person
from bidsclf.sources._input import check_apart
from bidsclf.sources._units import report
from bidsclf.sources._workers import each

QUOTED = 5  # names in a message


def convert(namespace: argparse.Namespace) -> int:
    """Convert the files; return 0, or 4 when some could not be read.

    Raises
    ------
    ConfigError
        The options do not fit what is there.
    InputError
        The table is unusable, nothing matches, or OUT cannot be written.
    """
    folder, out = namespace.folder.resolve(), namespace.out.resolve()
    check_apart(folder, out)
    series = _pcp.find_series(folder)
    wanted = (namespace.pipeline, namespace.strategy, namespace.atlas)
    kind = _pcp.choose_kind({one.kind for one in series}, wanted)
    series = [one for one in series if one.kind == kind]
    table = namespace.phenotypic or _phenotype.find_phenotype(folder)
    people = _phenotype.read_phenotype(table)
    plans, log = _plan(series, people, folder)
    _write_roots(out, people, plans)
    status.remove_partials(out)
    problems = each(partial(convert_person, out), plans, nprocs=namespace.nprocs)
    for plan, problem in zip(plans, problems, strict=True):
        state = "failed" if problem else "done"
        log.append((plan.series.participant, state, problem))
    path = out / "logs" / f"abide-pcp_{'_'.join(kind)}.tsv"
    table = pd.DataFrame(log, columns=["participant_id", "state", "reason"])
    return report(path, table, title="/".join(kind))


def _write_roots(out: Path, people: pd.DataFrame, plans: list[Plan]) -> None:
    """Write the root files: everyone of the table, and what the files are."""
    pipeline, strategy, _ = plans[0].series.kind
    roots = derivatives.Roots(
        name="ABIDE I, regional signals and connectivity",
        links={"abide": plans[0].root.as_uri()},
        participants=people[list(_phenotype.COLUMNS)].sort_values("participant_id"),
        columns=_phenotype.site_facts()["columns"],
        atlases=(atlas_of(plans[0]),),
        descriptions={
            pipeline + strategy: f"Pipeline {pipeline}, strategy {strategy}, of the"
            " Preprocessed Connectomes Project."
        },
        generated_by=(
            {"Name": pipeline, "CodeURL": PROJECT, "Description": "See the project."},
        ),
    )
    derivatives.write_roots(out, roots)


def _plan(
    series: list[_pcp.Series], people: pd.DataFrame, folder: Path
) -> tuple[list[Plan], list[tuple[str, str, str]]]:
    """Join files and rows; whoever lacks one is named with the reason."""
    names = [one.participant for one in series]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{len(twice)} people have more than one file, first {twice[:QUOTED]}."
            " A person is one file; remove the others."
        )
    rows, labels = people.set_index("participant_id"), _pcp.usual_labels(series)
    out = [
        (one.participant, "left out", f"{one.path.name} has no row in the table")
        for one in series
        if one.participant not in rows.index
    ]
    absent = _phenotype.without_scan(people, set(names))
    out += [(name, "left out", reason) for name, reason in absent.items()]
    plans = [
        Plan(
            series=one,
            tr_s=_phenotype.repetition_time(
                rows.at[one.participant, "site"], one.file_id
            ),
            mean_fd=float(rows.at[one.participant, "mean_fd"]),
            root=folder,
            labels=labels,
        )
        for one in series
        if one.participant in rows.index
    ]
    if not plans:
        raise NothingMatched(
            f"none of {len(series)} files belongs to one of {len(people)} rows of the"
            " table. Is it the table of these files?"
        )
    return plans, out
