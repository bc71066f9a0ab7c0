"""What the JSON beside an image says, inheritance resolved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bidsclf.errors import InputError
from bidsclf.files import paths, store

NUMBERED = ("run", "echo")  # indices: run-01 is run-1
OWN = ("space", "cohort", "res", "desc", "echo", "part")  # not in a raw name


def is_same(key: str, one: str, other: str) -> bool:
    """Tell whether two values of an entity are equal; indices count as numbers.

    Examples
    --------
    >>> is_same("run", "01", "1"), is_same("ses", "01", "1")
    (True, False)
    """
    if key in NUMBERED and one.isdigit() and other.isdigit():
        return int(one) == int(other)
    return one == other


class Sidecars:
    """The JSON files of one dataset; each folder is listed once.

    Parameters
    ----------
    root : Path
        Root of the dataset.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[Path, list[tuple[dict[str, str], Path]]] = {}

    def read(
        self, folder: Path, entities: Mapping[str, str], *, loose: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Return the fields that hold for an image.

        Parameters
        ----------
        folder : Path
            Folder of the image, inside ``root``.
        entities : dict
            Entities of the image.
        loose : tuple of str
            Entities that a sidecar may have although the image has not.

        Raises
        ------
        InputError
            A sidecar is not JSON; the message names it.
        """
        folders = [*reversed(folder.relative_to(self.root).parents), None]
        fields: dict[str, Any] = {}
        for part in folders:
            here = folder if part is None else self.root / part
            for known, path in self._list(here):
                if _holds(known, entities, loose):
                    fields |= self._fields(path)
        return fields

    def _list(self, folder: Path) -> list[tuple[dict[str, str], Path]]:
        """Return the bold sidecars of a folder, the more general first."""
        if folder not in self._listed:
            found = []
            for path in sorted(folder.glob("*bold.json")):
                try:
                    entities, suffix, _ = paths.parse(path.name)
                except InputError:
                    continue
                if suffix == "bold":
                    found.append((entities, path))
            self._listed[folder] = sorted(found, key=lambda pair: len(pair[0]))
        return self._listed[folder]

    @staticmethod
    def _fields(path: Path) -> dict[str, Any]:
        fields = store.read_json(path)
        if not isinstance(fields, dict):
            raise InputError(
                f"{path}: holds a {type(fields).__name__}; a sidecar is one JSON"
                " object. Mend or remove it."
            )
        return fields


def _holds(
    known: Mapping[str, str], entities: Mapping[str, str], loose: tuple[str, ...]
) -> bool:
    """Tell whether a sidecar with these entities describes the image."""
    return all(
        is_same(key, value, entities[key]) if key in entities else key in loose
        for key, value in known.items()
    )


def read_metadata(
    image: Path, entities: Mapping[str, str], own: Sidecars, raw: Sidecars | None
) -> dict[str, Any]:
    """Return the sidecar of an image; RepetitionTime may come from the run's others.

    An image without it takes that of the same run in another space, which
    has the same volumes, else that of the raw run.

    Parameters
    ----------
    image : Path
        In the dataset of ``own``.
    entities : dict
        Entities of its name.
    own, raw : Sidecars, Sidecars or None
        Of the derivative dataset and of the raw one.
    """
    fields = own.read(image.parent, entities)
    if "RepetitionTime" in fields:
        return fields
    source = {key: value for key, value in entities.items() if key not in OWN}
    found = own.read(image.parent, source, loose=OWN)
    if "RepetitionTime" not in found and raw is not None:
        folder = raw.root / image.parent.relative_to(own.root)
        found = raw.read(folder, source, loose=("echo", "part"))
    return fields | {k: v for k, v in found.items() if k == "RepetitionTime"}


def repetition_time(fields: Mapping[str, Any], image: Path) -> float:
    """Return the repetition time as given; a Scan checks its unit.

    Raises
    ------
    InputError
        It is absent or not a number.
    """
    name = image.name.partition(".")[0] + ".json"
    if "RepetitionTime" not in fields:
        raise InputError(
            f"{name}: no RepetitionTime, here or in the raw dataset; the signals"
            " cannot be filtered without it. Add it, in seconds."
        )
    tr_s = fields["RepetitionTime"]
    if isinstance(tr_s, bool) or not isinstance(tr_s, int | float):
        raise InputError(
            f"{name}: RepetitionTime is {tr_s!r}; it is a number of seconds."
            " Write it without quotes."
        )
    return float(tr_s)
