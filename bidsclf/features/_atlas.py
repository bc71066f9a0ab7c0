"""An atlas: regions by label, by map or by sphere, from a name or a path."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bidsclf.errors import ConfigError, InputError
from bidsclf.features._labels import described, present, read_labels
from bidsclf.features._nifti import read_header
from bidsclf.features._regions import find_table, in_image, read_names, unique
from bidsclf.features._stream import VolumeReader
from bidsclf.options import did_you_mean


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """What regions are taken from an image.

    Attributes
    ----------
    name, seg, scale : str, str or None, str or None
        Entity values: letters and digits.
    kind : {'labels', 'maps', 'spheres'}
    regions : tuple of str
        Names, none twice, without tabs.
    digest : str
        SHA-256 of everything that rules the numbers.
    space : str or None
        Template the atlas was drawn in; None if nothing says it.
    image : Path or None
        NIfTI of labels (3D) or maps (4D).
    volume : int or None
        Which volume of a 4D image of labels.
    values : tuple of int
        The label of each region; empty for maps and spheres.
    coords : tuple of (x, y, z)
        Centres of spheres in mm.
    radius_mm : float or None
    """

    name: str
    kind: str
    regions: tuple[str, ...]
    digest: str
    seg: str | None = None
    scale: str | None = None
    space: str | None = None
    image: Path | None = None
    volume: int | None = None
    values: tuple[int, ...] = ()
    coords: tuple[tuple[float, float, float], ...] = ()
    radius_mm: float | None = None
    citation: str = ""
    license: str = ""

    @property
    def label(self) -> str:
        """Name for people: ``Schaefer2018 7n 200``."""
        return " ".join(part for part in (self.name, self.seg, self.scale) if part)


def names() -> tuple[str, ...]:
    """List the atlases known by name.

    Examples
    --------
    >>> {"aal", "power264"} <= set(names())
    True
    """
    return tuple(
        sorted(p.name.removesuffix(".json") for p in _folder().iterdir() if p.is_file())
    )


def is_shipped(name: str) -> bool:
    """Return whether an atlas of ``names()`` is installed and needs no download.

    Examples
    --------
    >>> is_shipped("aal"), is_shipped("cc200")
    (True, False)
    """
    text = (_folder() / f"{name}.json").read_text(encoding="utf-8")
    return "fetch" not in json.loads(text)


def load_atlas(name_or_path: str) -> Atlas:
    """Load and check an atlas.

    Parameters
    ----------
    name_or_path : str
        A name of ``names()``, or a NIfTI file with a table of names beside it.

    Raises
    ------
    ConfigError
        Neither a known name nor a file.
    InputError
        The image holds no region, labels that are not whole numbers, or has the
        wrong rank; the table does not fit; a download failed.
    """
    known = names()
    if name_or_path in known:
        text = (_folder() / f"{name_or_path}.json").read_text(encoding="utf-8")
        return _named(name_or_path, json.loads(text))
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return _from_path(path)
    raise ConfigError(
        f"no atlas {name_or_path!r}: neither a file nor one of {', '.join(known)}."
        f"{did_you_mean(name_or_path, known)} Give the path of a NIfTI file."
    )


def check_space(atlas: Atlas, space: str) -> str | None:
    """Refuse an atlas drawn in another space than the image's.

    Returns
    -------
    note : str or None
        What the reader of a report should know: MNI templates differ by
        millimetres, which is tolerated; None if the spaces are the same.

    Raises
    ------
    InputError
        One of the two is no MNI template, and they differ.
    """
    if atlas.space is None:
        return f"atlas {atlas.label} names no space; it is taken to be in {space}."
    ours, theirs = (re.sub(r"Asym$", "", s) for s in (space, atlas.space))
    if ours == theirs:
        return None
    if ours.startswith("MNI") and theirs.startswith("MNI"):
        return (
            f"atlas {atlas.label} was drawn in {atlas.space}, the image is in {space};"
            " the two differ by a few millimetres."
        )
    raise InputError(
        f"atlas {atlas.label} is in space {atlas.space}, the image in {space};"
        " they must be the same. Choose the images with --space or give another atlas."
    )


def _folder() -> Any:
    return files("bidsclf") / "data" / "atlases"


def _named(option: str, entry: Mapping[str, Any]) -> Atlas:
    kept = ("name", "seg", "scale", "space", "citation", "license")
    shared = {key: entry[key] for key in kept if key in entry}
    if "coords" in entry:
        return _spheres(entry, shared)
    if "fetch" in entry:
        image, rows = _fetched(option, entry)
    else:
        folder = _package(entry["package"])
        image, rows = folder / entry["image"], read_names(folder / entry["names"])
    return _from_image(image, rows, shared, volume=entry.get("volume"))


def _package(name: str) -> Path:
    """Return the folder of a package without importing it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"the package {name}, which ships this atlas, is not installed."
            " Install bidsclf with its dependencies."
        )
    return Path(spec.submodule_search_locations[0])


def _spheres(entry: Mapping[str, Any], shared: Mapping[str, Any]) -> Atlas:
    table = np.genfromtxt(
        _package(entry["package"]) / entry["coords"],
        delimiter=",",
        names=True,
        dtype=None,
        encoding="utf-8",
    )
    columns = table.dtype.names or ()
    lower = {key.lower(): key for key in columns}
    x, y, z = (table[lower[axis]].astype(float).tolist() for axis in "xyz")
    rows = [dict(zip(columns, row, strict=True)) for row in table.tolist()]
    regions = unique([entry["region"].format(**row) for row in rows])
    coords = tuple(zip(x, y, z, strict=True))
    radius = float(entry["radius_mm"])
    digest = _digest(repr((coords, radius, regions)).encode())
    return Atlas(
        kind="spheres",
        regions=regions,
        digest=digest,
        coords=coords,
        radius_mm=radius,
        **shared,
    )


def _fetched(
    option: str, entry: Mapping[str, Any]
) -> tuple[Path, list[tuple[int | None, str]]]:
    """Get an atlas through nilearn, from its cache or the network."""
    from nilearn import datasets

    try:
        bunch = getattr(datasets, entry["fetch"])(**entry["arguments"], verbose=0)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"atlas {option!r} is not in nilearn's cache and could not be downloaded"
            f" ({type(error).__name__}: {str(error)[:200]}). Run once with a network,"
            " set NILEARN_DATA to a cache that holds it, or give the path of its"
            " NIfTI file to --atlases."
        ) from error
    image = Path(bunch["filename"] if "filename" in bunch else bunch["maps"])
    if "lut" in bunch:
        table = bunch["lut"]
        return image, list(
            zip(map(int, table["index"]), map(str, table["name"]), strict=True)
        )
    labels = bunch.get("labels", [])
    if hasattr(labels, "columns"):
        labels = (
            labels.iloc[:, -1]
            if "difumo_names" not in labels
            else labels["difumo_names"]
        )
    return image, [(None, str(name)) for name in labels]


def _from_path(path: Path) -> Atlas:
    table = find_table(path)
    rows = read_names(table) if table else []
    return _from_image(path, rows, described(path))


def _from_image(
    image: Path,
    rows: Sequence[tuple[int | None, str]],
    shared: Mapping[str, Any],
    *,
    volume: int | None = None,
) -> Atlas:
    reader = VolumeReader(image, read_header(image))
    is_maps = volume is None and reader.n_volumes > 1
    values = () if is_maps else present(read_labels(image, volume)[0])
    n_regions = reader.n_volumes if is_maps else len(values)
    if not n_regions:
        raise InputError(
            f"{image}: every voxel is 0, so the atlas has no region;"
            " whole labels above 0 were expected. Give another file."
        )
    regions = unique(in_image(image, rows, values, n_regions))
    content = hashlib.sha256(image.read_bytes()).hexdigest()
    return Atlas(
        kind="maps" if is_maps else "labels",
        regions=regions,
        digest=_digest(repr((content, volume, values, regions)).encode()),
        image=image,
        volume=volume,
        values=values,
        **shared,
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
