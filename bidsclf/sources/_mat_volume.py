"""One .mat file to an image of seam 1: looked through, filled, written as it is read.

A file is read twice, a few volumes at a time: first to find what is missing and the
mean, then to write. Memory stays below one scan, whatever the scan's length.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bidsclf.errors import ConfigError, InputError
from bidsclf.features._resize import MIN_INSIDE, axis_weights, contracted
from bidsclf.files import paths, store
from bidsclf.sources._fill import SIGMA_VOXELS, fill_missing
from bidsclf.sources._images import write_volumes
from bidsclf.sources._mat_file import MatScan, peek, read_volumes

MAX_MISSING = 0.05  # of the values inside the mask: seed 004's limit, itself refused
MIN_MEAN = 1e-3  # of the root mean square: below, values are centred already; ours
MIN_SIZE, MAX_SIZE = 4, 256  # as --volume-size of run.py, which chooses among grids
STANDARDIZED = {
    "mean": "Divided by the mean over the mask and all volumes.",
    "none": "None: the values of the file.",
}
Resize = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatConfig:
    """How images are written.

    Attributes
    ----------
    size : int
        Cells along each axis, from 4 to what --volume-size takes; 0 keeps the
        file's own grid.
    standardize : {'mean', 'none'}
    tr_s, voxel_mm : float or None
        As the user says them: the files do not.
    space : str
        Template, or 'individual'.
    """

    size: int = 0
    standardize: str = "mean"
    tr_s: float | None = None
    voxel_mm: float | None = None
    space: str = "individual"

    def __post_init__(self) -> None:
        problems = []
        if self.size and not MIN_SIZE <= self.size <= MAX_SIZE:
            problems.append(
                f"--size is {self.size}; it takes {MIN_SIZE} to {MAX_SIZE}."
            )
        if self.tr_s is not None and not 0 < self.tr_s < 20:
            problems.append(f"--tr is {self.tr_s}; it is in seconds, between 0 and 20.")
        if self.voxel_mm is not None and not 0 < self.voxel_mm < 50:
            problems.append(
                f"--voxel-size is {self.voxel_mm}; it is in mm, between 0 and 50."
            )
        if self.size and self.voxel_mm is not None:
            problems.append(
                "--voxel-size and --size: a cell of the small grid is a share of the"
                " box of each mask, of no size in mm that all share. Leave one out."
            )
        if not re.search("[0-9a-zA-Z]", self.space):
            problems.append(
                f"--space is {self.space!r}, which holds no letter or digit; give the"
                " template, such as MNI152NLin2009cAsym, or leave it out."
            )
        if problems:
            raise ConfigError("\n".join(problems))

    @property
    def kind(self) -> str:
        """Entities that tell images of a scan apart: ``space-…_desc-…``."""
        return f"space-{self.template}_desc-{self.desc}"

    @property
    def template(self) -> str:
        """Value of ``space-``."""
        return paths.label(self.space)

    @property
    def desc(self) -> str:
        """Value of ``desc-``; grid 0 is the file's own."""
        return f"matgrid{self.size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a look through all volumes has found inside the mask.

    Attributes
    ----------
    missing : float
        Share of the values that are NaN or infinite.
    mean : float
        Of the finite values.
    """

    missing: float
    mean: float


def survey(path: Path, scan: MatScan) -> Survey:
    """Look through the volumes of a file.

    Raises
    ------
    InputError
        5 % or more is missing, a volume has no finite voxel, all values are
        equal, or the file is damaged.
    """
    n_finite, total, squares = 0, 0.0, 0.0
    empty: list[int] = []
    for number, volume in enumerate(read_volumes(path)):
        values = volume[scan.mask].astype(float)
        finite = values[np.isfinite(values)]
        n_finite += finite.size
        total += finite.sum()
        squares += np.square(finite).sum()
        if not finite.size:
            empty.append(number)
    n_values = scan.n_volumes * int(scan.mask.sum())
    n_missing = n_values - n_finite
    if n_missing >= MAX_MISSING * n_values:
        raise InputError(
            f"{n_missing / n_values:.1%} of the values inside the mask are NaN or"
            f" infinite; less than {MAX_MISSING:.0%} can be filled. Leave the scan out,"
            " or make its mask smaller."
        )
    if empty:
        raise InputError(
            f"volume {empty[0]} has no finite value inside the mask; there is nothing"
            " to fill it by. Leave the volume out."
        )
    mean = total / n_finite
    if squares / n_finite - mean**2 <= 1e-12 * mean**2:
        raise InputError(
            f"every value inside the mask is {mean:g}; there is no signal. Save it"
            " again, or leave the scan out."
        )
    if abs(mean) < MIN_MEAN * np.sqrt(squares / n_finite):
        mean = 0.0
    return Survey(missing=n_missing / n_values, mean=mean)


def write_scan(
    out: Path, path: Path, entities: dict[str, str], meta: dict[str, Any], *,
    config: MatConfig,
) -> list[Path]:  # fmt: skip
    """Write a file's volumes as an image with its sidecar.

    Parameters
    ----------
    out : Path
        Root of the derivative dataset.
    path : Path
    entities : dict
        Of the person and the run.
    meta : dict
        Fields of the sidecar beside those written here.
    config : MatConfig

    Returns
    -------
    list of Path
        The image and its sidecar.

    Raises
    ------
    InputError
        The scan cannot be used; nothing is written of it. The message names the
        file.
    """
    scan = peek(path)
    try:
        found = survey(path, scan)
        if config.standardize == "mean" and found.mean <= 0:
            raise InputError(
                f"its mean over the mask is {found.mean:g}, by which it cannot be"
                " divided: its values seem to be centred. Use --standardize none."
            )
        shape, resize, placed = _grid(scan, config)
    except InputError as error:
        named = str(error).startswith(path.name)
        raise error if named else InputError(f"{path.name}: {error}") from error
    gain = 1 / found.mean if config.standardize == "mean" else 1.0
    image = out / paths.build(
        entities | {"space": config.template, "desc": config.desc}, "bold", ".nii.gz"
    )
    write_volumes(
        image,
        _ready(path, scan, resize, gain),
        (*shape, scan.n_volumes),
        np.diag([*[config.voxel_mm or 1.0] * 3, 1.0]),
        tr_s=config.tr_s,
    )
    fields = meta | placed | _said(found, config)
    sidecar = image.with_name(image.name.replace(".nii.gz", ".json"))
    return [image, store.write_json(sidecar, fields)]


def _ready(
    path: Path, scan: MatScan, resize: Resize, gain: float
) -> Iterator[np.ndarray]:
    """Yield the volumes as they are written."""
    for volume in read_volumes(path):
        yield resize(fill_missing(volume, scan.mask)) * np.float32(gain)


def _said(found: Survey, config: MatConfig) -> dict[str, Any]:
    """Return what the sidecar says of how the image was made."""
    clock = {} if config.tr_s is None else {"RepetitionTime": config.tr_s}
    return clock | {
        "TaskName": "rest",
        "SkullStripped": True,
        "Pipeline": "matfile",
        "Strategy": "none",
        "SpatialReference": config.template,
        "VolumeStandardization": STANDARDIZED[config.standardize],
        "MissingShare": round(found.missing, 6),
        "MissingFilled": "Mean of finite neighbours inside the mask, weighted by a"
        f" Gaussian of sigma {SIGMA_VOXELS:g} voxel.",
    }


def _grid(
    scan: MatScan, config: MatConfig
) -> tuple[tuple[int, ...], Resize, dict[str, Any]]:
    """Return the shape that is written, how to get there, and what to say of it."""
    if not config.size:
        return scan.shape, lambda volume: volume, {"GridSize": list(scan.shape)}
    where = np.argwhere(scan.mask)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    weights = [
        axis_weights(n, config.size, start=a - 0.5, step=(b - a) / config.size)
        for n, a, b in zip(scan.shape, low, high, strict=True)
    ]
    along = [one.astype(np.float32) for one in weights]
    share = contracted(scan.mask.T.astype(np.float32), along).T
    inside = share >= MIN_INSIDE - 1e-6
    if not inside.any():
        raise InputError(
            f"its mask fills no cell of a grid of {config.size}. Choose a larger"
            " --size, or look at the mask."
        )

    def resize(volume: np.ndarray) -> np.ndarray:
        small = np.zeros_like(share)
        small[inside] = contracted(volume.T, along).T[inside] / share[inside]
        return small

    box = np.stack([low, high]).tolist()
    said = {"GridSize": [config.size] * 3, "GridBoxVoxels": box}
    return inside.shape, resize, said
