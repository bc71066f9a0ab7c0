"""One scan, from the image to its files."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.config import ExtractConfig, VolumeConfig, to_plain
from bidsclf.errors import ConfigError
from bidsclf.features._atlas import Atlas, load_atlas
from bidsclf.features._pass import AtlasFeatures, ScanFeatures, extract_scan
from bidsclf.features.volume import Volumes, standardization
from bidsclf.files import derivatives, paths, status, store
from bidsclf.scan import Scan
from bidsclf.workflows import _run, _units

ASKED = (
    "features",
    "atlases",
    "volume",
    "graymatter",
)  # settings that add files and change none
PICKED = ("VolumePick", "VolumeLength", "VolumeStandardization")  # of one grid's file


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanJob(_units.Job):
    """All that a worker needs to do one scan.

    Attributes
    ----------
    cache : Path
        The atlases resampled so far.
    """

    scan: Scan
    config: ExtractConfig
    cache: Path


def unit_name(scan: Scan, config: ExtractConfig) -> str:
    """Return the name under which a scan's status is kept."""
    grid = f"_res-{scan.res}" if scan.res else ""
    desc = paths.label(Path(config.denoise.strategy).stem)
    return f"{scan.name}_space-{scan.space}{grid}_desc-{desc}"


def unit_key(scan: Scan, config: ExtractConfig, atlases: Sequence[Atlas]) -> str:
    """Return ``settings.inputs.asked``, three hashes.

    Settings that differ contradict what is there; other inputs make it stale;
    another atlas only adds to it.
    """
    settings = to_plain(config)
    digests = sorted(f"{atlas.label} {atlas.digest}" for atlas in atlases)
    of_scans = sorted(set(config.features) - {"graymatter"})
    asked = {"features": of_scans, "atlases": digests}
    if "volume" in config.features:
        asked["volume"] = settings["volume"]
    rest = {name: value for name, value in settings.items() if name not in ASKED}
    strategy = Path(config.denoise.strategy)
    if strategy.is_file():
        rest["strategy"] = hashlib.sha256(strategy.read_bytes()).hexdigest()
    inputs = [path for path in (scan.bold, scan.mask, scan.confounds) if path]
    hashes = (
        status.unit_key(rest, []),
        status.unit_key({"tr_s": scan.tr_s}, inputs),
        status.unit_key(asked, []),
    )
    return ".".join(text[:16] for text in hashes)


def other_volumes(out: Path, before: status.UnitStatus, config: ExtractConfig) -> bool:
    """Tell whether volumes on this grid are there that were taken otherwise."""
    if "volume" not in config.features:
        return False
    end, asked = f"grid{config.volume.size}_bold.json", _picked(config.volume)
    there = [out / name for name in before.outputs if name.endswith(end)]
    return any(
        path.is_file()
        and {k: v for k, v in store.read_json(path).items() if k in PICKED} != asked
        for path in there
    )


def process(job: ScanJob) -> _run.Unit:
    """Extract a scan, write its files and, last, its status."""

    def write(stage: Path) -> list[Path]:
        found = extract_scan(job.scan, job.config, cache_dir=job.cache)
        return derivatives.write_features(stage, to_output(found, job))

    return _units.process(job, write)


def to_output(found: ScanFeatures, job: ScanJob) -> derivatives.ScanOutput:
    """Put what was computed into the words of the files."""
    scan, config = job.scan, job.config
    read = [path for path in (scan.bold, scan.mask, scan.confounds) if path]
    return derivatives.ScanOutput(
        entities=scan.entities,
        space=scan.space,
        res=scan.res,
        desc=Path(config.denoise.strategy).stem,
        tr_s=found.tr_s,
        atlases=tuple(_atlas_output(one, config) for one in found.atlases),
        quality=found.quality,
        motion=_motion(found),
        sources=tuple(derivatives.bids_uri(path, scan.dataset) for path in read),
        meta=found.meta,
        volume=_volume_output(found.volumes, job),
    )


def _volume_output(
    found: Volumes | None, job: ScanJob
) -> derivatives.VolumeOutput | None:
    if found is None:
        return None
    return derivatives.VolumeOutput(
        values=found.values,
        affine=found.grid.affine,
        box_mm=found.grid.box_mm,
        taken=found.taken,
        is_masked=job.scan.mask is not None,
        fields=_picked(job.config.volume),
    )


def _picked(asked: VolumeConfig) -> dict[str, Any]:
    """Return what rules the volumes of one grid, as their sidecar says it."""
    return {
        "VolumePick": asked.pick if asked.length else "all",
        "VolumeLength": asked.length or "all",
        "VolumeStandardization": standardization(asked),
    }


def _atlas_output(one: AtlasFeatures, config: ExtractConfig) -> derivatives.AtlasOutput:
    return replace(
        atlas_words(one.atlas),
        series=one.series if "timeseries" in config.features else None,
        matrices=one.matrices,
        coverage=one.coverage,
        n_voxels=one.n_voxels,
    )


def atlas_words(atlas: Atlas) -> derivatives.AtlasOutput:
    """Return an atlas without numbers, for names and descriptions."""
    meta = {"License": atlas.license, "ReferencesAndLinks": [atlas.citation]}
    return derivatives.AtlasOutput(
        atlas=atlas.name,
        regions=atlas.regions,
        seg=atlas.seg,
        scale=atlas.scale,
        digest=atlas.digest,
        meta={key: value for key, value in meta.items() if value not in ("", [""])},
    )


def _motion(found: ScanFeatures) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "volume": np.arange(len(found.kept)),
            "framewise_displacement": found.fd,
            "dvars": found.denoise.dvars,
            "kept": found.kept.astype(int),
        }
    )


def load_atlases(config: ExtractConfig) -> list[Atlas]:
    """Load every atlas that is needed; a wrong name ends the run here.

    Raises
    ------
    ConfigError
        Two have one label, and so would their files.
    """
    names = config.atlases if config.needs_atlas else ()
    atlases = [load_atlas(name) for name in names]
    labels = [_label(atlas) for atlas in atlases]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise ConfigError(
            f"--atlases {' '.join(config.atlases)}: more than one is called"
            f" {', '.join(sorted(twice))}, and so would their files. Rename one."
        )
    return atlases


def _label(atlas: Atlas) -> str:
    return paths.label(atlas.label.replace(" ", ""))


def _note(out: Path, atlas: Atlas) -> Path:
    return out / ".bidsclf" / "atlases" / f"{_label(atlas)}.json"


def check_atlases(out: Path, atlases: Sequence[Atlas], *, force: bool) -> None:
    """Refuse an atlas whose label another one has in this output.

    Raises
    ------
    ConfigError
        Its files would replace the other's, or stand among them as if alike.
    """
    for atlas in atlases:
        note = _note(out, atlas)
        if force or not note.is_file():
            continue
        if store.read_json(note).get("digest") != atlas.digest:
            raise ConfigError(
                f"{out} holds features of another atlas that is called {atlas.label}"
                " too. Rename the file, give another output folder, or --force to"
                " replace them."
            )


def note_atlases(out: Path, atlases: Sequence[Atlas]) -> None:
    """Keep word of which atlas bears a label in this output."""
    for atlas in atlases:
        values = {"label": atlas.label, "digest": atlas.digest}
        store.write_json(_note(out, atlas), values)
