"""Where networks of volumes look: slices through the places that move a score."""

import zlib
from typing import Any, NamedTuple

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
NOWHERE = "individual"  # space of images that are aligned to no template
NOTHING = "is 0 everywhere: nothing that was tried moves the score."
XYZ = ["x", "y", "z"]
DAMAGED = (OSError, EOFError, ValueError, zlib.error, ImageFileError, InputError)


class Map(NamedTuple):
    """An image of magnitudes, (X, Y, Z); voxels to mm; and the space of the mm."""

    values: np.ndarray
    affine: np.ndarray
    space: str


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
    image, fault = _read(analysis, paths.map_file(model, f"{label}size"))
    title, at = TITLES[label].format(model), [float(row[axis]) for axis in XYZ]
    return {
        "label": label,
        "figure": None if image is None else _figure(image, at, title),
        "fault": fault,
        "sentence": _sentence(analysis, row, image, is_flat=fault.endswith(NOTHING)),
        "cubes": _cubes(analysis, model) if label == "occlusion" else "",
    }


def _sentence(
    analysis: Analysis, row: dict[str, Any], image: Map | None, *, is_flat: bool
) -> str:
    is_flat |= row["size"] == 0
    said = f"{str(row['method']).capitalize()}: "
    said += "0 everywhere" if is_flat else _peak(analysis, row, image)
    if not pd.isna(row["n_people"]) and not pd.isna(row["n_folds"]):
        folds = int(row["n_folds"])
        said += f". Of {row['n_people']:.0f} tested people in {folds}"
        said += " fold" if folds == 1 else " folds"
    if not pd.isna(row["correlation"]):
        said += f"; the maps of two folds correlate by {row['correlation']:.2f}"
    return f"{said}."


def _peak(analysis: Analysis, row: dict[str, Any], image: Map | None) -> str:
    """Return where a map is largest, and for what it speaks there."""
    said = f"largest {_place([row[axis] for axis in XYZ], image)}"
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


def _place(mm: list[float], image: Map | None) -> str:
    """Return a place in mm, or by its voxel where mm mean nothing."""
    if image is None or image.space != NOWHERE:
        return f"at {', '.join(f'{one:.0f}' for one in mm)} mm"
    voxel = (np.linalg.inv(image.affine) @ [*mm, 1])[:3].round().astype(int)
    return (
        f"in voxel {', '.join(map(str, voxel))} (from 0; the images are aligned to no"
        " template, so that left and right are not known)"
    )


def _read(analysis: Analysis, name: str) -> tuple[Map | None, str]:
    """Return a map, or why there is nothing to draw."""
    path = analysis.folder / name
    beside = path.with_name(path.name.replace(".nii.gz", ".json"))
    try:
        image: Any = nibabel.load(str(path))
        space = str(store.read_json(beside).get("Space", ""))
        found = Map(np.asarray(image.get_fdata()), image.affine, space)
    except DAMAGED as error:
        return None, f"{name} is not readable, so that it is not drawn: {error}"
    return (found, "") if (found.values > 0).any() else (None, f"{name} {NOTHING}")


def _figure(image: Map, at: list[float], title: str) -> str:
    return figures.slices(
        image.values,
        image.affine,
        at,
        title,
        on_template=image.space.startswith("MNI152"),
        has_sides=image.space != NOWHERE,
    )
