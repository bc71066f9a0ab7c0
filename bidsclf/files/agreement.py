"""What all scans of a cohort must share: regions and preprocessing."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bidsclf.errors import InputError
from bidsclf.files.images import AXES, GREY, VOLUME, Grid, common_grid, sidecar
from bidsclf.files.inputs import Scan, has_regions, peek
from bidsclf.files.people import listed

PREPROCESSING = (  # sidecar fields that describe how, not whom
    "Strategy", "HighPassHz", "LowPassHz", "SmoothingFWHM", "FDThreshold",
    "MinCoverage", "Pipeline", "AtlasDigest", "StrategyDigest", "DummyScansAsked",
    "StdDVARSThreshold", "MinSegmentVolumes",
)  # fmt: skip
LATER = PREPROCESSING[-4:]  # older files say nothing of them
OF_IMAGES: Mapping[str, tuple[str, ...]] = {
    VOLUME: (
        *PREPROCESSING, "GridBoxMM", "VolumeLength", "VolumePick",
        "VolumeStandardization",
    ),
    GREY: ("MapPipeline", "Modulated", "GMSmoothingFWHM", "GridBoxMM"),
}  # fmt: skip


def common_regions(
    scans: Sequence[Scan], people: Sequence[str]
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the regions of all scans, and which are missing in each.

    A scan that has an image alone has none of its own.

    Parameters
    ----------
    scans : sequence of Scan
    people : sequence of str
        Whose each scan is, for messages.

    Returns
    -------
    regions : tuple of str, length n_regions
    is_missing : bool array of shape (n_scans, n_regions)

    Raises
    ------
    InputError
        Scans differ in number, names or order of regions; the message names
        the people who differ from most.
    """
    held = [
        (who, *peek(s)) for who, s in zip(people, scans, strict=True) if has_regions(s)
    ]
    if not held:
        return (), np.zeros((len(scans), 0), bool)
    usual = Counter(names for _, names, _ in held).most_common(1)[0][0]
    odd = {person: len(names) for person, names, _ in held if names != usual}
    if odd:
        raise InputError(
            f"{len(odd)} of {len(set(people))} people have other regions than the"
            f" {len(usual)} of the rest: {listed(odd)} (the first has"
            f" {next(iter(odd.values()))}). All people of a cohort share one atlas."
            " Run the participant level again for them, or select the others."
        )
    is_missing = np.zeros((len(scans), len(usual)), bool)
    is_missing[[has_regions(scan) for scan in scans]] = [
        missing for *_, missing in held
    ]
    return usual, is_missing


def common_preprocessing(
    files: Sequence[Path], people: Sequence[str], names: Sequence[str] = PREPROCESSING
) -> dict[str, Any]:
    """Return how all scans were made, from the sidecar of a file of each.

    Parameters
    ----------
    files : sequence of Path
    people : sequence of str
        Whose each file is, for messages.
    names : sequence of str
        Fields that say how.

    Raises
    ------
    InputError
        Scans were made in different ways; the message names the people who
        differ from most, and in what.
    """
    if not files:
        return {}
    made = [_fields(path, names) for path in files]
    keys = [json.dumps(one, sort_keys=True) for one in made]
    usual = dict(made[keys.index(Counter(keys).most_common(1)[0][0])])
    for name in LATER:
        said = Counter(one[name] for one in made if name in one)
        if said:
            usual[name] = said.most_common(1)[0][0]
    odd = {
        person: differ
        for person, one in zip(people, made, strict=True)
        if (differ := differences(one, usual))
    }
    if odd:
        raise InputError(
            f"{len(odd)} of {len(set(people))} people were preprocessed otherwise than"
            f" the rest: {listed(odd)} ({next(iter(odd.values()))})."
            " Run the participant level again for them with the same settings, or"
            " select the others."
        )
    return usual


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return in what two ways of preprocessing differ; empty if in nothing.

    Parameters
    ----------
    one, other : dict
        Fields of ``PREPROCESSING``. One of ``LATER`` counts only where both say
        it, since older files are silent on it.

    Examples
    --------
    >>> differences({"MinCoverage": 0.5}, {"MinCoverage": 0.8, "StrategyDigest": "a"})
    'MinCoverage 0.5 against 0.8'
    """
    return "; ".join(
        f"{name} {one.get(name)} against {other.get(name)}"
        for name in dict.fromkeys([*PREPROCESSING, *one, *other])
        if one.get(name) != other.get(name)
        and (name not in LATER or (name in one and name in other))
    )


def how_made(
    scans: Sequence[Scan], people: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Grid], dict[str, dict[str, Any]]]:
    """Return how tables were made, and the grids of images and how they were made.

    Parameters
    ----------
    scans : sequence of Scan
    people : sequence of str
        Whose each scan is, for messages.

    Returns
    -------
    tables : dict
        Where there is none, how the volumes were made.
    grids, images : dict of kind
        Without those that nobody has.

    Raises
    ------
    InputError
        Somebody's were made otherwise, or lie elsewhere; the message names them.
    """
    held, tables = [*zip(scans, people, strict=True)], []
    for scan, who in held:
        of_regions = [scan[k] for k in scan if k not in ("quality", *AXES)]
        tables += [(of_regions[0], who)] if of_regions else []
    of_tables = common_preprocessing(*_apart(tables))
    grids, made = {}, {}
    for kind in AXES:
        images = [(scan[kind], who) for scan, who in held if kind in scan]
        paths, whose = _apart([*dict.fromkeys(images)])
        if grid := common_grid(paths, whose, kind):
            grids[kind] = grid
            made[kind] = common_preprocessing(paths, whose, OF_IMAGES[kind])
    return of_tables or made.get(VOLUME, {}), grids, made


def _fields(path: Path, names: Sequence[str]) -> dict[str, Any]:
    said = sidecar(path)
    return {name: said[name] for name in names if name in said}


def _apart(pairs: Sequence[tuple[Path, str]]) -> tuple[list[Path], list[str]]:
    return [path for path, _ in pairs], [who for _, who in pairs]
