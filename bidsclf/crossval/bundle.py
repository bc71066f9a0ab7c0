"""A fitted model as files that can be used elsewhere; no pickle."""

import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from bidsclf import __version__
from bidsclf.crossval.fitted import Fitted
from bidsclf.errors import InputError
from bidsclf.files.store import read_json, write_json
from bidsclf.harmonize._base import Harmonizer, restore
from bidsclf.models._base import find
from bidsclf.models._settings import restored

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
HARMONIZER = "harmonizer.safetensors"
VERSIONED = ("numpy", "scipy", "scikit-learn", "torch", "safetensors")


def save_bundle(
    folder: Path,
    fitted: Fitted,
    *,
    variant: str,
    context: dict[str, Any],
    made_with: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model that can be used elsewhere; model.json last, so it is whole.

    Parameters
    ----------
    folder : Path
        Created; an earlier bundle in it is replaced.
    fitted : Fitted
    variant : str
    context : dict
        JSON values: labels, the features and how they were made, who was
        trained on.
    made_with : mapping or None
        What was changed of the model (``Recipe.settings``).

    Returns
    -------
    path : Path
        Of model.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (DESCRIPTION, HARMONIZER):
        (folder / name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        settings = fitted.model.save(Path(partial))
        harmonizer = None
        if fitted.harmonizer is not None:
            arrays, how = fitted.harmonizer.state()
            save_file(arrays, Path(partial) / HARMONIZER)
            (Path(partial) / HARMONIZER).replace(folder / HARMONIZER)
            harmonizer = {"covariates": list(fitted.covariates), "settings": how}
        (Path(partial) / WEIGHTS).replace(folder / WEIGHTS)
    described = {
        "variant": variant,
        "made_with": dict(made_with or {}),
        "settings": settings,
        "temperature": fitted.temperature,
        "harmonizer": harmonizer,
        "context": context,
        "versions": {"bidsclf": __version__} | {p: version(p) for p in VERSIONED},
    }
    return write_json(folder / DESCRIPTION, described)


def load_bundle(folder: Path) -> tuple[Fitted, dict[str, Any]]:
    """Return the model of ``save_bundle`` and all that model.json says.

    Raises
    ------
    InputError
        A file of the bundle is missing or does not belong to it, or the model
        was made with settings that this version's has not.
    ConfigError
        The bundle holds a model that this version does not know.
    """
    for name in (DESCRIPTION, WEIGHTS):
        _check_there(folder, name)
    described = read_json(folder / DESCRIPTION)
    how = described.get("harmonizer")
    if how is not None:
        _check_there(folder, HARMONIZER)
    try:
        made_with = restored(described.get("made_with", {}))
        model = find(described["variant"]).make(**made_with)
        model.load(folder, described["settings"])
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise _foreign(folder, WEIGHTS, error) from error
    harmonizer = None if how is None else _harmonizer(folder, how)
    fitted = Fitted(
        model=model,
        harmonizer=harmonizer,
        covariates=() if how is None else tuple(how["covariates"]),
        temperature=described.get("temperature"),
    )
    return fitted, described


def _harmonizer(folder: Path, how: dict[str, Any]) -> Harmonizer:
    try:
        return restore(load_file(folder / HARMONIZER), how["settings"])
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise _foreign(folder, HARMONIZER, error) from error


def _check_there(folder: Path, name: str) -> None:
    if not (folder / name).is_file():
        raise InputError(
            f"{folder} has no {name}; a model bundle holds {WEIGHTS} and"
            f" {DESCRIPTION}, and {HARMONIZER} where it harmonizes."
            " Give --model the folder of one model, such as models/fc-svm/final."
        )


def _foreign(folder: Path, name: str, error: Exception) -> InputError:
    return InputError(
        f"{folder}: {DESCRIPTION} and {name} are not of one model"
        f" ({error!r}). Fit the model again."
    )
