"""Join participants.tsv with features; say why each other person is left out."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bidsclf.cohort.join import join
from bidsclf.cohort.table import OURS, Cohort
from bidsclf.config import CohortConfig
from bidsclf.errors import BidsclfError, InputError
from bidsclf.files.choice import choose_scans, scans_of
from bidsclf.files.complete import complete
from bidsclf.files.damage import damaged
from bidsclf.files.matched import unmatched
from bidsclf.files.people import (
    ID,
    TRAITS,
    column_of,
    listed,
    matching,
    read_people,
    two_labels,
)
from bidsclf.files.traits import (
    as_numbers,
    check_covariates,
    missing_cells,
    need_columns,
    traits_of,
)

NO_SITE = "none"  # --site-column none: one site for all


def build_cohort(
    out: Path, config: CohortConfig, inputs: Collection[str] = ()
) -> Cohort:
    """Join the features in ``out``, the root of seam 1, with its participants.tsv.

    Parameters
    ----------
    out : Path
    config : CohortConfig
    inputs : collection of str
        What models will take: a scan that lacks one of these, which others have,
        is left out, and images among them are read whole.

    Returns
    -------
    Cohort
        People in the order of their participant_id, whatever the order of files.

    Raises
    ------
    ConfigError
        A column or value is not there, a choice is open, or a covariate is the
        target under another name.
    NothingMatched
        Nobody has both features and a target; the message says why.
    InputError
        participants.tsv or the features are not one study: duplicate rows, one
        class, other regions or preprocessing; or a covariate has missing cells,
        one value, or no clear kind, or --match finds no pair.
    """
    people = read_people(out, looked_up(config), (*config.covariates, *TRAITS["age"]))
    label = column_of(people, config.target, "--target")
    site = pd.Series("all", people.index)
    if config.site_column != NO_SITE or NO_SITE in people:
        site = column_of(people, config.site_column, "--site-column")
    traits = traits_of(people, site, config.covariates)
    group = None
    if config.group_column is not None:
        group = column_of(people, config.group_column, "--group-column")
    reasons = missing_cells(traits, config.covariates, config.missing)
    for column, is_blank in (
        (config.site_column, site.isna()),
        (config.target, label.isna()),
    ):
        reasons |= dict.fromkeys(
            people[ID][is_blank], f"no {column} in participants.tsv"
        )
    others = people[ID][~matching(people, config.include)]
    reasons |= dict.fromkeys(others, f"not in --include {config.include}")
    files, chosen = choose_scans(out, config, inputs)
    strangers = set(files[ID]) - set(people[ID])
    reasons |= dict.fromkeys(strangers, "no row in participants.tsv")
    asked = {config.target, config.site_column, config.group_column}
    people = people.drop(columns=asked & set(OURS) & set(people))
    people = with_ours(people, label, site, group)
    cohort = join(people, files, reasons, config.runs, chosen, inputs)
    try:
        cohort = _judged(cohort, traits, config)
    except BidsclfError as error:
        raise type(error)(" ".join([str(error), *cohort.notes])) from error
    return at_one_rate(cohort, config.resample_tr_s)


def looked_up(config: CohortConfig) -> list[str]:
    """Return the columns that are read as text."""
    group = [] if config.group_column is None else [config.group_column]
    return [config.target, config.site_column, *group, *TRAITS["sex"]]


def _typed(cohort: Cohort, traits: pd.DataFrame) -> Cohort:
    """Give the cohort its traits, typed by what these people have."""
    of_people = traits.loc[cohort.people[ID]]
    covariates = [name for name in traits if name != "site"]
    typed = as_numbers(of_people, covariates).reset_index(drop=True)
    if "group" in cohort.people:
        group, person = cohort.people["group"], cohort.people[ID]
        named = "g" + group.astype(object)
        typed["group"] = pd.factorize(named.where(group.notna(), "p" + person))[0]
    return replace(cohort, traits=typed)


def _judged(cohort: Cohort, traits: pd.DataFrame, config: CohortConfig) -> Cohort:
    """Say which label is 1, match, and refuse covariates that cannot be used."""
    named = cohort.people["label"]
    labels = two_labels(named, config.target, config.positive_label)
    people = cohort.people.assign(y=(named == labels[1]).astype(int))
    cohort = replace(cohort, labels=labels, people=people)
    if config.match:
        cohort = cohort.without(unmatched(cohort.people))
    cohort = _typed(cohort, traits)
    notes = check_covariates(
        cohort.traits.set_index(cohort.people[ID]),
        cohort.people["label"].rename(config.target),
        config.covariates,
        config.missing,
    )
    return replace(cohort, notes=(*cohort.notes, *notes))


def load_people(
    out: Path, config: CohortConfig, inputs: Collection[str] = ()
) -> Cohort:
    """Gather people to be predicted: no target, and participants.tsv if there is one.

    Parameters
    ----------
    out : Path
        Root of seam 1.
    config : CohortConfig
        Its target is not read; its site column is where it is there. Its
        covariates, which are those of the model, must be there; a missing cell
        stays missing, and is the harmonizer's matter.
    inputs : collection of str
        What the model takes; images among them are read whole.

    Returns
    -------
    Cohort
        As of ``build_cohort``, with ``y`` -1 and no labels.

    Raises
    ------
    ConfigError, NothingMatched, InputError
        As ``build_cohort``; InputError too where a covariate has no column, or
        a table is damaged: nobody is left out of a prediction unsaid.
    """
    files, chosen = choose_scans(out, config, inputs)
    _refuse_partly(files, inputs)
    people = files[[ID]].drop_duplicates()
    if config.covariates or (out / "participants.tsv").exists():
        text = [config.site_column, *TRAITS["sex"]]
        known = read_people(out, text, (*config.covariates, *TRAITS["age"]))
        people = people.merge(known, how="outer", on=ID)
    need_columns(out, people, config.covariates)
    unknown = pd.Series(None, people.index, dtype=object)
    site = people.get(config.site_column, unknown)
    traits = traits_of(people, site, config.covariates)
    people = people.drop(columns={config.site_column} & set(OURS) & set(people))
    people = with_ours(people, unknown, site, None)
    cohort = _typed(join(people, files, {}, config.runs, chosen), traits)
    return at_one_rate(cohort, config.resample_tr_s)


def _refuse_partly(files: pd.DataFrame, inputs: Collection[str]) -> None:
    """Refuse people who have a damaged file, or nothing of what a model takes."""
    _, lacking, _ = complete(files, inputs)
    broken = damaged(scans_of(files), inputs)
    damage = {files[ID].iloc[at]: reason for at, reason in broken.items()}
    for problem, who in (
        ("a file that cannot be read", damage),
        ("not what the model takes", lacking),
    ):
        if who:
            raise InputError(
                f"{len(who)} people have {problem}: {listed(who)}"
                f" ({next(iter(who.values()))}). Run the participant level again for"
                " them, or name the others with --participant-label."
            )


def at_one_rate(cohort: Cohort, tr_s: float | None) -> Cohort:
    """Say the repetition time of all series, and who has none to start from."""
    if tr_s is None:
        return cohort
    times = cohort.repetition_times()
    has_none = (
        np.array([time is None for time in times])
        & cohort.files.get("timeseries", pd.Series(None, cohort.files.index)).notna()
    )
    if has_none.any():
        who = cohort.files[ID][has_none]
        raise InputError(
            f"{len(set(who))} of {len(cohort.people)} people have series without a"
            f" SamplingFrequency in the JSON file beside them: {listed(who)};"
            " --resample-tr needs it, in Hz. Add it, leave these people out with"
            " --include, or leave out --resample-tr."
        )
    return replace(cohort, resample_tr_s=tr_s)


def with_ours(
    people: pd.DataFrame, label: pd.Series, site: pd.Series, group: pd.Series | None
) -> pd.DataFrame:
    """Put our columns first; a column of the same name keeps another one."""
    others = people.rename(columns={name: f"participants_{name}" for name in OURS})
    ours = {"y": -1, "label": label, "site": site}
    ours |= {} if group is None else {"group": group}
    ours |= {"n_runs": 0, "n_missing_regions": 0}
    for at, (name, values) in enumerate(ours.items(), start=1):
        others.insert(at, name, values)
    return others
