"""The page of one participant: motion, signals, connectivity, volumes, maps."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.files import images, paths, status, store
from bidsclf.files.derivatives import find_features
from bidsclf.report import figures, page
from bidsclf.report.volumes import PICKED

ENTITIES = ("session", "task", "acq", "ce", "rec", "dir", "run", "echo", "part")
GRID = ("atlas", "seg", "scale", "space", "res")
PIPELINES = {"fmriprep": "fMRIPrep", "cat12": "CAT12", "vbm": "SPM's VBM"}
SUMMARY = {  # column of quality.tsv -> heading
    "n_kept": "volumes kept",
    "n_volumes": "of",
    "seconds_kept": "seconds kept",
    "mean_fd": "mean FD (mm)",
    "max_fd": "max FD (mm)",
    "tsnr": "tSNR",
}


def participant_page(out: Path, participant: str) -> Path:
    """Write ``OUT/sub-01.html`` from what the participant level wrote.

    Parameters
    ----------
    out : Path
        The output dataset.
    participant : str
        ``sub-01``.
    """
    files = find_features(out, participant)
    keys = [*ENTITIES, "desc"]
    maps = files[files["suffix"] == "probseg"]["path"]
    files = files[files["suffix"] != "probseg"]
    named = files.assign(scan=[_name(row) for row in files[keys].to_dict("records")])
    scans = [_scan(name, rows) for name, rows in named.groupby("scan")]
    values = {
        "participant": participant,
        "scans": scans,
        "maps": [_map(Path(path)) for path in maps],
        "failures": _failures(out, participant),
        "summary": page.rows(
            [scan["summary"] for scan in scans],
            ["scan", *SUMMARY.values()],
            numbers=SUMMARY.values(),
        ),
    }
    return page.write(out / f"{participant}.html", "participant", values)


def _name(row: Mapping[str, Any]) -> str:
    pairs = [f"{key} {row[key]}" for key in ENTITIES if not pd.isna(row[key])]
    strategy = re.sub(r"grid\d+$", "", row["desc"])  # what volumes add to it
    return ", ".join([*pairs, f"cleaned by {strategy}"])


def _failures(out: Path, participant: str) -> list[dict[str, str]]:
    return [
        {"unit": one.unit, "message": one.message}
        for one in status.read_all(out, participant)
        if one.state == "failed"
    ]


def _one(files: pd.DataFrame, **wanted: str) -> Path | None:
    for column, value in wanted.items():
        files = files[files[column] == value]
    return None if files.empty else Path(files["path"].iloc[0])


def _scan(name: str, files: pd.DataFrame) -> dict[str, Any]:
    quality = _one(files, suffix="quality")
    measured = store.read_table(quality).to_dict("records")[0] if quality else {}
    motion = _one(files, suffix="motion")
    moved = store.read_table(motion) if motion else None
    kept = None if moved is None else moved["kept"].to_numpy(bool)
    series = files[files["suffix"] == "timeseries"]
    volumes = files[files["suffix"] == "bold"]["path"]
    return {
        "name": name,
        "summary": {"scan": name}
        | {heading: measured.get(key) for key, heading in SUMMARY.items()},
        "motion": _motion(moved, kept, _sidecar(motion) if motion else {}),
        "atlases": [_atlas(files, row, kept) for row in series.to_dict("records")],
        "volumes": [_volume(Path(path)) for path in volumes],
    }


def _motion(
    moved: pd.DataFrame | None, kept: np.ndarray | None, sidecar: Mapping[str, Any]
) -> str | None:
    if moved is None or kept is None:
        return None
    fd = moved["framewise_displacement"].to_numpy(float)
    if not np.isfinite(fd).any():
        return None
    n_dummies = int(sidecar.get("DummyScans", 0))
    return figures.motion(
        fd, kept, n_dummies=n_dummies, threshold_mm=sidecar.get("FDThreshold")
    )


def _sidecar(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = store.read_json(path.with_suffix(".json"))
    return values


def _volume(path: Path) -> dict[str, Any]:
    values, affine = images.read_image(path), images.grid_of(path).affine
    sidecar = images.sidecar(path)
    cell_mm = np.diag(affine)[:3]
    heights_mm = affine[2, 3] + cell_mm[2] * np.arange(values.shape[3])
    shape, edges = values.shape[1:], " by ".join(f"{mm:.1f}" for mm in cell_mm)
    return {
        "name": f"Volumes, {' by '.join(map(str, shape))}",
        "sentence": f"{_picked(len(values), sidecar)}; cells of {edges} mm;"
        f" {sidecar.get('VolumeStandardization', 'unit not said')}.",
        "picture": figures.volumes(values, cell_mm, heights_mm),
        "notes": [
            note
            for note in sidecar.get("Notes", [])
            if not note.lower().startswith("atlas ")  # they stand with the atlas
        ],
        "settings": json.dumps(sidecar, indent=2, ensure_ascii=False),
    }


def _map(path: Path) -> dict[str, Any]:
    """Return a grey-matter map with its numbers."""
    values, affine = images.read_map(path), images.grid_of(path, images.GREY).affine
    said, cell_mm = images.sidecar(path), np.diag(affine)[:3]
    heights_mm = affine[2, 3] + cell_mm[2] * np.arange(values.shape[2])
    entities = paths.parse(path.name)[0]
    kept = {k: v for k, v in entities.items() if k not in ("sub", "label")}
    is_modulated, fwhm_mm = said.get("Modulated"), said.get("GMSmoothingFWHM")
    kind = "modulated" if is_modulated else "shares, not modulated"
    smooth = f"smoothed by {fwhm_mm:g} mm" if fwhm_mm else "not smoothed"
    whole = page.text(said.get("GreyMatterML"), 0)
    whose = "grey matter of the person" if is_modulated else "in the template's space"
    return {
        "name": ", ".join(f"{key} {value}" for key, value in kept.items()),
        "sentence": f"From {PIPELINES.get(said.get('MapPipeline', ''), 'a pipeline')}:"
        f" {kind}, {smooth}; {' by '.join(map(str, values.shape))} cells of"
        f" {' by '.join(f'{mm:g}' for mm in cell_mm)} mm, values from"
        f" {values.min():.2f} to {values.max():.2f}; {whole} ml {whose}.",
        "picture": figures.greymatter(values, cell_mm, heights_mm),
        "notes": said.get("Notes", []),
        "settings": json.dumps(said, indent=2, ensure_ascii=False),
    }


def _picked(n_taken: int, sidecar: Mapping[str, Any]) -> str:
    n_kept = sidecar.get("NumberOfVolumesKept", n_taken)
    how = sidecar.get("VolumePick", "all")
    if how == "all":
        are = "volumes that are" if n_taken > 1 else "volume that is"
        return f"All: {n_taken} {are} kept"
    return f"{n_taken} of the {n_kept} volumes that are kept, {PICKED.get(how, how)}"


def _atlas(
    files: pd.DataFrame, row: Mapping[str, Any], kept: np.ndarray | None
) -> dict[str, Any]:
    same = files
    for key in GRID:
        missing = pd.isna(row[key])
        same = same[same[key].isna() if missing else same[key] == row[key]]
    series, names = store.read_series(Path(row["path"]))
    dead = np.isnan(series).all(axis=0)
    pearson = _one(same, suffix="relmat", stat="pearsoncorrelation")
    covered = _one(same, suffix="coverage")
    sidecar = _sidecar(Path(row["path"]))
    if kept is None or kept.sum() != len(series):
        kept = np.ones(len(series), bool)
    least = float(sidecar.get("MinCoverage", 0.5))
    return {
        "name": " ".join(row[key] for key in GRID if not pd.isna(row[key])),
        "sentence": f"{len(names)} regions; n/a: {dead.sum()}.",
        "carpet": figures.carpet(series, kept),
        "matrix": figures.matrix(store.read_matrix(pearson)[0]) if pearson else None,
        "coverage": figures.coverage(
            store.read_table(covered)["coverage"].to_numpy(float), least
        )
        if covered
        else None,
        "uncovered": [n for n, is_dead in zip(names, dead, strict=True) if is_dead],
        "notes": sidecar.get("Notes", []),
        "settings": json.dumps(sidecar, indent=2, ensure_ascii=False),
    }
