"""One run of ADHD-200 to seam 1."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bidsclf import __version__
from bidsclf.features import connectivity
from bidsclf.files import derivatives, paths, status, store
from bidsclf.sources import _adhd_people, _arrays, _athena
from bidsclf.sources._units import write_unit

SPACE = "MNI152NLin6Asym"  # Athena's target is an MNI152 template; files name none
PROJECT = "http://preprocessed-connectomes-project.org/adhd200/"
CITATION = "Bellec et al. 2017, doi:10.1016/j.neuroimage.2016.06.034"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is made of one run.

    Attributes
    ----------
    participant : str
    entities : dict
        'ses' and 'run' of the run, where the layout has them.
    path : Path
        File it is read from.
    row : int or None
        Row of an array; None for a file of its own.
    site : str
    atlas, desc : str
    regions : tuple of str
        Label values of the regions.
    root : Path
        Folder the file is named from in ``Sources``.
    motion_mm : tuple of float
        Mean and largest framewise displacement, NaN where not known.
    """

    participant: str
    entities: dict[str, str]
    path: Path
    row: int | None
    site: str
    atlas: str
    desc: str
    regions: tuple[str, ...]
    root: Path
    motion_mm: tuple[float, float]

    @property
    def unit(self) -> str:
        """Name of the unit of work: ``sub-0010042_ses-1_task-rest_run-1_…``."""
        pairs = _entities(self) | {"atlas": self.atlas, "desc": self.desc}
        names = (key for key in paths.ORDER if key in pairs)
        return "_".join(f"{key}-{pairs[key]}" for key in names)


def _entities(plan: Plan) -> dict[str, str]:
    return {
        "sub": plan.participant.removeprefix("sub-"),
        "task": "rest",
        **plan.entities,
    }


def convert_run(out: Path, plan: Plan) -> str:
    """Write one run's features, unless they are there; return the problem."""
    settings = {
        "version": __version__,
        "tr_s": _adhd_people.repetition_time(plan.site),
        "motion_mm": plan.motion_mm,
        "row": plan.row,
        "regions": plan.regions,
    }
    key = status.unit_key(settings, [plan.path])
    return write_unit(out, plan.unit, key, lambda: _read(plan))


def atlas_of(plan: Plan) -> derivatives.AtlasOutput:
    """Return the atlas of a run: columns are named by atlas and label value."""
    regions = tuple(f"{plan.atlas}_{label}" for label in plan.regions)
    digest = hashlib.sha256("\n".join((PROJECT, *regions)).encode()).hexdigest()
    said = (
        "of the Athena pipeline of ADHD-200; a region is named by its label value."
        if plan.row is None
        else "of arrays that name no atlas; a region is named by its column, from 1."
    )
    return derivatives.AtlasOutput(
        atlas=plan.atlas,
        regions=regions,
        digest=digest,
        meta={
            "Name": plan.atlas,
            "Description": f"Regions {said}",
            "SpatialReference": SPACE,
            "License": "Unknown",
            "ReferencesAndLinks": [PROJECT, CITATION],
        },
    )


def _meta(plan: Plan, tr_s: float | None) -> dict[str, Any]:
    meta: dict[str, Any] = {"Strategy": plan.desc, "SpatialReference": SPACE}
    if plan.row is not None:
        meta["PaddingRemoved"] = "volumes of exact zeros at the end"
    if tr_s is None:
        meta["SamplingFrequency"] = store.MISSING
        meta["Note"] = "the repetition time of this site is not known"
    else:
        meta["RepetitionTimeSource"] = _adhd_people.facts()["source"]
    return meta


def _series(plan: Plan) -> np.ndarray:
    if plan.row is None:
        return _athena.read_course(plan.path, plan.regions)
    return _arrays.read_person(plan.path, plan.row, plan.participant)


def _read(plan: Plan) -> derivatives.ScanOutput:
    """Read a run and relate its regions."""
    series, tr_s = _series(plan), _adhd_people.repetition_time(plan.site)
    mean_fd, max_fd = (None if np.isnan(one) else one for one in plan.motion_mm)
    quality = {
        "mean_fd": mean_fd,
        "max_fd": max_fd,
        "n_volumes": len(series),
        "n_kept": len(series),
        "seconds_kept": len(series) * tr_s if tr_s else None,
        "tr_s": tr_s,
    }
    atlas = replace(
        atlas_of(plan), series=series, matrices=connectivity.matrices(series)
    )
    return derivatives.ScanOutput(
        entities=_entities(plan),
        space=SPACE,
        desc=plan.desc,
        tr_s=tr_s,
        atlases=(atlas,),
        sources=(derivatives.bids_uri(plan.path, plan.root, "adhd200"),),
        quality=quality,
        meta=_meta(plan, tr_s),
    )
