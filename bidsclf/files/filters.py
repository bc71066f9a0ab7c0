"""Which images are wanted: labels, and fMRIPrep's filter file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bidsclf.config import SelectionConfig
from bidsclf.errors import ConfigError, InputError, NothingMatched
from bidsclf.files import paths, store
from bidsclf.files.sidecars import is_same
from bidsclf.options import did_you_mean

LONG = {  # pybids' name: the key in a file name
    "subject": "sub",
    "session": "ses",
    "acquisition": "acq",
    "ceagent": "ce",
    "reconstruction": "rec",
    "direction": "dir",
    "resolution": "res",
}
KEYS = (
    "sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "echo", "part", "chunk",
    "space", "cohort", "res", "desc", "suffix", "datatype", "extension",
)  # fmt: skip
ELSEWHERE = ("t1w", "t2w", "flair", "sbref", "fmap", "roi", "pet", "dwi", "asl")
APART = ("space", "res", "desc")  # entities that stand outside a unit's name
OF_FILES = ("suffix", "datatype", "extension")  # of raw images; no map has them
ABSENT = (None, "Query.NONE")
PRESENT = ("*", "Query.ANY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A preprocessed image: its path, the entities of its name, and its folder."""

    path: Path
    entities: dict[str, str]
    extension: str

    @property
    def unit(self) -> dict[str, str]:
        """The entities that name the run, in BIDS order; unknown ones last."""
        given = {k: v for k, v in self.entities.items() if k not in APART}
        known = {key: given[key] for key in paths.ORDER if key in given}
        return known | given

    def value(self, key: str) -> str | None:
        """Return an entity, or the datatype, suffix or extension."""
        extra = {
            "datatype": self.path.parent.name,
            "suffix": "bold",
            "extension": self.extension,
        }
        return extra.get(key) or self.entities.get(key)


def named(entities: Mapping[str, str]) -> str:
    """Return entities as they stand in a name.

    Examples
    --------
    >>> named({"sub": "01", "run": "1"})
    'sub-01_run-1'
    """
    return "_".join(f"{key}-{value}" for key, value in entities.items())


def bare(key: str, label: str) -> str:
    """Return a label without its prefix.

    Examples
    --------
    >>> bare("sub", "sub-01"), bare("sub", "01")
    ('01', '01')
    """
    return label.removeprefix(f"{key}-")


def known_values(images: Sequence[Image], key: str) -> list[str]:
    """Return the values that an entity has, sorted; "none" where it is absent."""
    return sorted({image.value(key) or "none" for image in images})


def select(images: Sequence[Image], selection: SelectionConfig) -> list[Image]:
    """Keep the images of the wanted space, sessions, tasks and runs.

    Raises
    ------
    NothingMatched
        No image is left; the message lists what there is.
    """
    wanted = (
        ("--space", "space", (selection.space,)),
        ("--session-label", "ses", selection.session_label),
        ("--task-id", "task", selection.task_id),
        ("--run-id", "run", selection.run_id),
    )
    kept = list(images)
    for option, key, labels in wanted:
        if not labels:
            continue
        before, kept = kept, [i for i in kept if is_any(i.value(key), key, labels)]
        if before and not kept:
            known = known_values(before, key)
            raise NothingMatched(
                f"{option} {' '.join(labels)} matches none of {len(before)} images;"
                f" there are: {', '.join(known)}."
                f"{did_you_mean(bare(key, labels[0]), known)}"
            )
    return kept


def is_any(value: str | None, key: str, labels: Sequence[str]) -> bool:
    """Tell whether an entity has one of these labels, with or without prefix."""
    return value is not None and any(
        is_same(key, value, bare(key, label)) for label in labels
    )


def one_resolution(images: Sequence[Image]) -> tuple[list[Image], list[str]]:
    """Keep one image a unit, and say so; more than one differ in ``res-`` alone."""
    units: dict[str, list[Image]] = {}
    for image in images:
        units.setdefault(named(image.unit), []).append(image)
    kept, notes = [], []
    for name, group in sorted(units.items()):
        group.sort(key=lambda image: image.entities.get("res", ""))
        kept.append(group[0])
        if len(group) > 1:
            notes.append(
                f"{name}: {len(group)} resolutions, {group[0].path.name} is taken;"
                " choose another with --bids-filter-file"
            )
    return kept, notes


def from_file(
    images: Sequence[Image], path: Path, kind: str = "bold"
) -> tuple[list[Image], list[str]]:
    """Apply a filter file; return the images that pass it, and notes."""
    wanted, unused = read_filters(path, kind)
    if not wanted and kind != "bold":
        return list(images), unused
    kept, counts = apply_filters(images, wanted, path, kind)
    return kept, [*unused, *counts]


def read_filters(path: Path, kind: str = "bold") -> tuple[dict[str, Any], list[str]]:
    """Read a filter file; return the filters of one kind and what is not used.

    Parameters
    ----------
    path : Path
        JSON in fMRIPrep's shape: ``{"bold": {"task": "rest", "run": [1, 2]}}``;
        null wants the entity absent, ``"*"`` wants it present.
    kind : {'bold', 't1w'}
        't1w' is for maps of grey matter, which are made of such images.

    Raises
    ------
    ConfigError
        The file cannot be read, a name is unknown, or the shape is another.
    """
    try:
        content = store.read_json(path)
    except InputError as error:
        raise ConfigError(f"--bids-filter-file {error}") from error
    if not isinstance(content, dict) or not all(
        isinstance(part, dict) for part in content.values()
    ):
        raise ConfigError(
            f"{path}: --bids-filter-file takes objects in an object, as in"
            ' {"bold": {"task": "rest"}}.'
        )
    for name in content:
        if name not in ("bold", *ELSEWHERE):
            hint = did_you_mean(name, ("bold", *ELSEWHERE))
            raise ConfigError(f"{path}: no filter {name!r}; {kind!r} is read.{hint}")
    filters = {
        LONG.get(key, key): value for key, value in content.get(kind, {}).items()
    }
    for key in filters:
        if key not in KEYS:
            known = (*KEYS, *LONG)
            raise ConfigError(
                f"{path}: {kind!r} filters by {key!r}, which no image has; there are:"
                f" {', '.join(known)}.{did_you_mean(key, known)}"
            )
    notes = [
        f"filter {name!r} is not used for {kind}" for name in content if name != kind
    ]
    if kind != "bold":
        filters = {k: v for k, v in filters.items() if k not in OF_FILES}
    return filters, notes


def apply_filters(
    images: Sequence[Image],
    filters: Mapping[str, Any],
    path: Path,
    kind: str = "bold",
) -> tuple[list[Image], list[str]]:
    """Keep the images that pass every filter, and say how many each one matched.

    Raises
    ------
    NothingMatched
        A filter, or all of them together, match nothing.
    """
    kept, notes = list(images), []
    for key, value in filters.items():
        test = _test(key, value)
        matched = [image for image in images if test(image.value(key))]
        if images and not matched:
            raise NothingMatched(
                f"{path}: filter {key!r} = {value!r} matches none of {len(images)}"
                f" images; there are: {', '.join(known_values(images, key))}."
            )
        notes.append(f"filter {key!r} matched {len(matched)} of {len(images)} images")
        kept = [image for image in kept if test(image.value(key))]
    if images and not kept:
        raise NothingMatched(
            f"{path}: each filter matches some images, all together match none of"
            f" {len(images)}: {'; '.join(notes)}. Drop one of them."
        )
    return kept, [
        *notes,
        f"filter {kind!r} matched {len(kept)} of {len(images)} images",
    ]


def _test(key: str, wanted: Any) -> Callable[[str | None], bool]:
    """Return the test of one filter."""
    choices = wanted if isinstance(wanted, list) else [wanted]

    def passes(value: str | None) -> bool:
        if value is None:
            return any(choice in ABSENT for choice in choices)
        return any(
            choice in PRESENT or is_same(key, value, bare(key, str(choice)))
            for choice in choices
            if choice not in ABSENT
        )

    return passes
