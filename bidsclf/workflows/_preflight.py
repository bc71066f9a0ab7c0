"""What is refused or said before anything is fitted."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.cohort import Cohort
from bidsclf.config import Config
from bidsclf.crossval import is_crossfitted, is_harmonized
from bidsclf.errors import ConfigError, InputError
from bidsclf.files.images import GREY
from bidsclf.files.people import listed
from bidsclf.files.resampling import counted
from bidsclf.folds import Fold
from bidsclf.models._base import find
from bidsclf.models._device import device_of
from bidsclf.models._settings import read_settings
from bidsclf.screening import FEWEST
from bidsclf.workflows import _covariates, _parts

SAMPLES = {"timeseries": "window", "volume": "n_steps"}  # setting: volumes a sample
SHOWN = 6  # repetition times in a note
LEAST = 2  # people from whom location and scale of a site can be learned


def check_models(config: Config) -> None:
    """Refuse settings that a model has not, and options that act on no model.

    Raises
    ------
    ConfigError
        Everything that is wrong, one problem a line.
    """
    problems = []
    for model in config.analysis.models:
        try:
            settings = read_settings(model, config.analysis.settings)
            device = device_of(model, config.analysis.device)
            made = find(model).make(device=device, **settings)
            if hasattr(made, "check"):
                made.check()
        except ConfigError as error:
            problems.append(str(error))
    if problems := [*problems, *_pointless(config)]:
        raise ConfigError("\n".join(problems))


def _pointless(config: Config) -> Iterator[str]:
    """Yield which choices of people and files act on no model."""
    cohort, named = config.cohort, " ".join(config.analysis.models)
    found = [find(model) for model in config.analysis.models]
    inputs, none = {v.input for v in found}, f"acts on none of --models {named}; it"
    if cohort.source is not None and not any(v.source for v in found):
        yield (
            f"--source is {cohort.source!r} and none of --models {named} learns from"
            " people outside the study. Give one that does, such as dtl, or drop it."
        )
    if (tr_s := cohort.resample_tr_s) is not None and "timeseries" not in inputs:
        yield (
            f"--resample-tr is {tr_s:g} and {none} changes series. Give a model that"
            " takes them, such as meanmlp, or leave it out."
        )
    if cohort.gm_desc is not None and GREY not in inputs:
        yield (
            f"--gm-desc is {cohort.gm_desc} and {none} chooses grey-matter maps. Give a"
            " model that takes them, such as cvae, or leave it out."
        )


def settings_in_use(config: Config) -> dict[str, dict[str, Any]]:
    """Return all settings each model runs with, of the models that have some."""
    words = config.analysis.settings
    return {
        model: dict(find(model).settings) | read_settings(model, words)
        for model in config.analysis.models
        if find(model).settings
    }


def check_lengths(config: Config, cohort: Cohort) -> None:
    """Refuse people who have fewer volumes than a sample, or than resampling needs.

    Raises
    ------
    InputError
        Who it is, in which models, and what to do.
    """
    used, problems = settings_in_use(config), []
    for name, setting in SAMPLES.items():
        models = [m for m in config.analysis.models if find(m).input == name]
        needed = {m: used[m][setting] for m in models if setting in used.get(m, {})}
        is_resampled = name == "timeseries" and config.cohort.resample_tr_s is not None
        if not needed and not (models and is_resampled):
            continue
        lengths = cohort.lengths(name)
        problems += [
            f"{problem} Leave them out with --include, or take fewer:"
            f" --model-settings {model}:{setting}={lengths.min()}."
            for model, n in needed.items()
            if (problem := _too_short(cohort, lengths, model, n))
        ]
    if problems:
        raise InputError("\n".join(problems))


def check_window_of(described: Mapping[str, Any], cohort: Cohort) -> None:
    """Refuse new people who have fewer volumes than a sample of a fitted model.

    Parameters
    ----------
    described : mapping
        As ``load_bundle`` returns it.
    cohort : Cohort

    Raises
    ------
    InputError
        Who it is, and what to do.
    """
    model = described["variant"]
    made_with = {**find(model).settings, **described.get("made_with", {})}
    name = find(model).input
    if SAMPLES.get(name) not in made_with:
        return
    n = made_with[SAMPLES[name]]
    problem = _too_short(cohort, cohort.lengths(name), model, n)
    if problem:
        raise InputError(f"{problem} Name the others with --participant-label.")


def _too_short(cohort: Cohort, lengths: np.ndarray, model: str, n: int) -> str:
    """Say who has fewer volumes than ``n``; '' where nobody has."""
    is_short = lengths < n
    if not is_short.any():
        return ""
    who = cohort.people["participant_id"].iloc[cohort.rows[is_short]]
    return (
        f"{model}: {who.nunique()} of {len(cohort.people)} people have fewer than the"
        f" {n} volumes that it takes at once: {listed(who)} (the shortest has"
        f" {lengths.min()})."
    )


def check(config: Config, cohort: Cohort, folds: list[Fold]) -> list[str]:
    """Refuse a harmonization that some fit could not do, for sites or covariates.

    Parameters
    ----------
    config : Config
    cohort : Cohort
    folds : list of Fold
        All that will be fitted, the one of everyone included.

    Returns
    -------
    notes : list of str
        Who is tested beyond the covariates that were learned from.

    Raises
    ------
    ConfigError
        Everyone is of one site, or no model can be harmonized.
    InputError
        In some fold a site is too small for the policy chosen, or covariates are
        collinear, constant or of a level that nobody has to learn from; the
        message names the fold, and who it is.
    """
    how = config.harmonize
    if how.method == "none":
        return []
    models = config.analysis.models
    if not any(is_harmonized(m, how) or is_crossfitted(m, how) for m in models):
        raise ConfigError(
            f"--harmonize is {how.method} and acts on none of --models"
            f" {' '.join(models)}; it changes features of the brain. Give a model that"
            " takes them, such as fc-svm, or use --harmonize none."
        )
    sites = sorted(set(cohort.people["site"].astype(str)))
    if len(sites) < 2:
        raise ConfigError(
            f"--harmonize is {how.method} and everyone is of site {sites[0]!r}; site"
            " effects need two sites or more. Check --site-column, or use --harmonize"
            " none."
        )
    beyond: set[str] = set()
    for fold in folds:
        name = f"repeat {fold.repeat}, fold {fold.fold}"
        name = name if fold.repeat else "the final model, which learns from everyone"
        _check_sites(config, cohort, fold, name)
        _parts.check(config, cohort, fold, name)
        beyond |= _covariates.check(config, cohort, fold, name)
    return [_covariates.outside(beyond)] if beyond else []


def _check_sites(config: Config, cohort: Cohort, fold: Fold, name: str) -> None:
    """Refuse what the harmonizer of one fold would refuse for its sites alone."""
    learned = _rows_a_site(cohort, np.concatenate([fold.train, fold.valid]))
    tested = _rows_a_site(cohort, fold.test)
    usable = learned[learned >= LEAST].index
    small = learned.drop(usable)
    unseen = tested.drop(usable, errors="ignore")
    method, policy = config.harmonize.method, config.harmonize.unseen or "refuse"
    if policy == "refuse" and (len(small) or len(unseen)):
        raise InputError(
            f"{name}: {_sizes(learned.reindex(small.index.union(unseen.index)))} to"
            f" learn from, and --harmonize {method} needs {LEAST} or more a site."
            " Leave the site out with --include, give --harmonize-unseen identity or"
            " batch, or use fewer folds."
        )
    if policy == "batch":
        alone = [*small.index, *unseen[unseen < LEAST].index]
        if alone:
            raise InputError(
                f"{name}: {listed(map(str, alone))} has a single person where its"
                f" location and scale are estimated, and --harmonize-unseen batch needs"
                f" {LEAST} or more. Leave the site out with --include, or give"
                " --harmonize-unseen identity."
            )
    if len(usable) < LEAST:
        raise InputError(
            f"{name}: {_sizes(learned)} to learn from; --harmonize {method} needs two"
            f" sites of {LEAST} people or more. Use --harmonize none or fewer folds."
        )


def _rows_a_site(cohort: Cohort, people: np.ndarray) -> pd.Series:
    """Return how many different rows each site has among these people."""
    rows = cohort.rows[np.isin(cohort.rows, people)]
    return cohort.people["site"].astype(str).iloc[rows].value_counts().sort_index()


def _sizes(counts: pd.Series) -> str:
    shown = [f"{int(n)} at {site}" for site, n in counts.fillna(0).items()]
    return listed(shown)


def can_screen(cohort: Cohort) -> bool:
    """Tell whether two sites have the people that a screening of sites needs."""
    traits = cohort.traits
    members = traits["group"] if "group" in traits else pd.Series(traits.index)
    return int((members.groupby(traits["site"]).nunique() >= FEWEST).sum()) > 1


def notes(config: Config, cohort: Cohort) -> Iterator[str]:
    """Say which covariates tell the target, and which choices act on few models."""
    yield from cohort.notes
    how, models = config.harmonize, config.analysis.models
    others = [model for model in models if find(model).harmonize_at is None]
    if how.method != "none" and others:
        yield (
            f"not harmonized: {', '.join(others)}. --harmonize {how.method} acts on"
            " features between regions, which they do not take; their scores are of"
            " the input as it is."
        )
    is_screened = any(find(model).harmonize_at == "input" for model in models)
    if is_screened and not can_screen(cohort):
        yield (
            "how well features tell the site is not screened: fewer than two sites have"
            f" {FEWEST} people or families."
        )
    if config.cohort.covariates and how.method == "none":
        yield (
            f"--covariates {' '.join(config.cohort.covariates)} keep their effects in"
            " harmonization; --harmonize is none, so they change nothing."
        )
    yield from _clocks(config, cohort)
    if config.analysis.n_refit_permutations:
        yield (
            f"the {config.analysis.n_refit_permutations} refit permutations are of"
            " repeat 1."
        )


def _clocks(config: Config, cohort: Cohort) -> Iterator[str]:
    """Say which models see an order of volumes that means other times in others."""
    for name in SAMPLES:
        seeing = [m for m in config.analysis.models if find(m).sees_order]
        yield from _clock(config, cohort, name, seeing)


def _clock(
    config: Config, cohort: Cohort, name: str, seeing: list[str]
) -> Iterator[str]:
    """Say it of the models of one input."""
    names = [model for model in seeing if find(model).input == name]
    is_series = name == "timeseries"
    if not names or (is_series and config.cohort.resample_tr_s is not None):
        return
    times = counted(cohort.repetition_times(name))
    if len(times) > 1:
        shown = ", ".join(f"{n} of {tr_s:g} s" for tr_s, n in [*times.items()][:SHOWN])
        cure = "; --resample-tr brings all to one" if is_series else ""
        yield (
            f"{', '.join(names)} see the order of volumes, and the scans have"
            f" {len(times)} repetition times: {shown}"
            f"{', …' if len(times) > SHOWN else ''}. What they learned of time is of"
            f" volumes, not of seconds{cure}."
        )
