"""Entities to relative paths; strings only, no disk."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from bidsclf.errors import InputError

ORDER = (  # BIDS 1.11 order of the entities that occur here
    "sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "echo", "part",
    "chunk", "space", "cohort", "res", "atlas", "seg", "scale", "label", "stat", "desc",
)  # fmt: skip
PAIR = re.compile(r"([a-zA-Z]+)-([a-zA-Z0-9+]+)$")
OURS = ("atlas", "seg", "scale", "stat", "desc")  # values that we choose


def label(text: str, *, also: str = "") -> str:
    """Return text as an entity value: letters and digits, and what else is allowed.

    Examples
    --------
    >>> label("fc-svm-partial"), label("simple+gsr")
    ('fcsvmpartial', 'simplegsr')
    """
    value = re.sub(rf"[^0-9a-zA-Z{also}]", "", text)
    if not value:
        raise InputError(f"{text!r} holds no letter or digit to name a file with.")
    return value


def parse(name: str) -> tuple[dict[str, str], str, str]:
    """Split a file name into entities, suffix and extension.

    Examples
    --------
    >>> parse("sub-01_task-rest_desc-preproc_bold.nii.gz")
    ({'sub': '01', 'task': 'rest', 'desc': 'preproc'}, 'bold', '.nii.gz')
    """
    stem, dot, extension = name.partition(".")
    *pairs, suffix = stem.split("_")
    matched = [PAIR.match(pair) for pair in pairs]
    if not all(matched):
        raise InputError(
            f"{name!r} is not a BIDS name: key-value parts, then a suffix."
        )
    return {m[1]: m[2] for m in matched if m}, suffix, dot + extension


def build(
    entities: Mapping[str, str], suffix: str, extension: str, *, datatype: str = "func"
) -> PurePosixPath:
    """Return the path of a derivative, relative to the dataset's root.

    Examples
    --------
    >>> entities = {"desc": "simple", "sub": "01", "task": "rest"}
    >>> str(build(entities, "timeseries", ".tsv"))
    'sub-01/func/sub-01_task-rest_desc-simple_timeseries.tsv'
    """
    unknown = sorted(set(entities) - set(ORDER))
    if unknown or "sub" not in entities:
        raise InputError(
            f"entities {dict(entities)}: 'sub' is required and {unknown} are unknown."
        )
    values = {k: label(v, also="" if k in OURS else "+") for k, v in entities.items()}
    pairs = [f"{key}-{values[key]}" for key in ORDER if key in values]
    folders = [pair for pair in pairs if pair.startswith(("sub-", "ses-"))]
    return PurePosixPath(*folders, datatype, "_".join([*pairs, suffix]) + extension)


def map_file(model: str, desc: str, extension: str = ".nii.gz") -> str:
    """Return the file of a map of a model, relative to its analysis.

    Examples
    --------
    >>> map_file("cnn3d-gru", "occlusion")
    'maps/cnn3dgru_desc-occlusion_map.nii.gz'
    """
    return f"maps/{label(model)}_desc-{desc}_map{extension}"


def latent_file(model: str, desc: str, *, stat: str = "", sub: str = "") -> str:
    """Return the file of an image that a model with latents made, in its analysis.

    Examples
    --------
    >>> latent_file("cvae", "everyonepatienttwin", stat="mean")
    'latent/cvae_stat-mean_desc-everyonepatienttwin_map.nii.gz'
    >>> latent_file("cvae", "patienttwin", sub="sub-01")
    'latent/sub-01_desc-cvaepatienttwin_map.nii.gz'
    """
    if sub:
        who = label(sub.removeprefix("sub-"))
        return f"latent/sub-{who}_desc-{label(model)}{desc}_map.nii.gz"
    return f"latent/{label(model)}_stat-{stat}_desc-{desc}_map.nii.gz"
