"""What there is to work on: scans, grey-matter maps, or both."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from bidsclf.config import Config
from bidsclf.errors import NothingMatched
from bidsclf.files import filters, index
from bidsclf.files.discover import Discovery, Problem, discover, participants_table
from bidsclf.files.greymaps import GM, discover_maps
from bidsclf.files.roster import read_roster

SCANS, MAPS = "functional images", "grey-matter maps"
_ENDING = "_" + filters.named(GM)  # of the name of a map's unit


def find(config: Config, *, aroma: bool = False) -> Discovery:
    """Find what the features that are asked for are made of.

    Where there are scans and maps, people who have only one of them are worked on with
    what they have; what they lack is a problem of those who are asked for by name,
    and a note of the others.

    Parameters
    ----------
    config : Config
    aroma : bool
        Take the images that ICA-AROMA denoised.

    Raises
    ------
    ConfigError, InputError
        As ``discover`` and ``discover_maps``.
    NothingMatched
        Neither scans nor maps are left.
    """
    asked = config.extract
    found: list[Discovery] = []
    errors: dict[str, str] = {}
    if asked.needs_maps:
        maps = _tried(MAPS, lambda: discover_maps(config), errors)
        found += [maps] if maps else []
    if asked.needs_scans:
        known = {one.entities["sub"] for part in found for one in part.maps}
        scans = _tried(SCANS, lambda: _discover(config, known, aroma=aroma), errors)
        found += [scans] if scans else []
    if not found:
        raise NothingMatched("\n".join(dict.fromkeys(errors.values())))
    whole = Discovery(
        scans=tuple(one for part in found for one in part.scans),
        problems=tuple(one for part in found for one in part.problems),
        notes=tuple(dict.fromkeys(note for part in found for note in part.notes)),
        maps=tuple(one for part in found for one in part.maps),
    )
    lacking = [f"no {kind}: {text}" for kind, text in errors.items()]
    whole = replace(whole, notes=(*whole.notes, *lacking))
    is_mixed = asked.needs_maps and asked.needs_scans
    return _with_missing(whole, config) if is_mixed else whole


def _tried(
    kind: str, way: Callable[[], Discovery], errors: dict[str, str]
) -> Discovery | None:
    """Return what is found; nothing is no error yet, since the other may be there."""
    try:
        return way()
    except NothingMatched as error:
        errors[kind] = str(error)
        return None


def _discover(config: Config, having_maps: set[str], *, aroma: bool) -> Discovery:
    """Find scans; who has maps need not be known to fMRIPrep."""
    selection = config.selection
    asked = [filters.bare("sub", one) for one in selection.participant_label]
    if having_maps and asked:
        root = index.find_roots(config.bids_dir, config.derivatives)[0]
        known = set(index.labels(root))
        there = tuple(one for one in asked if one in known or one not in having_maps)
        if not there:
            raise NothingMatched(f"{root}: nobody of those asked for is there.")
        selection = replace(selection, participant_label=there)
    return discover(config.bids_dir, config.derivatives, selection, aroma=aroma)


def _with_missing(found: Discovery, config: Config) -> Discovery:
    """Say who has scans and no map, or a map and no scan, unless it is said."""
    asked = [filters.bare("sub", one) for one in config.selection.participant_label]
    scans = {one.entities["sub"] for one in found.scans}
    maps = {one.entities["sub"] for one in found.maps}
    people = dict.fromkeys(asked or sorted(scans | maps))
    problems, notes = list(found.problems), list(found.notes)
    for has, words, ending in ((scans, SCANS, ""), (maps, MAPS, _ENDING)):
        for who in people:
            unit = f"sub-{who}{ending}"
            if who in has or _is_said(unit, ending, problems, notes):
                continue
            if asked:
                problems.append(Problem(unit, f"no {words} of theirs were found."))
            else:
                notes.append(f"sub-{who}: no {words} were found")
    return replace(found, problems=tuple(problems), notes=tuple(notes))


def _is_said(
    unit: str, ending: str, problems: Sequence[Problem], notes: Sequence[str]
) -> bool:
    """Tell whether a problem or a note speaks of this lack."""
    who = unit.removesuffix(ending)
    of_maps = bool(ending)
    for problem in problems:
        name = problem.unit
        if name.partition("_")[0] == who and name.endswith(_ENDING) == of_maps:
            return True
    start = f"{who}: no {'grey-matter map' if of_maps else 'image'}"
    return any(note.startswith(start) for note in notes)


def people_table(
    config: Config, found: Discovery
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the table of people, as text, and what its columns mean.

    People of maps from elsewhere get a row; without fMRIPrep's output the table is
    that of BIDS_DIR.
    """
    labels = sorted({one.entities["sub"] for one in found.maps})
    is_elsewhere = any(one.pipeline != "fmriprep" for one in found.maps)
    if found.scans or not is_elsewhere:
        return participants_table(config.bids_dir, config.derivatives, labels)
    return read_roster((config.bids_dir,), labels)[:2]
