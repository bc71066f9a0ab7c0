"""One grey-matter map, from the image to its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bidsclf import __version__
from bidsclf.config import ExtractConfig
from bidsclf.features.graymatter import GreyMatter, graymatter
from bidsclf.files import derivatives, greymatter, status
from bidsclf.scan import GreyMap
from bidsclf.workflows import _run, _units

SOFTWARE = ("scipy", "numpy", "nibabel", "isal")


@dataclass(frozen=True, slots=True, kw_only=True)
class MapJob(_units.Job):
    """All that a worker needs to do one map."""

    grey: GreyMap
    config: ExtractConfig


def unit_name(grey: GreyMap, config: ExtractConfig) -> str:
    """Return the name under which a map's status is kept."""
    grid = f"_res-{grey.res}" if grey.res else ""
    stem = grey.name.removesuffix("_label-GM")
    desc = greymatter.desc(grey.pipeline, config.graymatter.size)
    return f"{stem}_space-{grey.space}{grid}_label-GM_desc-{desc}"


def unit_key(grey: GreyMap, config: ExtractConfig) -> str:
    """Return ``settings.inputs.asked``, as of scans; nothing only adds to a map."""
    settings = {
        "size": config.graymatter.size,
        "smoothing_fwhm_mm": config.graymatter.smoothing_fwhm_mm,
        "is_modulated": grey.is_modulated,
    }
    hashes = status.unit_key(settings, []), status.unit_key({}, [grey.path])
    return ".".join((*(text[:16] for text in hashes), "map"))


def path_of(grey: GreyMap, config: ExtractConfig) -> str:
    """Return the image that a map becomes, relative to the output."""
    desc = greymatter.desc(grey.pipeline, config.graymatter.size)
    path = greymatter.map_path(grey.entities, grey.space, grey.res, desc)
    return path.as_posix()


def process(job: MapJob) -> _run.Unit:
    """Resample a map, write its files and, last, its status."""

    def write(stage: Path) -> list[Path]:
        found = graymatter(job.grey, job.config)
        return greymatter.write_map(stage, to_output(found, job))

    return _units.process(job, write)


def to_output(found: GreyMatter, job: MapJob) -> greymatter.GreyOutput:
    """Put what was computed into the words of the files."""
    grey, notes = job.grey, [*job.grey.notes, *found.notes]
    meta = {
        "GreyMatterML": round(found.total_ml, 3),
        "Notes": notes,
        "PipelineVersions": {
            "bidsclf": __version__,
            **{name: version(name) for name in SOFTWARE},
        },
    }
    return greymatter.GreyOutput(
        entities=grey.entities,
        space=grey.space,
        res=grey.res,
        pipeline=grey.pipeline,
        values=found.values,
        affine=found.grid.affine,
        box_mm=found.grid.box_mm,
        is_modulated=grey.is_modulated,
        fwhm_mm=job.config.graymatter.smoothing_fwhm_mm,
        sources=(_source(grey),),
        meta={key: value for key, value in meta.items() if value != []},
    )


def _source(grey: GreyMap) -> str:
    """Return the URI of a map; one that a table names may lie outside its dataset."""
    if grey.path.is_relative_to(grey.dataset):
        return derivatives.bids_uri(grey.path, grey.dataset, grey.pipeline)
    return grey.path.resolve().as_uri()


def descriptions(maps: Sequence[GreyMap], config: ExtractConfig) -> dict[str, str]:
    """Return what each ``desc-`` of maps means."""
    size = config.graymatter.size
    words = {"fmriprep": "fMRIPrep", "cat12": "CAT12", "vbm": "SPM's VBM"}
    return {
        greymatter.desc(name, size): f"Grey-matter maps of {words[name]} on a cube of"
        f" {size} cells along each axis."
        for name in sorted({one.pipeline for one in maps})
    }
