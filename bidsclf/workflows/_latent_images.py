"""Images that models with latents make, as files: originals, twins, differences."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bidsclf.errors import InputError
from bidsclf.files.paths import latent_file
from bidsclf.interpret.latent import SALIENT
from bidsclf.workflows import _maps
from bidsclf.workflows._jobs import Job
from bidsclf.workflows._latent import CONTROL, OF, PATIENT, PLACES

FOLDER = "latent"
MEANT = {
    "original": "The images as they were",
    "reconstruction": "What the model makes of the latents of a person",
    "twin": "What the model makes of the background latents alone: the person without"
    " the salient part",
    "synthetic": "What the model makes of a control's background latents and the mean"
    " salient latents of patients",
    "difference": {
        PATIENT: "Reconstruction less twin: what the salient part adds to a patient",
        CONTROL: "Synthetic patient less reconstruction: what the mean salient part of"
        " patients adds to a control",
    },
}
WHO = {PATIENT: "patients", CONTROL: "controls"}
Arrays = dict[str, np.ndarray]
Totals = dict[tuple[str, str], Arrays]


def add(totals: Totals, job: Job, arrays: Arrays) -> None:
    """Add the sums of one fit, from ``_latent.look``, to those of its model so far."""
    total = totals.setdefault((job.model, OF[job.is_test]), {})
    for name, values in arrays.items():
        if name.partition("-")[0] in WHO:
            total[name] = total[name] + values if name in total else values
    total |= {name: arrays[name] for name in ("networks", *_named(arrays, "latent-"))}


def write(
    analysis: Path,
    totals: Totals,
    shared: dict[str, Any],
    described: Mapping[str, Any],
) -> list[Path]:
    """Write the mean images of each fit, and those of some people of the final model.

    Parameters
    ----------
    analysis : Path
        What stood in its folder ``latent`` goes first.
    totals : {(model, fit): arrays}
        What ``add`` made.
    shared : dict
    described : mapping
        The input, with ``affine``, and ``space`` and ``preprocessing`` where known.

    Raises
    ------
    InputError
        Nothing says where the voxels lie.
    """
    shutil.rmtree(analysis / FOLDER, ignore_errors=True)
    if "affine" not in described:
        raise InputError(
            "the cohort does not say where the voxels of its maps lie, so no image is"
            " written. Run the participant level again."
        )
    written, affine = [], np.array(described["affine"], float)
    for (model, fit), total in totals.items():
        about = {"Model": model, "Fit": fit, **_of_input(described)}
        about["NetworksPerFit"] = int(total["networks"])
        for path, image, said in _images(model, fit, total, shared):
            _maps.write_image(analysis / path, image, affine, about | said)
            written.append(analysis / path)
    return written


def _named(arrays: Arrays, beginning: str) -> list[str]:
    return [name for name in arrays if name.startswith(beginning)]


def _of_input(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the sidecars of all images of an input say."""
    made = described.get("preprocessing") or {}
    unit = "modulated grey matter" if made.get("Modulated") else "share of grey matter"
    space = {"Space": described["space"]} if described.get("space") else {}
    return {"Units": f"{unit}, as the input", **space}


def _images(
    model: str, fit: str, total: Arrays, shared: dict[str, Any]
) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
    """Yield file, image and sidecar of all images of one fit."""
    for group, people in WHO.items():
        prefix, n = f"{group}-sum-", int(total.get(f"{group}-n", 0))
        names = [name.removeprefix(prefix) for name in _named(total, prefix)]
        for name in names:
            mean, desc = total[prefix + name] / n, f"{fit}{group}{name}"
            said = {"NumberOfPeople": n, "Description": _meant(group, name)}
            over = {"Description": f"{said['Description']}; mean over {people}"}
            yield latent_file(model, desc, stat="mean"), mean, said | over
            if name == "difference" and n > 1:
                squares = total[f"{group}-square-{name}"]
                spread = np.sqrt(np.maximum(squares - n * mean**2, 0) / (n - 1))
                over = {"Description": f"{said['Description']}; SD over {people}"}
                yield latent_file(model, desc, stat="std"), spread, said | over
        yield from _of_people(model, group, names, total, shared)


def _of_people(
    model: str, group: str, names: Sequence[str], total: Arrays, shared: dict[str, Any]
) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
    """Yield the images of people who are shown, of the final model."""
    places = PLACES[group]
    has_twin = f"latent-{SALIENT}" in total
    size = "the difference" if has_twin else "what is not reconstructed"
    for at, person in enumerate(total.get(f"{group}-shown", ())):
        who = shared["participant_id"][person]
        said = f"The {group} at the {places[at]:g} quantile of the size of {size}"
        for name in names:
            about = {"Description": f"{_meant(group, name)}. {said}"}
            about |= {"Participant": who, "Quantile": places[at]}
            image = total[f"{group}-shown-{name}"][at]
            yield latent_file(model, f"{group}{name}", sub=who), image, about


def _meant(group: str, name: str) -> str:
    said = MEANT[name]
    return said if isinstance(said, str) else said[group]
