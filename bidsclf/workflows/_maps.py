"""Maps of where networks of volumes look: images of an analysis, and their table."""

import shutil
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nibabel.nifti1 import Nifti1Image

from bidsclf.errors import InputError
from bidsclf.files import store
from bidsclf.files.paths import map_file
from bidsclf.interpret import maps

FOLDER = "maps"
METHODS = {maps.GRADIENT: "gradient x input", maps.OCCLUSION: "occlusion"}
SIZE = "size"  # ends the label of a map of magnitudes
MEANT = {
    maps.GRADIENT: "The slope of the log odds of the positive label at each voxel times"
    " the voxel's value less that of the average person, summed over volumes",
    f"{maps.GRADIENT}{SIZE}": "The slope of the log odds of the positive label at each"
    " voxel times the voxel's value less that of the average person, summed within a"
    " cube around the voxel; magnitudes, summed over volumes",
    maps.OCCLUSION: "What the log odds of the positive label lose when a cube of the"
    " brain is replaced by that of the average person, constant over volumes; at each"
    " voxel the mean over the cubes that hold it",
    f"{maps.OCCLUSION}{SIZE}": "How far the log odds move when a cube of the brain is"
    " replaced by that of the average person, constant over volumes, without direction;"
    " at each voxel the mean over the cubes that hold it",
}
JOINED = "; mean over people of the test part, then over folds"
MEMBERS = (  # of cross-fitted networks
    "; mean over the networks of a fold, each by its own last layer, before their"
    " embeddings are harmonized"
)
Arrays = dict[str, np.ndarray]


def look(models: Sequence[Any], x: Any, learned: Any, seed: int) -> Arrays:
    """Return both maps of a fit over its test people, the mean over its networks.

    Parameters
    ----------
    models : sequence of TorchClassifier
        One, or the members of a cross-fitted model: what their own last layers say,
        before embeddings are harmonized.
    x, learned : Volumes
        Of test people, and of those learned from, who give the average person.
    seed : int
    """
    average = maps.average_person(learned, seed=seed)
    made = [
        {
            maps.GRADIENT: maps.gradient_map(model, x, average=average),
            maps.OCCLUSION: maps.occlusion_map(model, x, average=average, seed=seed),
        }
        for model in models
    ]
    found: Arrays = {"networks": np.array(len(made))}
    for name in METHODS:
        each = [one[name] for one in made]
        found[name] = np.mean([one.signed for one in each], axis=0)
        found[f"{name}{SIZE}"] = np.mean([one.size for one in each], axis=0)
        found[f"{name}people"] = np.array(each[0].n_people)
    return found


def write(
    analysis: Path, folds: Mapping[str, Sequence[Arrays]], described: dict[str, Any]
) -> pd.DataFrame:
    """Write the mean maps of every model, and return maps.tsv.

    Parameters
    ----------
    analysis : Path
    folds : mapping
        Of each model what ``look`` returned, fold by fold.
    described : dict
        The feature, with ``affine`` and, where it is known, ``space``.

    Raises
    ------
    InputError
        Nothing says where the voxels of the feature lie.
    """
    shutil.rmtree(analysis / FOLDER, ignore_errors=True)
    if "affine" not in described:
        raise InputError(
            "the cohort does not say where the voxels of its volumes lie, so no map is"
            " written. Run the participant level again."
        )
    affine, rows = np.array(described["affine"], float), []
    for model, found in folds.items():
        for name in METHODS:
            for label in (name, f"{name}{SIZE}"):
                about = {"Model": model} | _sidecar(name, label, found, described)
                mean = np.mean([one[label] for one in found], axis=0)
                path = analysis / map_file(model, label)
                write_image(path, mean, affine, about)
            rows.append(_row(model, name, found, affine))
    return pd.DataFrame(rows)


def _sidecar(
    name: str, label: str, found: Sequence[Arrays], described: dict[str, Any]
) -> dict[str, Any]:
    is_voted = int(found[0]["networks"]) > 1
    about: dict[str, Any] = {
        "Method": METHODS[name],
        "Description": MEANT[label] + JOINED + (MEMBERS if is_voted else ""),
        "Units": "log odds",
        "NumberOfPeople": _people(name, found),
        "NumberOfFolds": len(found),
        "NetworksPerFold": int(found[0]["networks"]),
        "AveragePersonOf": f"up to {maps.N_AVERAGED} people the fold learned from",
        "SkullStripped": True,
    }
    shape = found[0][name].shape
    if label == f"{maps.GRADIENT}{SIZE}":
        about["CubeVoxels"] = maps.window_of(shape)
    if name == maps.OCCLUSION:
        edge, stride = maps.cube_of(shape)
        about |= {
            "CubeVoxels": edge,
            "StrideVoxels": stride,
            "MostPeoplePerFold": maps.N_PEOPLE,
        }
    if "space" in described:
        about["Space"] = described["space"]
    return about


def _people(name: str, found: Sequence[Arrays]) -> int:
    """Return how many were looked at; who is tested in several folds counts in each."""
    return sum(int(one[f"{name}people"]) for one in found)


def write_image(
    path: Path, values: np.ndarray, affine: np.ndarray, about: dict[str, Any]
) -> None:
    with store.atomic(path) as unfinished:
        Nifti1Image(values.astype(np.float32), affine).to_filename(unfinished)
    store.write_json(path.with_name(path.name.replace(".nii.gz", ".json")), about)


def _row(
    model: str, name: str, found: Sequence[Arrays], affine: np.ndarray
) -> dict[str, Any]:
    """Return the line of maps.tsv of one model and method."""
    sizes = np.stack([one[f"{name}{SIZE}"] for one in found])
    mean = sizes.mean(axis=0)
    peak = np.unravel_index(int(mean.argmax()), mean.shape)
    x, y, z = (affine @ [*peak, 1])[:3].round(1)
    return {
        "model": model,
        "method": METHODS[name],
        "n_people": _people(name, found),
        "n_folds": len(found),
        "x": x,
        "y": y,
        "z": z,
        "size": mean[peak],
        "signed": np.mean([_signed(name, one[name], peak) for one in found]),
        "correlation": _likeness(sizes),
    }


def _signed(name: str, signed: np.ndarray, peak: Sequence[Any]) -> float:
    """Return the value at a peak; of a gradient, summed over the cube of its size."""
    if name == maps.OCCLUSION:
        return float(signed[tuple(peak)])
    reach = maps.window_of(signed.shape) // 2
    cube = tuple(slice(max(0, at - reach), at + reach + 1) for at in peak)
    return float(signed[cube].sum())


def _likeness(sizes: np.ndarray) -> float:
    """Return the mean correlation of the maps of two folds; NaN where there is none."""
    inside = sizes.any(axis=0)
    flat = [one[inside] for one in sizes]
    known = [one for one in flat if one.size and np.ptp(one) > 0]
    pairs = [float(np.corrcoef(a, b)[0, 1]) for a, b in combinations(known, 2)]
    return float(np.mean(pairs)) if pairs else float("nan")
