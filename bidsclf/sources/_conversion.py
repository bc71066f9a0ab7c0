"""One person's file of the Preprocessed Connectomes Project to seam 1."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bidsclf import __version__
from bidsclf.errors import InputError
from bidsclf.features import connectivity
from bidsclf.files import derivatives, paths, status, store
from bidsclf.sources import _pcp, _phenotype
from bidsclf.sources._units import write_unit

SPACE = "MNI152NLin6Asym"  # FSL's, C-PAC's target; the files of others name none
PROJECT = "http://preprocessed-connectomes-project.org/abide/"
CITATION = "Craddock et al. 2013, doi:10.3389/conf.fninf.2013.09.00041"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is made of one person's file.

    Attributes
    ----------
    series : Series
    tr_s : float or None
        Published repetition time in seconds.
    mean_fd : float
        Mean framewise displacement in mm, from the table; NaN where missing.
    root : Path
        Folder the file is named from in ``Sources``.
    labels : tuple of str
        Label values that the file's header should hold.
    """

    series: _pcp.Series
    tr_s: float | None
    mean_fd: float
    root: Path
    labels: tuple[str, ...]


def convert_person(out: Path, plan: Plan) -> str:
    """Write one person's features, unless they are there; return the problem."""
    scan = _describe(plan)
    unit = f"{plan.series.participant}_task-rest_atlas-{plan.series.kind[2]}"
    unit += f"_desc-{scan.desc}"
    settings = {"version": __version__, "tr_s": plan.tr_s, "mean_fd": plan.mean_fd}
    key = status.unit_key(settings, [plan.series.path])
    return write_unit(out, unit, key, lambda: _fill(scan, plan))


def _describe(plan: Plan) -> derivatives.ScanOutput:
    pipeline, strategy, _ = plan.series.kind
    meta: dict[str, Any] = {
        "Pipeline": f"{pipeline} {strategy}",
        "Strategy": strategy,
        "SpatialReference": SPACE,
    }
    if plan.tr_s is None:
        meta["SamplingFrequency"] = store.MISSING
        meta["Note"] = "the files do not give the repetition time of this site"
    else:
        meta["RepetitionTimeSource"] = _phenotype.site_facts()["source"]
    return derivatives.ScanOutput(
        entities={"sub": plan.series.participant.removeprefix("sub-"), "task": "rest"},
        space=SPACE,
        desc=paths.label(pipeline + strategy),
        tr_s=plan.tr_s,
        atlases=(),
        sources=(derivatives.bids_uri(plan.series.path, plan.root, "abide"),),
        meta=meta,
    )


def atlas_of(plan: Plan) -> derivatives.AtlasOutput:
    """Return the atlas of a file: columns are named by atlas and label value."""
    name = plan.series.kind[2]
    regions = tuple(f"{name}_{label}" for label in plan.labels)
    digest = hashlib.sha256("\n".join((PROJECT, *regions)).encode()).hexdigest()
    return derivatives.AtlasOutput(
        atlas=name,
        regions=regions,
        digest=digest,
        meta={
            "Name": name,
            "Description": f"rois_{name} of the Preprocessed Connectomes Project;"
            " a region is named by its label value.",
            "SpatialReference": SPACE,
            "License": "Unknown",
            "ReferencesAndLinks": [PROJECT, CITATION],
        },
    )


def _fill(scan: derivatives.ScanOutput, plan: Plan) -> derivatives.ScanOutput:
    """Read the file and relate its regions."""
    series, labels = _pcp.read_series(plan.series.path)
    if labels != plan.labels:
        raise InputError(
            f"{plan.series.path}: {len(labels)} regions, others have"
            f" {len(plan.labels)} or other labels; all files share one atlas."
            " Fetch the file again."
        )
    quality = {
        "mean_fd": None if np.isnan(plan.mean_fd) else plan.mean_fd,
        "n_volumes": len(series),
        "n_kept": len(series),
        "seconds_kept": len(series) * plan.tr_s if plan.tr_s else None,
        "tr_s": plan.tr_s,
    }
    atlas = replace(
        atlas_of(plan), series=series, matrices=connectivity.matrices(series)
    )
    return replace(scan, atlases=(atlas,), quality=quality)
