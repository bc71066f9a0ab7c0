"""Where networks of volumes look: slices through the places that move a score."""

import zlib
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from nibabel.filebasedimages import ImageFileError

from bidsclf.errors import InputError
from bidsclf.files import paths, store
from bidsclf.report import figures
from bidsclf.report.attribution import at_chance
from bidsclf.report.tables import Analysis

LABELS = {"gradient x input": "gradient", "occlusion": "occlusion"}  # method -> file
TITLES = {
    "gradient": "{}: gradient x input, log odds by cube",
    "occlusion": "{}: occlusion, log odds by cube",
}
NOTHING = "is 0 everywhere: nothing that was tried moves the score."
XYZ = ["x", "y", "z"]
DAMAGED = (OSError, EOFError, ValueError, zlib.error, ImageFileError, InputError)


def volumes(analysis: Analysis) -> list[dict[str, Any]]:
    """Return for each network of volumes its maps, and what is to be said of them."""
    table = analysis.table("maps")
    if table is None:
        return []
    known = table[table["method"].isin(list(LABELS))].dropna(subset=["model", *XYZ])
    return [
        {
            "model": str(model),
            "chance": at_chance(analysis, str(model)),
            "maps": [_map(analysis, row) for row in rows.to_dict("records")],
        }
        for model, rows in known.groupby("model", sort=False)
    ]


def _map(analysis: Analysis, row: dict[str, Any]) -> dict[str, Any]:
    model, label = str(row["model"]), LABELS[row["method"]]
    figure, fault = _figure(analysis, model, label, [float(row[k]) for k in XYZ])
    return {
        "label": label,
        "figure": figure,
        "fault": fault,
        "sentence": _sentence(analysis, row, is_flat=fault.endswith(NOTHING)),
        "cubes": _cubes(analysis, model) if label == "occlusion" else "",
    }


def _sentence(analysis: Analysis, row: dict[str, Any], *, is_flat: bool) -> str:
    said = f"{str(row['method']).capitalize()}: "
    said += "0 everywhere" if is_flat or row["size"] == 0 else _peak(analysis, row)
    if not pd.isna(row["n_people"]) and not pd.isna(row["n_folds"]):
        folds = int(row["n_folds"])
        said += f". Of {row['n_people']:.0f} tested people in {folds}"
        said += " fold" if folds == 1 else " folds"
    if not pd.isna(row["correlation"]):
        said += f"; the maps of two folds correlate by {row['correlation']:.2f}"
    return f"{said}."


def _peak(analysis: Analysis, row: dict[str, Any]) -> str:
    """Return where a map is largest, and for what it speaks there."""
    where = ", ".join(f"{row[axis]:.0f}" for axis in XYZ)
    said = f"largest at {where} mm"
    if pd.isna(row["signed"]) or row["signed"] == 0:
        return said
    label = analysis.labels["1" if row["signed"] > 0 else "0"]
    said += f", where on average it speaks for {label}"
    return f"{said} ({row['signed']:+#.2g} log odds)"


def _cubes(analysis: Analysis, model: str) -> str:
    """Return how large the cubes were; '' where no file says so."""
    path = analysis.folder / paths.map_file(model, "occlusionsize", ".json")
    if not path.exists():
        return ""
    about = store.read_json(path)
    if not {"CubeVoxels", "StrideVoxels"} <= set(about):
        return ""
    return (
        f"Cubes of {about['CubeVoxels']} voxels along each side, every"
        f" {about['StrideVoxels']} voxels: nothing smaller can be seen apart."
    )


def _figure(
    analysis: Analysis, model: str, label: str, at: list[float]
) -> tuple[str | None, str]:
    """Return the picture of a map, or why there is none."""
    name = paths.map_file(model, f"{label}size")
    path = analysis.folder / name
    try:
        image: Any = nibabel.load(str(path))
        values, affine = np.asarray(image.get_fdata()), image.affine
        space = str(store.read_json(_beside(path)).get("Space", ""))
    except DAMAGED as error:
        return None, f"{name} is not readable, so that it is not drawn: {error}"
    if not (values > 0).any():
        return None, f"{name} {NOTHING}"
    title = TITLES[label].format(model)
    return figures.slices(
        values, affine, at, title, on_template=space.startswith("MNI152")
    ), ""


def _beside(path: Any) -> Any:
    return path.with_name(path.name.replace(".nii.gz", ".json"))
