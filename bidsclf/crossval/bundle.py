"""A fitted model as files that can be used elsewhere; no pickle."""

import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from bidsclf import __version__
from bidsclf.crossval.fitted import AnyFitted, Fitted
from bidsclf.crossval.members import Crossfitted, Member
from bidsclf.errors import InputError
from bidsclf.files.store import read_json, write_json
from bidsclf.harmonize._base import Harmonizer, restore
from bidsclf.models._base import Classifier, find
from bidsclf.models._head import LinearHead
from bidsclf.models._settings import restored

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
HARMONIZER, HEAD = "harmonizer.safetensors", "head.safetensors"
MEMBER = "member"  # begins the folder of one of several networks
VERSIONED = ("numpy", "scipy", "scikit-learn", "torch", "safetensors")


def names_of(*, is_harmonized: bool, n_members: int = 0) -> list[str]:
    """Return the files of a bundle, relative to its folder, model.json first.

    Examples
    --------
    >>> names_of(is_harmonized=True)
    ['model.json', 'model.safetensors', 'harmonizer.safetensors']
    >>> names_of(is_harmonized=True, n_members=2)[-1]
    'member-2/head.safetensors'
    """
    if n_members:
        folders = [f"{MEMBER}-{number}" for number in range(1, n_members + 1)]
        files = (WEIGHTS, HARMONIZER, HEAD)
        return [DESCRIPTION, *(f"{one}/{file}" for one in folders for file in files)]
    return [DESCRIPTION, WEIGHTS, *([HARMONIZER] if is_harmonized else [])]


def save_bundle(
    folder: Path,
    fitted: AnyFitted,
    *,
    variant: str,
    context: dict[str, Any],
    made_with: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model that can be used elsewhere; model.json last, so it is whole.

    A cross-fitted model has a folder a member, ``member-1`` and so on, with the
    files of a model and its head.

    Parameters
    ----------
    folder : Path
        Created; an earlier bundle in it is replaced.
    fitted : Fitted or Crossfitted
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
    for name in (DESCRIPTION, HARMONIZER, WEIGHTS):
        (folder / name).unlink(missing_ok=True)
    for old in folder.glob(f"{MEMBER}-*"):
        shutil.rmtree(old)
    described = {
        "variant": variant,
        "made_with": dict(made_with or {}),
        **_written(folder, fitted),
        "temperature": fitted.temperature,
        "context": context,
        "versions": {"bidsclf": __version__} | {p: version(p) for p in VERSIONED},
    }
    return write_json(folder / DESCRIPTION, described)


def _written(folder: Path, fitted: AnyFitted) -> dict[str, Any]:
    """Write all arrays, and return what model.json says of them."""
    if isinstance(fitted, Fitted):
        return _part(folder, fitted.model, fitted.harmonizer, fitted.covariates)
    members = []
    for number, one in enumerate(fitted.members, start=1):
        own = folder / f"{MEMBER}-{number}"
        own.mkdir()
        save_file(one.head.arrays(), own / HEAD)
        members.append(_part(own, one.model, one.harmonizer, fitted.covariates))
    return {"members": members}


def _part(
    folder: Path,
    model: Classifier,
    learner: Harmonizer | None,
    covariates: tuple[str, ...],
) -> dict[str, Any]:
    """Write a model, and its harmonizer if it has one; return what they say."""
    harmonizer = None
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        settings = model.save(Path(partial))
        if learner is not None:
            arrays, how = learner.state()
            save_file(arrays, Path(partial) / HARMONIZER)
            (Path(partial) / HARMONIZER).replace(folder / HARMONIZER)
            harmonizer = {"covariates": list(covariates), "settings": how}
        (Path(partial) / WEIGHTS).replace(folder / WEIGHTS)
    return {"settings": settings, "harmonizer": harmonizer}


def load_bundle(folder: Path) -> tuple[AnyFitted, dict[str, Any]]:
    """Return the model of ``save_bundle`` and all that model.json says.

    Raises
    ------
    InputError
        A file of the bundle is missing or does not belong to it, or the model
        was made with settings that this version's has not.
    ConfigError
        The bundle holds a model that this version does not know.
    """
    _check_there(folder, DESCRIPTION)
    described = read_json(folder / DESCRIPTION)
    t = described.get("temperature")
    told = described.get("members")
    if told is None:
        model, harmonizer = _read(folder, described, described)
        covariates = _covariates(described)
        return Fitted(model, harmonizer, covariates, t), described
    members = []
    for number, one in enumerate(told, start=1):
        own = folder / f"{MEMBER}-{number}"
        model, learner = _read(own, described, one)
        if learner is None:
            raise _foreign(own, HARMONIZER, KeyError("harmonizer"))
        members.append(Member(model, learner, _head(own)))
    covariates = _covariates(told[0]) if told else ()
    return Crossfitted(tuple(members), covariates, t), described


def _covariates(told: dict[str, Any]) -> tuple[str, ...]:
    how = told.get("harmonizer")
    return () if how is None else tuple(how["covariates"])


def _read(
    folder: Path, described: dict[str, Any], told: dict[str, Any]
) -> tuple[Classifier, Harmonizer | None]:
    """Return a model and its harmonizer; ``told`` is what ``_part`` returned."""
    _check_there(folder, WEIGHTS)
    how = told.get("harmonizer")
    if how is not None:
        _check_there(folder, HARMONIZER)
    try:
        made_with = restored(described.get("made_with", {}))
        model = find(described["variant"]).make(**made_with)
        model.load(folder, told["settings"])
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise _foreign(folder, WEIGHTS, error) from error
    return model, None if how is None else _harmonizer(folder, how)


def _head(folder: Path) -> LinearHead:
    _check_there(folder, HEAD)
    try:
        return LinearHead.restore(load_file(folder / HEAD))
    except (KeyError, SafetensorError) as error:
        raise _foreign(folder, HEAD, error) from error


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
