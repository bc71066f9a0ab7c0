"""People outside the study, whom a model may learn from and nobody tests."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bidsclf.cohort.build import at_one_rate, looked_up, with_ours
from bidsclf.cohort.join import join
from bidsclf.cohort.table import Cohort
from bidsclf.config import CohortConfig
from bidsclf.errors import InputError, NothingMatched
from bidsclf.files.agreement import differences
from bidsclf.files.choice import choose_scans
from bidsclf.files.images import CALLED, GREY, is_same
from bidsclf.files.people import ID, column_of, matching, read_people
from bidsclf.models._rows import row_digests

STUDIED = "studied"
RELATED = "of a family of which someone is studied"
SAME = "with a scan whose features are those of someone studied"


def source_of(
    out: Path,
    config: CohortConfig,
    cohort: Cohort,
    inputs: Sequence[str] = (),
    only: Collection[str] | None = None,
) -> Cohort:
    """Gather the people of ``--source`` who have nothing to do with a cohort.

    Parameters
    ----------
    out : Path
        Root of seam 1.
    config : CohortConfig
        Its ``source`` may name any column of participants.tsv, the target too.
        ``participant_label`` says who is studied and does not act here; sessions,
        tasks and runs do.
    cohort : Cohort
        Who is studied, of the same ``out`` and ``config``.
    inputs : sequence of str
        What is taken of these people: a scan that lacks one of these is left out,
        and one whose rows are, in one of these, the rows of a scan of the cohort
        rules its person out.
    only : collection of str or None
        The participant_id of those whom this function took before: nobody else is
        looked at.

    Returns
    -------
    source : Cohort
        With ``y`` -1, no labels, and the regions and preprocessing of the cohort;
        ``excluded`` says why another person whom the condition takes is not in it.

    Raises
    ------
    ConfigError
        The condition cannot be read.
    NothingMatched
        It leaves nobody; the message counts why.
    InputError
        Their features are not those of the cohort, or not of one kind.
    """
    people = read_people(out, looked_up(config))
    is_asked = matching(people, config.source, "--source")
    named = f"--source {config.source!r}"
    if not is_asked.any():
        raise NothingMatched(
            f"{named} takes none of the {len(people)} people in participants.tsv."
            " Change the condition."
        )
    if only is not None:
        is_asked &= people[ID].isin(only)
    reasons = _tied(people, is_asked, config, cohort)
    files, chosen = choose_scans(out, _like(config, cohort), inputs)
    files = files[files[ID].isin(people[ID][is_asked])]
    site = people.get(config.site_column, pd.Series(None, people.index, dtype=object))
    ours = with_ours(people, pd.Series(None, people.index, dtype=object), site, None)
    try:
        source = join(ours[is_asked], files, reasons, config.runs, chosen, inputs)
        _check_like(source, cohort, named)
        if only is None and (twins := _twins(source, cohort, inputs)):
            source = source.without(twins)
    except NothingMatched as error:
        raise NothingMatched(f"{named}: {error}") from error
    return at_one_rate(source, config.resample_tr_s)


def _tied(
    people: pd.DataFrame, is_asked: pd.Series, config: CohortConfig, cohort: Cohort
) -> dict[str, str]:
    """Return who is studied, or is of a family of which someone is, and which."""
    is_studied = people[ID].isin(cohort.people[ID])
    is_related = pd.Series(False, people.index)
    if config.group_column is not None:
        family = column_of(people, config.group_column, "--group-column")
        is_related = family.isin(family[is_studied].dropna())
    return dict.fromkeys(people[ID][is_asked & is_related], RELATED) | dict.fromkeys(
        people[ID][is_asked & is_studied], STUDIED
    )


def _like(config: CohortConfig, cohort: Cohort) -> CohortConfig:
    """Read what the cohort reads, of anyone."""
    chosen = cohort.source

    def kind(first: str, *others: str) -> str | None:
        held = [name for name in others if name in chosen]
        named = [f"{name.removeprefix('gm_')}-{chosen[name]}" for name in held]
        return "_".join([chosen[first], *named]) if first in chosen else None

    tasks = sorted({task for task in cohort.files["task"] if task})
    return replace(
        config,
        participant_label=(),
        volume_size=config.size_like(chosen.get("grid")),
        atlas=kind("atlas", "seg", "scale"),
        desc=kind("desc"),
        space=kind("space", "res"),
        gm_desc=kind("gm_desc", "gm_space", "gm_res"),
        task_id=tuple(tasks),
    )


def _check_like(source: Cohort, cohort: Cohort, named: str) -> None:
    """Refuse features of other regions, or made otherwise, than the cohort's."""
    said = differences(source.source["preprocessing"], cohort.source["preprocessing"])
    if source.regions != cohort.regions:
        n, m = len(source.regions), len(cohort.regions)
        said = f"{n} regions against {m}, or other names or order; {said}".rstrip("; ")
    for name in source.grids.keys() & cohort.grids:
        one, other = source.grids[name], cohort.grids[name]
        if not is_same(one, other):
            where = f"{one.shape} against {other.shape}, or elsewhere"
            said = f"{CALLED[name]} of {where}; {said}"
    if {GREY} <= source.grids.keys() & cohort.grids:
        maps = [one.made_images[GREY] for one in (source, cohort)]
        said = "; ".join(filter(None, [said, differences(*maps)]))
    if said:
        raise InputError(
            f"{named}: the features of its {len(source.people)} people are not those"
            f" of the study: {said}. Run the participant level again for them with"
            " the same settings, or change the condition."
        )


def _twins(source: Cohort, cohort: Cohort, inputs: Sequence[str]) -> dict[str, str]:
    """Return the people who share a scan's features with someone of the cohort."""
    found: dict[str, str] = {}
    for name in inputs:
        known = set(_digests(cohort, name))
        told = zip(source.files[ID], _digests(source, name), strict=True)
        found |= {who: SAME for who, digest in told if digest in known}
    if len(found) == len(source.people):
        raise NothingMatched(f"all {len(found)} people are {SAME}.")
    return found


def _digests(cohort: Cohort, name: str) -> list[str]:
    """Return a hash a scan of an input, in the order of ``files``."""
    apart = cohort.people[ID].searchsorted(cohort.files[ID])
    return row_digests(replace(cohort, rows=apart).load(name))
