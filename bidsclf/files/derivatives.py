"""Seam 1: what the participant level writes, and how it is found again."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf.errors import InputError
from bidsclf.files import paths, store
from bidsclf.files.roots import AtlasOutput, Roots, write_roots
from bidsclf.files.volumes import VolumeOutput, write_volume

__all__ = [
    "AtlasOutput",
    "Roots",
    "ScanOutput",
    "VolumeOutput",
    "bids_uri",
    "find_features",
    "write_features",
    "write_roots",
]
MEASURES = {  # stat- label: what the numbers are
    "pearsoncorrelation": "Pearson correlation, dimensionless, in [-1, 1]",
    "fisherz": "arctanh of the Pearson correlation, dimensionless",
    "partialcorrelation": "Partial correlation given all other regions, in [-1, 1]",
    "covariance": "Ledoit-Wolf covariance of the standardized signals",
}
COVERAGE = {
    "region": {"Description": "Name of the region"},
    "coverage": {"Description": "Share of the region's voxels inside the brain mask"},
    "n_voxels": {"Description": "Voxels of the region on the image's grid"},
}
QUALITY = {
    "mean_fd": {"Description": "Mean framewise displacement", "Units": "mm"},
    "max_fd": {"Description": "Largest framewise displacement", "Units": "mm"},
    "n_volumes": {"Description": "Volumes of the image"},
    "n_kept": {"Description": "Volumes kept after dummy scans and censoring"},
    "dummy_scans": {"Description": "Volumes dropped at the start"},
    "seconds_kept": {"Description": "Time kept", "Units": "s"},
    "tr_s": {"Description": "Repetition time", "Units": "s"},
    "tsnr": {"Description": "Median over brain voxels of temporal mean / deviation"},
    "mean_dvars": {"Description": "Mean DVARS of the table of confounds"},
}
MOTION = {
    "volume": {"Description": "Number of the volume, from 0"},
    "framewise_displacement": {"Description": "Movement since the last", "Units": "mm"},
    "dvars": {"Description": "DVARS of the table of confounds"},
    "kept": {"Description": "1 for a volume that was used, 0 for one left out"},
}
NAMES = {"sub": "participant_id", "ses": "session"}  # entity: column, if another
FEATURE = re.compile(
    r"\.tsv$|_desc-[0-9A-Za-z]*grid[0-9]+_bold\.nii\.gz$"
    r"|_label-GM_desc-[0-9A-Za-z]*iso[0-9]+_probseg\.nii\.gz$"
)
COLUMNS = (*(NAMES.get(key, key) for key in paths.ORDER), "suffix", "path")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOutput:
    """All that is written for one scan.

    Attributes
    ----------
    entities : dict
        ``Scan.entities``.
    space, res, desc : str, str or None, str
        Template, its resolution label, and the name of the strategy.
    tr_s : float or None
        Repetition time in seconds.
    atlases : tuple of AtlasOutput
    quality : dict
        The one row of quality.tsv.
    motion : DataFrame or None
        One row a volume: volume, framewise_displacement, dvars, kept.
    sources : tuple of str
        BIDS URIs of the files read; see ``bids_uri``.
    meta : dict
        Fields of every sidecar: regressors, filter, censored volumes, versions.
    volume : VolumeOutput or None
    """

    entities: Mapping[str, str]
    space: str
    desc: str
    tr_s: float | None
    atlases: tuple[AtlasOutput, ...]
    res: str | None = None
    quality: Mapping[str, Any] = field(default_factory=dict)
    motion: pd.DataFrame | None = None
    sources: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    volume: VolumeOutput | None = None


def bids_uri(path: Path, dataset: Path, name: str = "fmriprep") -> str:
    """Return the BIDS URI of a file of a linked dataset.

    Examples
    --------
    >>> bids_uri(Path("/data/fmriprep/sub-01/func/x.tsv"), Path("/data/fmriprep"))
    'bids:fmriprep:sub-01/func/x.tsv'
    """
    return f"bids:{name}:{path.relative_to(dataset).as_posix()}"


def write_features(out: Path, scan: ScanOutput) -> list[Path]:
    """Write the features of one scan with their sidecars.

    Parameters
    ----------
    out : Path
        Root of the derivative dataset.
    scan : ScanOutput

    Returns
    -------
    list of Path
        Every file written.

    Raises
    ------
    InputError
        Names and arrays do not fit, or the disk refuses.
    """
    for atlas in scan.atlases:
        _check(atlas)
    written = [p for atlas in scan.atlases for p in _write_atlas(out, scan, atlas)]
    if scan.volume is not None:
        shared, tr_s = _sidecar(scan), scan.tr_s or 0.0
        written += write_volume(
            out, _entities(scan), shared, volume=scan.volume, tr_s=tr_s
        )
    return written + list(_write_quality(out, scan))


def _check(atlas: AtlasOutput) -> None:
    n_regions = len(atlas.regions)
    if len(set(atlas.regions)) < n_regions:
        twice = sorted({n for n in atlas.regions if atlas.regions.count(n) > 1})
        raise InputError(
            f"atlas {atlas.atlas!r} names {len(twice)} regions more than once, first"
            f" {twice[:3]}; each column needs its own name. Rename them in its table."
        )
    shapes = {stat: (matrix.shape, 2) for stat, matrix in atlas.matrices.items()}
    if atlas.series is not None:
        shapes["series"] = (atlas.series.shape[1:], 1)
    if atlas.coverage is not None:
        shapes["coverage"] = (atlas.coverage.shape, 1)
    for name, (shape, rank) in shapes.items():
        if shape != (n_regions,) * rank:
            raise InputError(
                f"atlas {atlas.atlas!r} has {n_regions} regions, its {name} has the"
                f" shape {shape}; each region is one column."
            )


def _entities(scan: ScanOutput, atlas: AtlasOutput | None = None) -> dict[str, str]:
    """Return the entities of a file of this scan, without ``stat``."""
    found = dict(scan.entities) | {"space": scan.space, "desc": scan.desc}
    extra = {"res": scan.res}
    if atlas is not None:
        extra |= {"atlas": atlas.atlas, "seg": atlas.seg, "scale": atlas.scale}
    return found | {key: value for key, value in extra.items() if value is not None}


def _sidecar(scan: ScanOutput, atlas: AtlasOutput | None = None) -> dict[str, Any]:
    """Return what every sidecar of this scan says."""
    fields: dict[str, Any] = {}
    if scan.sources:
        fields["Sources"] = list(scan.sources)
    if scan.tr_s:
        fields |= {"RepetitionTime": scan.tr_s, "SamplingFrequency": 1 / scan.tr_s}
    if atlas is not None:
        fields["Atlas"] = paths.label(atlas.atlas)
        if atlas.digest:
            fields["AtlasDigest"] = atlas.digest
    return fields | dict(scan.meta)


def _write_atlas(out: Path, scan: ScanOutput, atlas: AtlasOutput) -> Iterator[Path]:
    entities, sidecar = _entities(scan, atlas), _sidecar(scan, atlas)
    series = paths.build(entities | {"stat": "mean"}, "timeseries", ".tsv")
    if atlas.series is not None:
        yield store.write_series(out / series, atlas.series, atlas.regions)
        yield _describe(out / series, sidecar | {"SeriesUnits": "arbitrary"})
    for stat, matrix in atlas.matrices.items():
        path = out / paths.build(entities | {"stat": stat}, "relmat", ".tsv")
        yield store.write_matrix(path, matrix, atlas.regions)
        sources = {"Sources": [f"bids::{series}"]} if atlas.series is not None else {}
        yield _describe(path, sidecar | sources | _measure(stat))
    if atlas.coverage is not None:
        path = out / paths.build(entities | {"stat": "coverage"}, "coverage", ".tsv")
        table = {"region": atlas.regions, "coverage": atlas.coverage}
        if atlas.n_voxels is not None:
            table["n_voxels"] = atlas.n_voxels
        yield store.write_table(path, pd.DataFrame(table))
        yield _describe(path, sidecar | {key: COVERAGE[key] for key in table})


def _measure(stat: str) -> dict[str, Any]:
    return {
        "Measure": stat,
        "MeasureDescription": MEASURES.get(stat, stat),
        "Weighted": True,
        "Directed": False,
        "StorageFormat": "Full",
    }


def _write_quality(out: Path, scan: ScanOutput) -> Iterator[Path]:
    entities, sidecar = _entities(scan), _sidecar(scan)
    if scan.quality:
        path = out / paths.build(entities, "quality", ".tsv")
        yield store.write_table(path, pd.DataFrame([dict(scan.quality)]))
        known = {key: QUALITY[key] for key in scan.quality if key in QUALITY}
        yield _describe(path, sidecar | known)
    if scan.motion is not None:
        entities = {k: v for k, v in entities.items() if k not in ("space", "res")}
        path = out / paths.build(entities, "motion", ".tsv")
        yield store.write_table(path, scan.motion)
        known = {key: MOTION[key] for key in scan.motion if key in MOTION}
        yield _describe(path, sidecar | known)


def _describe(table: Path, fields: Mapping[str, Any]) -> Path:
    return store.write_json(table.with_suffix(".json"), fields)


def find_features(out: Path, participant: str = "") -> pd.DataFrame:
    """List the tables and the images of seam 1, one row a file, sorted by path.

    Images are those of the feature 'volume': suffix ``bold``, ``desc`` with the
    grid at its end, such as ``simplegrid34``; grid 0 is an image's own. And those
    of 'graymatter': suffix ``probseg``, ``desc`` such as ``iso64``.

    Parameters
    ----------
    out : Path
        Output of the participant level, or of ``bidsclf-data``.
    participant : str
        ``sub-01`` to look into that folder alone.

    Returns
    -------
    files : DataFrame
        ``participant_id`` ("sub-01"), ``session``, every other entity by its
        short key (None where the name lacks it), ``suffix`` and ``path``.

    Raises
    ------
    InputError
        The folder is absent.
    """
    if not out.is_dir():
        raise InputError(
            f"{out}: no such folder; it should hold what the participant level wrote."
        )
    if participant:
        folder = out / participant
        found = _features(str(folder), 1) if folder.is_dir() else iter(())
    else:
        found = _features(str(out), 0)
    rows = [_row(Path(path)) for path in sorted(found)]
    return pd.DataFrame([row for row in rows if row], columns=list(COLUMNS))


def _features(folder: str, depth: int) -> Iterator[str]:
    """Yield the tables and volumes in ``sub-*/[ses-*/]{func,anat}``."""
    for entry in os.scandir(folder):
        kind = entry.name.partition("-")[0]
        goes_on = kind == "sub" if depth == 0 else kind in ("ses", "func", "anat")
        if goes_on and depth < 3 and entry.is_dir():
            yield from _features(entry.path, depth + 1)
        elif depth >= 2 and kind == "sub" and FEATURE.search(entry.name):
            yield entry.path


def _row(path: Path) -> dict[str, Any] | None:
    """Return one row of ``find_features``; None for a name that is not BIDS."""
    try:
        entities, suffix, _ = paths.parse(path.name)
    except InputError:
        return None
    row = dict.fromkeys(COLUMNS) | {NAMES.get(k, k): v for k, v in entities.items()}
    row |= {"participant_id": f"sub-{entities.get('sub')}", "suffix": suffix}
    return row | {"path": path}
