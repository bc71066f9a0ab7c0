"""From folders of grey-matter maps to what is read of whom, and what cannot be."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bidsclf.config import MAPS, Config, SelectionConfig
from bidsclf.errors import NothingMatched
from bidsclf.files import filters, index, paths, whose
from bidsclf.files.discover import Discovery, Problem
from bidsclf.files.filters import Image, named
from bidsclf.files.people import listed
from bidsclf.files.whose import Found
from bidsclf.scan import GreyMap

ENDING = re.compile(r"_label-GM_probseg\.nii(\.gz)?$")
UNMODULATED = re.compile(r"s?w(r?c|p)1")  # SPM and CAT12; their others are modulated
GM = {"label": "GM"}
NONE = "no grey-matter map matched the selection; there is none, or a filter drops it"


def discover_maps(config: Config) -> Discovery:
    """Find the maps of CAT12 or VBM where they are given, else those of fMRIPrep.

    Returns
    -------
    Discovery
        Without scans. Somebody who is asked for by name and has no map is a problem,
        and so are two maps that nothing tells apart; a file whose person cannot be
        told is a note.

    Raises
    ------
    ConfigError
        There is no derivative dataset, or the filter file is not understood.
    InputError
        The table of maps is not what it should be.
    NothingMatched
        No map is left, or nobody of this name is there.
    """
    given = [(name, getattr(config, name)) for name in MAPS]
    pipeline, folder = next((one for one in given if one[1]), ("fmriprep", None))
    if folder is None:
        root, people, found = _of_fmriprep(config)
    else:
        root, people, found = _of_others(config, pipeline, folder.resolve())
    images, notes = _chosen(found.images, people, config.selection)
    problems, images = _told_apart(images)
    images, doubled = filters.one_resolution(images)
    maps, unusable = _maps(images, pipeline, root)
    problems = [*found.problems, *problems, *unusable]
    named_by = [*(one.name for one in maps), *(one.unit for one in problems)]
    there = {name.partition("_")[0] for name in named_by}
    absent = [f"sub-{label}" for label in people if f"sub-{label}" not in there]
    if config.selection.participant_label:
        problems += [Problem(f"{who}_label-GM", NONE) for who in absent]
    else:
        notes += [f"{who}: {NONE}" for who in absent]
    notes = [*found.notes, *notes, *doubled]
    return Discovery((), tuple(problems), tuple(notes), tuple(maps))


def _of_others(
    config: Config, pipeline: str, root: Path
) -> tuple[Path, tuple[str, ...], Found]:
    """Return the folder, the people who are wanted, and maps of CAT12 or VBM."""
    asked, labels = config.extract.graymatter, config.selection.participant_label
    if asked.map_table is not None:
        found = whose.by_table(root, asked.map_table)
    else:
        found = whose.by_pattern(root, pipeline, asked.map_pattern)
    known = {image.entities["sub"] for image in found.images}
    known |= {one.unit.partition("_")[0][4:] for one in found.problems}
    people = tuple(dict.fromkeys(filters.bare("sub", label) for label in labels))
    people = people or tuple(sorted(known))
    if not known & set(people):
        raise NothingMatched(
            f"--participant-label {' '.join(people)}: no map of theirs in {root}; there"
            f" are maps of {listed(known)}."
        )
    wanted = [o for o in found.problems if o.unit.partition("_")[0][4:] in people]
    space = {"space": config.selection.space}
    images = [replace(i, entities=space | i.entities) for i in found.images]
    return root, people, Found(tuple(images), tuple(wanted), found.notes)


def _of_fmriprep(config: Config) -> tuple[Path, tuple[str, ...], Found]:
    """Return the dataset, the people who are wanted, and fMRIPrep's maps."""
    root, _, notes = index.find_roots(config.bids_dir, config.derivatives)
    people = index.wanted(root, config.selection.participant_label)
    images: list[Image] = []
    refused = []
    for label in people:
        try:
            images += _in_anat(root / f"sub-{label}")
        except OSError as error:
            said = f"{error.filename}: cannot be listed ({error.strerror})."
            said += " Check who may read it."
            refused.append(Problem(f"sub-{label}_label-GM", said))
    if not images:
        nothing = (
            f"{root}: no anat/*_label-GM_probseg.nii.gz of {listed(people)}. fMRIPrep"
            " writes one in each of its --output-spaces; for maps of CAT12 or SPM give"
            " -d cat12=PATH or vbm=PATH."
        )
        raise NothingMatched(refused[0].message if refused else nothing)
    return root, people, Found(tuple(images), tuple(refused), tuple(notes))


def _in_anat(folder: Path) -> list[Image]:
    """Return the maps of one person; a folder that cannot be listed raises OSError."""
    sessions = sorted(path for path in folder.iterdir() if path.name[:4] == "ses-")
    images = []
    for anat in (folder / "anat", *(session / "anat" for session in sessions)):
        for path in sorted(anat.iterdir()) if anat.is_dir() else ():
            if ENDING.search(path.name) and (image := index.image_of(path)):
                images.append(image)
    return images


def _chosen(
    images: Sequence[Image], people: Sequence[str], selection: SelectionConfig
) -> tuple[list[Image], list[str]]:
    """Keep the images of the selection, and say what a filter file does.

    A map without a session is of all of them: fMRIPrep makes one a person.

    Raises
    ------
    NothingMatched
        None is left.
    """
    kept = [image for image in images if image.entities.get("sub") in people]
    whole = replace(selection, session_label=(), task_id=(), run_id=())
    kept = filters.select(kept, whole)
    if selection.session_label:
        apart = [image for image in kept if "ses" in image.entities]
        pooled = [image for image in kept if "ses" not in image.entities]
        try:
            apart = filters.select(apart, replace(selection, task_id=(), run_id=()))
        except NothingMatched:
            if not pooled:
                raise
            apart = []
        kept = pooled + apart
    if selection.bids_filter_file is None:
        return kept, []
    return filters.from_file(kept, selection.bids_filter_file, "t1w")


def _told_apart(images: Sequence[Image]) -> tuple[list[Problem], list[Image]]:
    """Return a problem for maps that one name would have, and the other maps."""

    def key(image: Image) -> tuple[str, str]:
        return named(image.unit), image.entities.get("res", "")

    counts = Counter(map(key, images))
    twice = sorted({key(image)[0] for image in images if counts[key(image)] > 1})
    problems = []
    for name in twice:
        files = [str(image.path) for image in images if named(image.unit) == name]
        words = name if name.endswith("label-GM") else f"{name}_label-GM"
        problems.append(
            Problem(
                words,
                f"{len(files)} maps of one person and session: {' and '.join(files)}."
                " Remove all but one, or tell them apart with --map-pattern or"
                " --map-table.",
            )
        )
    return problems, [i for i in images if named(i.unit) not in twice]


def _maps(
    images: Sequence[Image], pipeline: str, root: Path
) -> tuple[list[GreyMap], list[Problem]]:
    """Turn images into maps; one that no output can be named after is a problem."""
    maps, problems = [], []
    for image in sorted(images, key=lambda one: named(one.unit)):
        entities = {k: v for k, v in image.unit.items() if k != "label"}
        unknown = sorted(set(entities) - set(paths.ORDER))
        space, is_silent = image.entities["space"], "space-" not in image.path.name
        if unknown:
            said = f"{image.path.name}: no output can be named after"
            said += f" {', '.join(unknown)}, which is not a BIDS entity. Rename it."
            problems.append(Problem(named(entities | GM), said))
            continue
        note = f"The file's name gives no space; --space {space} was taken."
        is_modulated = not UNMODULATED.match(image.path.name)
        maps.append(
            GreyMap(
                entities=entities,
                path=image.path,
                pipeline=pipeline,
                is_modulated=pipeline != "fmriprep" and is_modulated,
                space=space,
                res=image.entities.get("res"),
                dataset=root,
                notes=(note,) if is_silent else (),
            )
        )
    return maps, problems
