"""Where the images are: pybids, kept to the people that are wanted."""

import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from bids.layout import BIDSLayout, BIDSLayoutIndexer

from bidsclf.config import SelectionConfig
from bidsclf.dataset import describe
from bidsclf.errors import ConfigError, InputError, NothingMatched
from bidsclf.files import paths, store
from bidsclf.files.filters import Image, bare
from bidsclf.options import did_you_mean

UNUSED = re.compile(r"/(figures|logs?|anat|fmap|dwi|perf|sourcedata)(/|$)")
EXTENSIONS = (".nii.gz", ".nii")


def find_roots(
    bids_dir: Path, derivatives: Path | None
) -> tuple[Path, Path | None, list[str]]:
    """Return the derivative dataset, the raw one if there is one, and notes.

    Both paths are absolute, links resolved.

    Raises
    ------
    ConfigError
        A folder is absent, or only a raw dataset is there.
    """
    for option, folder in (("BIDS_DIR", bids_dir), ("-d fmriprep", derivatives)):
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"{option} is {folder}; there is no such folder.")
    bids_dir = bids_dir.resolve()
    if derivatives is not None:
        root = derivatives.resolve()
        return root, None if root == bids_dir else bids_dir, []
    nested = bids_dir / "derivatives" / "fmriprep"
    if not _is_declared(bids_dir) and nested.is_dir():
        return nested, bids_dir, [f"-d is not given; {nested} is read"]
    if _is_declared(bids_dir) or _has_images(bids_dir):
        return bids_dir, None, []
    raise ConfigError(
        f"{bids_dir}: neither fMRIPrep's output nor a dataset with one in"
        " derivatives/fmriprep. Name it: -d fmriprep=PATH."
    )


def _is_declared(root: Path) -> bool:
    """Tell whether a dataset says that it is a derivative; old ones do not."""
    return describe(root).get("DatasetType") == "derivative"


def _has_images(root: Path) -> bool:
    """Tell whether anybody has a preprocessed image or a grey-matter map here."""
    patterns = ("func/*_desc-preproc_bold.nii*", "anat/*_label-GM_probseg.nii*")
    found = (path for one in patterns for path in root.glob(f"sub-*/**/{one}"))
    return next(found, None) is not None


def labels(root: Path) -> tuple[str, ...]:
    """Return the labels of the folders ``sub-*``, sorted."""
    with os.scandir(root) as entries:
        names = [e.name for e in entries if e.name.startswith("sub-") and e.is_dir()]
    return tuple(sorted(name.removeprefix("sub-") for name in names))


def unreadable(root: Path, people: Iterable[str]) -> dict[str, str]:
    """Return the people of whom a folder cannot be listed, and why."""
    found = {}
    for label in people:
        errors: list[OSError] = []
        for _, below, _ in os.walk(root / f"sub-{label}", onerror=errors.append):
            below[:] = [name for name in below if not UNUSED.search(f"/{name}")]
        if errors:
            found[label] = (
                f"{errors[0].filename}: cannot be listed ({errors[0].strerror})."
                " Check who may read it."
            )
    return found


def wanted(root: Path, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of the people asked for; all if nobody is.

    Raises
    ------
    NothingMatched
        A label is unknown, or the dataset has no people.
    """
    known = labels(root)
    if not known:
        below = next(root.glob("fmriprep/sub-*"), None)
        hint = f" Did you mean {below.parent}?" if below is not None else ""
        raise NothingMatched(
            f"{root}: no folder sub-*, so there is nobody to work on.{hint}"
        )
    people = tuple(dict.fromkeys(bare("sub", label) for label in asked)) or known
    unknown = [label for label in people if label not in known]
    if unknown:
        raise NothingMatched(
            f"--participant-label {' '.join(unknown)}: not among the {len(known)}"
            f" people of {root} ({', '.join(known[:5])}{' …' if known[5:] else ''})."
            f"{did_you_mean(unknown[0], known)}"
        )
    return people


def images(
    root: Path, people: Sequence[str], selection: SelectionConfig
) -> tuple[list[Image], list[str]]:
    """Return every 4D image of some people, sorted by path, and notes.

    Parameters
    ----------
    root : Path
        Derivative dataset; nothing is written there.
    people : sequence of str
        Labels; no other person's folder is entered.
    selection : SelectionConfig
        ``bids_database_dir`` keeps an index of everybody for later runs.

    Returns
    -------
    images : list of Image
    notes : list of str
        Preprocessed images whose names are not BIDS, which are left out.

    Raises
    ------
    ConfigError
        The index would lie in the dataset, or it is of another dataset.
    """
    database = selection.bids_database_dir
    layout = _index(root, people) if database is None else _open(root, database)
    names = layout.get(
        suffix="bold", extension=list(EXTENSIONS), return_type="filename"
    )
    # pybids takes the person from the first sub- of the whole path, which may lie
    # above the dataset: the names alone decide
    every = {name: image_of(Path(name)) for name in sorted(names)}
    chosen = set(people)
    found = [i for i in every.values() if i and i.entities.get("sub") in chosen]
    notes = [
        f"{name}: left out; its name is not BIDS: key-value parts, then _bold"
        for name, image in every.items()
        if image is None and name.partition(".")[0].endswith("desc-preproc_bold")
    ]
    if database is not None:
        _check_fresh(root, chosen - {i.entities["sub"] for i in found}, database)
    return found, notes


def image_of(path: Path) -> Image | None:
    """Return an image and what its name says; None for a name that is not BIDS."""
    try:
        entities, _, extension = paths.parse(path.name)
    except InputError:  # hidden leftovers and names that are not BIDS
        return None
    return Image(path=path, entities=entities, extension=extension)


def _index(
    root: Path, people: Sequence[str] | None, database: Path | None = None
) -> BIDSLayout:
    """Index the images of some people, or of all, without their sidecars."""
    ignore = [UNUSED, re.compile(r"/\.")]
    if people is not None and set(people) != set(labels(root)):
        chosen = "|".join(map(re.escape, people))
        ignore.append(re.compile(rf"^/sub-(?!({chosen})(/|_|\.|$))"))
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=ignore)
    return BIDSLayout(
        root,
        validate=False,
        config=["bids", "derivatives"],
        indexer=indexer,
        database_path=database,
    )


def _open(root: Path, database: Path) -> BIDSLayout:
    """Open the index in a folder; make it first if it is not there.

    It is made beside its place and renamed, since jobs may start together.
    """
    if database.resolve().is_relative_to(root.resolve()):
        raise ConfigError(
            f"--bids-database-dir is {database}, inside the dataset {root}, which"
            " is never written to. Choose a folder elsewhere."
        )
    if not (database / "layout_index.sqlite").exists():
        database.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=database.parent, prefix=store.PARTIAL))
        everybody = labels(root)
        refused = unreadable(root, everybody)
        _index(root, [who for who in everybody if who not in refused], partial)
        try:
            partial.replace(database)
        except OSError:  # another job was first
            shutil.rmtree(partial)
    layout = _index(root, None, database)
    if Path(layout.root).resolve() != root.resolve():  # pybids takes the index's root
        raise ConfigError(
            f"--bids-database-dir {database}: an index of {layout.root}, not of {root}."
            " Remove the folder or name another."
        )
    return layout


def _check_fresh(root: Path, without: Collection[str], database: Path) -> None:
    """Refuse an index that is older than the images of a person it has none of."""
    missing = [
        label
        for label in sorted(without)
        if next(root.glob(f"sub-{label}/**/func/*_bold.nii*"), None) is not None
    ]
    if missing:
        raise ConfigError(
            f"--bids-database-dir {database}: the index does not know"
            f" {', '.join(missing[:5])}, who have images. Remove it to index anew."
        )
