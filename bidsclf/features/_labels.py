"""Images of labels, and what the files beside them say of an atlas."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from bidsclf.errors import InputError
from bidsclf.features._regions import stem_of
from bidsclf.features._stream import open_volumes, read_volume

ENTITY = re.compile(
    r"(atlas|seg|scale|desc|tpl|space|res|den|cohort|label)-([a-zA-Z0-9+]+)"
)
SUFFIXES = ("dseg", "probseg", "mask")
MAX_LABEL = 2**20  # beyond it labels are sorted instead of tabulated


def read_labels(
    image: Path, volume: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read a 3D image of labels, or one volume of a 4D one.

    Returns
    -------
    labels : int array of shape (X, Y, Z)
        0 is outside every region; NaN is taken as 0.
    affine : float array of shape (4, 4)

    Raises
    ------
    InputError
        Labels are not whole numbers, or the image has another rank.
    """
    if volume is None:
        values, affine = read_volume(image)
    else:
        reader = open_volumes(image)
        values, affine = reader.read()[..., volume], reader.affine
    if values.dtype.kind in "iu":
        return values, affine
    whole = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    if (whole != np.rint(whole)).any():
        odd = whole[whole != np.rint(whole)][0]
        raise InputError(
            f"{image}: label {odd:g} is not a whole number; a 3D atlas holds a whole"
            " label a voxel. Give probabilities as a 4D image, one map a region."
        )
    return whole.astype(np.int32), affine


def present(labels: np.ndarray) -> tuple[int, ...]:
    """Return the labels that occur, sorted, without 0."""
    if labels.min() < 0 or labels.max() > MAX_LABEL:
        found = np.unique(labels)
    else:
        is_there = np.zeros(int(labels.max()) + 1, bool)
        is_there[labels] = True
        found = np.flatnonzero(is_there)
    return tuple(int(value) for value in found if value)


def described(path: Path) -> dict[str, Any]:
    """Return what a file's name and its JSON say of an atlas."""
    pieces = stem_of(path).split("_")
    entities = {m[1]: m[2] for piece in pieces if (m := ENTITY.fullmatch(piece))}
    rest = "".join(
        piece
        for piece in pieces
        if not ENTITY.fullmatch(piece) and piece not in SUFFIXES
    )
    name = re.sub(r"[^0-9a-zA-Z]", "", entities.get("atlas", rest)) or "atlas"
    said: dict[str, Any] = {}
    for json_path in (
        path.with_name(f"atlas-{name}_description.json"),
        path.with_name(stem_of(path) + ".json"),
    ):
        if json_path.is_file():
            said |= _json(json_path)
    space = entities.get("tpl", entities.get("space", said.get("SpatialReference")))
    return {
        "name": name,
        "seg": entities.get("seg", entities.get("desc")),
        "scale": entities.get("scale"),
        "space": space if isinstance(space, str) else None,
        "license": str(said.get("License", "")),
        "citation": "; ".join(map(str, said.get("ReferencesAndLinks", []))),
    }


def _json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path}: not readable JSON ({error}). Mend or remove it."
        ) from error
    return said if isinstance(said, dict) else {}
