"""Volumes of a scan on a small grid: one image, and how it was made beside it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bidsclf.errors import InputError
from bidsclf.files import paths, store

REGIONAL = ("Standardization", "MinCoverage")  # said of regions, not of voxels
TIMED = ("RepetitionTime", "SamplingFrequency")  # said of the source run
# BIDS means the scanner's by "SoftwareVersions" of an image.
RENAMED = {"SoftwareVersions": "PipelineVersions"}
MNI = 4  # NIfTI's code of a standard space


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VolumeOutput:
    """The volumes that were taken of one scan.

    Attributes
    ----------
    values : float32 array of shape (size, size, size, n_taken)
    affine : float array of shape (4, 4)
        Cell indices to mm.
    box_mm : float array of shape (2, 3)
        Lower and upper corner of the grid.
    taken : int array of shape (n_taken,)
        Indices of the volumes in the source run, from 0, ascending.
    is_masked : bool
        Whether what lies outside the brain was taken away.
    fields : dict
        What else the sidecar says: how volumes were picked and standardized.
    """

    values: np.ndarray
    affine: np.ndarray
    box_mm: np.ndarray
    taken: np.ndarray
    is_masked: bool = True
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Cells along each axis."""
        return int(self.values.shape[0])


def desc(name: str, size: int) -> str:
    """Return the ``desc-`` of volumes: strategy and grid.

    Two strategies, and two grids, thus never share a file.

    Examples
    --------
    >>> desc("simple+gsr", 34)
    'simplegsrgrid34'
    """
    return f"{paths.label(name)}grid{size}"


def write_volume(
    out: Path,
    entities: Mapping[str, str],
    sidecar: Mapping[str, Any],
    volume: VolumeOutput,
    *,
    tr_s: float,
) -> Iterator[Path]:
    """Write the image, then its sidecar.

    Parameters
    ----------
    out : Path
        Root of the derivative dataset.
    entities : dict
        Of the scan, with ``space``, and the strategy as ``desc``.
    sidecar : dict
        What every sidecar of the scan says.
    volume : VolumeOutput
    tr_s : float
        Repetition time of the source run.

    Raises
    ------
    InputError
        Image and indices do not fit, or the disk refuses.
    """
    n_taken = volume.values.shape[-1]
    if volume.values.shape != (volume.size,) * 3 + (len(volume.taken),):
        raise InputError(
            f"volumes of shape {volume.values.shape} and {len(volume.taken)} indices;"
            " a cube of cells by as many volumes was expected."
        )
    named = dict(entities) | {"desc": desc(entities["desc"], volume.size)}
    path = out / paths.build(named, "bold", ".nii.gz")
    span = float(volume.taken[-1] - volume.taken[0])
    step_s = tr_s * (span / (n_taken - 1) if n_taken > 1 else 1)
    save_image(path, volume.values, volume.affine, step_s=step_s)
    yield path
    said = {RENAMED.get(key, key): value for key, value in sidecar.items()}
    fields = {k: v for k, v in said.items() if k not in (*TIMED, *REGIONAL)}
    fields |= {
        **_timing(volume.taken, tr_s),
        "SkullStripped": volume.is_masked,
        "GridSize": [volume.size] * 3,
        "GridBoxMM": np.asarray(volume.box_mm).tolist(),
        "VolumesTaken": volume.taken.tolist(),
        **volume.fields,
    }
    if "res" in entities:
        fields["Resolution"] = f"{volume.size} cells along each axis of GridBoxMM"
    yield store.write_json(path.with_suffix("").with_suffix(".json"), fields)


def save_image(
    path: Path, values: np.ndarray, affine: np.ndarray, *, step_s: float | None = None
) -> None:
    """Write an image in a standard space; ``step_s`` lies between two volumes."""
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_sform(affine, MNI)
    image.header.set_qform(affine, MNI)
    if step_s is not None:
        image.header["pixdim"][4] = step_s
    with store.atomic(path) as partial:
        nib.save(image, partial)


def _timing(taken: np.ndarray, tr_s: float) -> dict[str, Any]:
    """Return BIDS' words for volumes at one distance, or for each by itself.

    BIDS asks for a duration beside single times; a whole repetition is taken.
    """
    if (np.diff(taken) == 1).all():
        return {"RepetitionTime": tr_s}
    times = (taken * tr_s).round(6).tolist()
    return {"VolumeTiming": times, "AcquisitionDuration": tr_s}
