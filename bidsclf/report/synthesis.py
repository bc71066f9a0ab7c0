"""Images that a model with latents makes: people, and what their salient part adds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np

from bidsclf.files import store
from bidsclf.files.paths import label, latent_file
from bidsclf.report import figures
from bidsclf.report.maps import DAMAGED
from bidsclf.report.tables import Analysis

GROUPS = {  # group -> its images in the order of a figure
    "patient": {
        "original": "original",
        "reconstruction": "as the model makes it",
        "twin": "the same without the salient part",
        "difference": "what the salient part adds (the second less the third)",
    },
    "control": {
        "original": "original",
        "reconstruction": "as the model makes it",
        "synthetic": "the same with the mean salient part of patients",
        "difference": "what that adds (the third less the second)",
    },
}
WHOSE = {
    "crossfitted": "made by networks that had not seen them",
    "everyone": "made by the network of everyone",
}
FIRST = ("crossfitted-patient-mean", "patient-50")  # those that are not folded away


class _Set(NamedTuple):
    """Images of one figure: its label, group and title, and files by name."""

    label: str
    group: str
    title: str
    files: dict[str, Path]


def images(analysis: Analysis, model: str) -> list[dict[str, Any]]:
    """Return figures of mean images and of some people, each with its title.

    Where an image cannot be read, there is no figure, and ``fault`` says why.
    """
    return [_drawn(one) for one in _sets(analysis.folder, model)]


def _sets(folder: Path, model: str) -> Iterator[_Set]:
    for fit, whose in WHOSE.items():
        for group, names in GROUPS.items():
            files = {
                name: folder / latent_file(model, f"{fit}{group}{name}", stat="mean")
                for name in names
            }
            known = {name: path for name, path in files.items() if path.exists()}
            title = f"The mean of all {group}s, {whose}"
            if known:
                yield _Set(f"{fit}-{group}-mean", group, title, known)
    for group, names in GROUPS.items():
        yield from sorted(_people(folder, model, group, list(names)))


def _people(folder: Path, model: str, group: str, names: list[str]) -> Iterator[_Set]:
    """Yield the people who are shown, from what is beside their originals."""
    ending = f"_desc-{label(model)}{group}original_map.json"
    for path in (folder / "latent").glob(f"sub-*{ending}"):
        who = path.name.removesuffix(ending)
        try:
            place = round(100 * store.read_json(path)["Quantile"])
        except (*DAMAGED, KeyError, TypeError):
            place = 50
        files = {
            name: folder / latent_file(model, f"{group}{name}", sub=who)
            for name in names
        }
        known = {name: file for name, file in files.items() if file.exists()}
        title = f"{who}, the {group} at percentile {place} of the size of the change,"
        title += f" {WHOSE['everyone']}"
        yield _Set(f"{group}-{place}", group, title, known)


def _drawn(one: _Set) -> dict[str, Any]:
    told: dict[str, Any] = {"label": one.label, "title": one.title, "fault": ""}
    told |= {"figure": None, "is_first": one.label in FIRST}
    found: dict[str, np.ndarray] = {}
    try:
        for name, path in one.files.items():
            image: Any = nibabel.load(str(path))
            found[GROUPS[one.group][name]] = np.asarray(image.get_fdata())
    except DAMAGED as error:
        fault = f"latent/{path.name} is not readable, so that it is not drawn: {error}"
        return told | {"fault": fault}
    affine = image.affine
    cell_mm = np.abs(np.diag(affine)[:3])
    heights = affine[2, 3] + affine[2, 2] * np.arange(image.shape[2])
    signed = {GROUPS[one.group]["difference"]}
    figure = figures.changes(found, cell_mm, heights, signed=signed)
    return told | {"figure": figure}
