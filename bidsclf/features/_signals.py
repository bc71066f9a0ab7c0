"""One pass over a scan's image: the raw mean signal of every region."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bidsclf.config import ExtractConfig
from bidsclf.errors import InputError
from bidsclf.features._atlas import Atlas, check_space, load_atlas
from bidsclf.features._denoise import Confounds, load_confounds
from bidsclf.features._means import RegionMeans
from bidsclf.features._resize import SmallGrid, SmallVolumes, brain_box
from bidsclf.features._stream import (
    VolumeReader,
    flat,
    open_volumes,
    read_volume,
    stream,
)
from bidsclf.features._voxels import VoxelMoments
from bidsclf.features._weights import RegionWeights, weights
from bidsclf.scan import Scan

SAME_MM = 1e-2  # affines that differ less are one grid; ours


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Signals:
    """What one pass over a scan gives.

    Attributes
    ----------
    weights : tuple of RegionWeights
        One an atlas.
    means : tuple of float32 arrays of shape (n_volumes, n_regions)
        Raw mean signals; NaN columns for regions below ``min_coverage``.
    confounds : Confounds
    tsnr : float or None
        Median temporal signal-to-noise ratio in the mask; None without a mask.
    notes : tuple of str
        What a reader should know and no number says.
    volumes : SmallVolumes or None
        The brain on a small grid, where it was asked for.
    """

    weights: tuple[RegionWeights, ...]
    means: tuple[np.ndarray, ...]
    confounds: Confounds
    tsnr: float | None
    notes: tuple[str, ...]
    volumes: SmallVolumes | None = None


def read_signals(
    scan: Scan, config: ExtractConfig, *, cache_dir: Path | None = None
) -> Signals:
    """Average every region, and resize every volume, reading the image once.

    Parameters
    ----------
    scan : Scan
    config : ExtractConfig
    cache_dir : Path or None
        Where weights are kept between scans of one grid.

    Raises
    ------
    InputError
        The image, its mask, its confounds or an atlas cannot be used; the
        message says which and why.
    """
    names = config.atlases if config.needs_atlas else ()
    atlases = tuple(load_atlas(atlas) for atlas in names)
    notes = [note for atlas in atlases if (note := check_space(atlas, scan.space))]
    with open_volumes(scan.bold) as reader:
        notes += _notes(scan, reader)
        confounds = load_confounds(scan, config.denoise, reader.n_volumes)
        mask = None if scan.mask is None else _read_mask(scan.mask, reader)
        parts = tuple(
            weights(
                atlas,
                shape=reader.shape,
                affine=reader.affine,
                mask=mask,
                fwhm_mm=config.denoise.smoothing_fwhm_mm,
                cache_dir=cache_dir,
            )
            for atlas in atlases
        )
        means = RegionMeans(parts, reader.n_volumes)
        inside = np.empty(0, int) if mask is None else flat(mask)
        voxels = VoxelMoments(inside, start=confounds.dummy_scans)
        small, said = _small_volumes(scan, config, reader, mask)
        stream(reader, [means, voxels, *small])
    n_elsewhere = means.n_nonfinite + sum(one.n_nonfinite for one in small)
    _check_finite(scan, reader.shape, voxels, 0 if scan.mask else n_elsewhere)
    covered = [_covered(p, m, config) for p, m in zip(parts, means.means, strict=True)]
    return Signals(
        weights=parts,
        means=tuple(covered),
        confounds=confounds,
        tsnr=None if mask is None else voxels.tsnr(),
        notes=(*notes, *said),
        volumes=small[0] if small else None,
    )


def _small_volumes(
    scan: Scan, config: ExtractConfig, reader: VolumeReader, mask: np.ndarray | None
) -> tuple[list[SmallVolumes], list[str]]:
    """Return what resizes the volumes, if they are asked for, and what to know."""
    if "volume" not in config.features:
        return [], []
    mask = np.ones(reader.shape, bool) if mask is None else mask
    box_mm, note = brain_box(scan.space, mask, reader.affine)
    small = SmallVolumes(
        reader,
        mask,
        SmallGrid(size=config.volume.size, box_mm=box_mm),
        fwhm_mm=config.denoise.smoothing_fwhm_mm,
    )
    return [small], [text for text in (note, small.note) if text]


def _notes(scan: Scan, reader: VolumeReader) -> list[str]:
    notes = []
    if scan.mask is None:
        notes.append("No brain mask: coverage counts the field of view only.")
    if reader.tr_s is not None and abs(reader.tr_s - scan.tr_s) > 0.01 * scan.tr_s:
        notes.append(
            f"The sidecar's RepetitionTime, {scan.tr_s:g} s, was taken; the image's"
            f" header says {reader.tr_s:g} s."
        )
    if "smoothAROMAnonaggr" in scan.bold.name:
        notes.append("fMRIPrep smoothed this image by 6 mm before ICA-AROMA.")
    return notes


def _read_mask(path: Path, reader: VolumeReader) -> np.ndarray:
    values, affine = read_volume(path)
    found, expected = values.shape, reader.shape
    if found != expected or not np.allclose(affine, reader.affine, atol=SAME_MM):
        raise InputError(
            f"{path}: shape {found} and affine {affine[:3].round(2).tolist()}, but"
            f" {reader.path.name} has shape {expected} and affine"
            f" {reader.affine[:3].round(2).tolist()}; a mask lies on the image's own"
            " grid. Take both from the same fMRIPrep run and space."
        )
    mask = np.asarray(values > 0)
    if not mask.any():
        raise InputError(
            f"{path}: no voxel is above 0; a brain mask holds the brain."
            " Look at the image: its preprocessing failed."
        )
    return mask


def _check_finite(
    scan: Scan, shape: Sequence[int], voxels: VoxelMoments, n_elsewhere: int
) -> None:
    bad = voxels.bad
    if bad.size or n_elsewhere:
        where = (
            f"{bad.size} voxels of the brain mask are NaN or infinite in some volume,"
            f" first {tuple(int(i) for i in np.unravel_index(bad[0], shape, 'F'))}"
            if bad.size
            else f"{n_elsewhere} values that are needed are NaN or infinite"
        )
        raise InputError(
            f"{scan.bold}: {where}; every signal is a number."
            " Run fMRIPrep again, or take these voxels out of the mask."
        )


def _covered(
    part: RegionWeights, means: np.ndarray, config: ExtractConfig
) -> np.ndarray:
    low = part.coverage < config.min_coverage - 1e-9
    if (low | np.isnan(means).all(axis=0)).all():
        raise InputError(
            f"atlas {part.atlas.label}: the best covered of its {low.size} regions has"
            f" {part.coverage.max():.0%} of its voxels in the image and mask;"
            f" --min-coverage asks for {config.min_coverage:.0%}. Is the atlas in the"
            " image's space? Lower --min-coverage if it is."
        )
    means = means.copy()
    means[:, low] = np.nan
    return means


def atlas_key(atlas: Atlas) -> str:
    """Return letters and digits that name an atlas in the head of a column."""
    return "".join(part for part in (atlas.name, atlas.seg, atlas.scale) if part)
