"""Grey-matter maps on a small grid: one image a map, and how it was made beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bidsclf.errors import InputError
from bidsclf.files import paths, store
from bidsclf.files.volumes import save_image

PREFIX = {"fmriprep": "", "cat12": "cat12", "vbm": "vbm"}  # pipeline -> start of desc-


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GreyOutput:
    """One map, resampled.

    Attributes
    ----------
    entities : dict
        ``GreyMap.entities``: of the source, without space, res, label and desc.
    space, res : str, str or None
    pipeline : {'fmriprep', 'cat12', 'vbm'}
    values : float32 array of shape (size, size, size)
        Share of grey matter, or its amount where modulated.
    affine : float array of shape (4, 4)
        Cell indices to mm.
    box_mm : float array of shape (2, 3)
        Lower and upper corner of the grid.
    is_modulated : bool
        Whether values are multiplied by the change of volume of the warp.
    fwhm_mm : float
        Of the Gaussian; 0 for none.
    sources : tuple of str
        URIs of the files read.
    meta : dict
        What else the sidecar says.
    """

    entities: Mapping[str, str]
    space: str
    res: str | None = None
    pipeline: str
    values: np.ndarray
    affine: np.ndarray
    box_mm: np.ndarray
    is_modulated: bool
    fwhm_mm: float
    sources: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


def desc(pipeline: str, size: int) -> str:
    """Return the ``desc-`` of maps: pipeline, unless fMRIPrep, and grid.

    Examples
    --------
    >>> desc("fmriprep", 64), desc("cat12", 32)
    ('iso64', 'cat12iso32')
    """
    return f"{PREFIX[pipeline]}iso{size}"


def map_path(
    entities: Mapping[str, str], space: str, res: str | None, named: str
) -> PurePosixPath:
    """Return where a map is written, relative to the dataset's root.

    Examples
    --------
    >>> map_path({"sub": "01", "ses": "1"}, "MNI", None, "iso64").parent.as_posix()
    'sub-01/ses-1/anat'
    >>> map_path({"sub": "01"}, "MNI", "2", "iso64").name
    'sub-01_space-MNI_res-2_label-GM_desc-iso64_probseg.nii.gz'
    """
    whole = dict(entities) | {"space": space, "label": "GM", "desc": named}
    whole |= {"res": res} if res else {}
    return paths.build(whole, "probseg", ".nii.gz", datatype="anat")


def write_map(out: Path, grey: GreyOutput) -> list[Path]:
    """Write the image, then its sidecar.

    Raises
    ------
    InputError
        The values are no cube, or the disk refuses.
    """
    size = len(grey.values)
    if grey.values.shape != (size,) * 3:
        raise InputError(
            f"a map of shape {grey.values.shape}; a cube of cells was expected."
        )
    named = desc(grey.pipeline, size)
    path = out / map_path(grey.entities, grey.space, grey.res, named)
    save_image(path, grey.values.astype(np.float32, copy=False), grey.affine)
    edges = " x ".join(f"{mm:g}" for mm in np.diag(grey.affine)[:3])
    fields = {
        "Sources": list(grey.sources),
        "MapPipeline": grey.pipeline,
        "Modulated": grey.is_modulated,
        "SkullStripped": True,
        "Manual": False,
        "GMSmoothingFWHM": grey.fwhm_mm,
        "GridSize": [size] * 3,
        "GridBoxMM": np.asarray(grey.box_mm).tolist(),
        "Resolution": f"{size} cells of {edges} mm along the axes of GridBoxMM",
    }
    sidecar = path.with_suffix("").with_suffix(".json")
    return [path, store.write_json(sidecar, fields | dict(grey.meta))]
