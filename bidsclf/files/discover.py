"""From a dataset to scans: what there is, and what cannot be used and why."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf.config import SelectionConfig
from bidsclf.errors import InputError, NothingMatched
from bidsclf.files import filters, index, paths, sidecars, store
from bidsclf.files.filters import Image, named
from bidsclf.files.roster import read_roster
from bidsclf.scan import GreyMap, Scan

DESCS = {False: "preproc", True: "smoothAROMAnonaggr"}  # fMRIPrep 20.2 to 25
CONFOUNDS = ("timeseries", "regressors")  # the suffix since 1.5, and before


@dataclass(frozen=True, slots=True)
class Problem:
    """A unit that cannot be worked on, and why; the others go on."""

    unit: str
    message: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found: scans and maps by name, problems, and notes."""

    scans: tuple[Scan, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    maps: tuple[GreyMap, ...] = ()


def discover(
    bids_dir: Path,
    derivatives: Path | None,
    selection: SelectionConfig,
    *,
    aroma: bool = False,
) -> Discovery:
    """Find the preprocessed runs of a dataset.

    Parameters
    ----------
    bids_dir : Path
        The raw dataset, or fMRIPrep's derivative dataset itself.
    derivatives : Path or None
        fMRIPrep's output; without it ``bids_dir/derivatives/fmriprep`` is tried.
    selection : SelectionConfig
        Only the wanted people are indexed.
    aroma : bool
        Take the images that ICA-AROMA denoised.

    Raises
    ------
    ConfigError
        There is no derivative dataset, or the filter file is not understood.
    NothingMatched
        A participant is unknown, or no image is left.
    """
    root, raw, notes = index.find_roots(bids_dir, derivatives)
    people, refused = _readable(root, index.wanted(root, selection.participant_label))
    found, unnamed = index.images(root, people, selection)
    images = [image for image in found if image.entities.get("desc") == DESCS[aroma]]
    if not images:
        raise NothingMatched(_nothing(root, found, DESCS[aroma]))
    images = filters.select(images, selection)
    if selection.bids_filter_file is not None:
        images, said = filters.from_file(images, selection.bids_filter_file)
        notes = [*notes, *said]
    images, doubled = filters.one_resolution(images)
    scans, problems = _scans(images, root, raw)
    problems += refused
    absent = _without(people, images)
    if selection.participant_label:
        problems += [Problem(f"sub-{label}", message) for label, message in absent]
    else:
        notes = [*notes, *(f"sub-{label}: {message}" for label, message in absent)]
    others = (*unnamed, *doubled, *_alike(images), *_roster(root, raw)[2])
    return Discovery(tuple(scans), tuple(problems), (*notes, *others))


def _readable(
    root: Path, people: Sequence[str]
) -> tuple[tuple[str, ...], list[Problem]]:
    """Return the people whose folders can be read, and a problem for each other."""
    refused = index.unreadable(root, people)
    if len(refused) == len(people):
        raise NothingMatched(next(iter(refused.values())))
    problems = [Problem(f"sub-{label}", text) for label, text in refused.items()]
    return tuple(label for label in people if label not in refused), problems


def _nothing(root: Path, found: Sequence[Image], desc: str) -> str:
    """Say that there is no image of this kind, and what there is instead."""
    known = filters.known_values(found, "desc")
    there = (
        f"there are desc-: {', '.join(known)}" if known else "there is no bold image"
    )
    return (
        f"{root}: no 4D image with desc-{desc}; {there}."
        " The input is fMRIPrep's output, with --output-spaces of a template."
    )


def _alike(images: Sequence[Image]) -> list[str]:
    """Say which runs differ only in how their number is written."""
    runs: dict[str, set[str]] = {}
    for image in images:
        unit = image.unit
        numbers = {k: unit[k].lstrip("0") for k in sidecars.NUMBERED if k in unit}
        runs.setdefault(named(unit | numbers), set()).add(named(unit))
    return [
        f"{' and '.join(sorted(names))}: one number written in two ways; each is taken"
        " as a run of its own"
        for names in runs.values()
        if len(names) > 1
    ]


def _without(people: Sequence[str], images: Sequence[Image]) -> list[tuple[str, str]]:
    """Return the people without an image, each with a message."""
    there = {image.entities["sub"] for image in images}
    message = "no image matched the selection; fMRIPrep made none, or a filter drops it"
    return [(label, message) for label in people if label not in there]


def _scans(
    images: Sequence[Image], root: Path, raw: Path | None
) -> tuple[list[Scan], list[Problem]]:
    """Turn images into scans; one that cannot be becomes a problem."""
    own = sidecars.Sidecars(root)
    of_raw = sidecars.Sidecars(raw) if raw is not None else None
    scans, problems = [], []
    for image in images:
        try:
            fields = sidecars.read_metadata(image.path, image.entities, own, of_raw)
            scans.append(_scan(image, root, fields))
        except InputError as error:
            problems.append(Problem(named(image.unit), str(error)))
    return scans, problems


def _scan(image: Image, root: Path, fields: dict[str, Any]) -> Scan:
    entities = image.unit
    unknown = sorted(set(entities) - set(paths.ORDER))
    if unknown:
        raise InputError(
            f"{image.path.name}: no output can be named after {', '.join(unknown)},"
            " which is not a BIDS entity of a bold image. Rename the file."
        )
    mask, confounds = _first(_masks(image)), _first(_confounds(image))
    for path in (image.path, mask, confounds):
        if path is not None and not path.exists():
            raise InputError(f"{path}: a link without its file.{store.absent(path)}")
    return Scan(
        entities=entities,
        bold=image.path,
        mask=mask,
        confounds=confounds,
        space=image.entities["space"],
        res=image.entities.get("res"),
        tr_s=sidecars.repetition_time(fields, image.path),
        metadata=fields,
        dataset=root,
    )


def _first(candidates: Iterator[Path]) -> Path | None:
    """Return the first that is there; a link counts even without its file."""
    return next((p for p in candidates if p.exists() or p.is_symlink()), None)


def _variants(image: Image, drop: tuple[str, ...]) -> Iterator[str]:
    """Yield the stem of the name without some entities, then without echo and part."""
    for more in ((), ("echo",), ("echo", "part")):
        gone = {*drop, *more, "desc"}
        yield named({k: v for k, v in image.entities.items() if k not in gone})


def _masks(image: Image) -> Iterator[Path]:
    for stem in _variants(image, ()):
        for extension in index.EXTENSIONS:
            yield image.path.with_name(f"{stem}_desc-brain_mask{extension}")


def _confounds(image: Image) -> Iterator[Path]:
    for stem in _variants(image, ("space", "cohort", "res")):
        for suffix in CONFOUNDS:
            yield image.path.with_name(f"{stem}_desc-confounds_{suffix}.tsv")


def participants(bids_dir: Path, derivatives: Path | None) -> tuple[str, ...]:
    """Return the labels of everybody in the derivative dataset, sorted."""
    return index.labels(index.find_roots(bids_dir, derivatives)[0])


def participants_table(
    bids_dir: Path, derivatives: Path | None, others: Iterable[str] = ()
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the whole table of people, as text, and what its columns mean.

    The raw dataset's table, else the derivative dataset's, else the folders;
    whoever has a folder, or is among ``others`` (labels), and no row gets a row. A
    table that cannot be used is noted by ``discover``.
    """
    root, raw, _ = index.find_roots(bids_dir, derivatives)
    return _roster(root, raw, others)[:2]


def _roster(
    root: Path, raw: Path | None, others: Iterable[str] = ()
) -> tuple[pd.DataFrame, dict[str, Any], list[str]]:
    places = [place for place in (raw, root) if place is not None]
    return read_roster(places, sorted({*index.labels(root), *others}))
