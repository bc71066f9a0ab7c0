"""What a dataset says of itself in dataset_description.json."""

import json
from pathlib import Path
from typing import Any

from bidsclf.errors import InputError

FILE = "dataset_description.json"
OURS = "bidsclf"  # Name among the pipelines of GeneratedBy


def _read(path: Path) -> dict[str, Any] | None:
    """Read the file; None if there is none."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path}: not readable JSON ({error}). Mend it, or check who may read it."
        ) from error
    if not isinstance(fields, dict):
        raise InputError(
            f"{path}: holds a {type(fields).__name__}; a description is one JSON"
            ' object, as in {"Name": "...", "BIDSVersion": "1.9.0"}. Mend it.'
        )
    return fields


def describe(dataset: Path) -> dict[str, Any]:
    """Return the fields of dataset_description.json; none if there is no such file.

    Parameters
    ----------
    dataset : Path
        Root of the dataset.

    Returns
    -------
    dict
        ``Name`` is text and ``GeneratedBy`` a list of objects with a ``Name``;
        where the file says something else, they are empty.

    Raises
    ------
    InputError
        The file cannot be read, or is not one JSON object.
    """
    return _checked(_read(dataset / FILE) or {})


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    name, pipelines = fields.get("Name"), fields.get("GeneratedBy")
    return fields | {
        "Name": name if isinstance(name, str) else "",
        "GeneratedBy": [
            one
            for one in (pipelines if isinstance(pipelines, list) else ())
            if isinstance(one, dict) and isinstance(one.get("Name"), str)
        ],
    }


def why_not_ours(folder: Path) -> str:
    """Return why nothing may be written at the root of a dataset; empty if it may.

    A folder is ours, or nobody's: another one's description, table of people
    and README would be replaced.
    """
    try:
        fields = _read(folder / FILE)
    except InputError as error:
        return str(error)
    if fields is None:
        return ""
    if OURS in [one["Name"] for one in _checked(fields)["GeneratedBy"]]:
        return ""
    return (
        f"{folder} is a dataset that bidsclf did not write, by its {FILE}."
        " Name a new or empty folder."
    )
