"""The standard brain a study is simulated in: grid, tissues, regions, fields."""

from dataclasses import dataclass

import nibabel
import numpy as np
from nilearn import datasets
from nilearn.image import resample_img
from scipy.ndimage import gaussian_filter

from bidsclf.features._atlas import load_atlas
from bidsclf.sources._study import N_FIELDS

FWHM_MM = 12.0
GREY, WHITE, FLUID = 1000.0, 850.0, 1300.0  # intensities of a T2*-weighted image


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """The brain on its grid; V voxels lie inside it.

    Attributes
    ----------
    affine : float array of shape (4, 4)
    mask : bool array of shape (X, Y, Z)
    template : float32 array of shape (X, Y, Z)
        T1-weighted intensity in [0, 1].
    regions : tuple of str
        Names of the AAL regions, in the atlas' order.
    region : int array of shape (V,)
        Index into ``regions``; -1 outside all of them.
    intensity : float32 array of shape (V,)
        Mean signal.
    white, fluid : bool array of shape (V,)
        Deep white matter and ventricles, where there is no neural signal.
    fields : float32 array of shape (n_fields, V)
        Smooth patterns of unit variance.
    """

    affine: np.ndarray
    mask: np.ndarray
    template: np.ndarray
    regions: tuple[str, ...]
    region: np.ndarray
    intensity: np.ndarray
    white: np.ndarray
    fluid: np.ndarray
    fields: np.ndarray

    @property
    def n_voxels(self) -> int:
        """Voxels inside the brain."""
        return len(self.region)


def load_anatomy(resolution_mm: int, *, seed: int) -> Anatomy:
    """Put nilearn's MNI152 template and the AAL atlas on one grid.

    Parameters
    ----------
    resolution_mm : int
    seed : int
        Root of the smooth patterns.
    """
    image = datasets.load_mni152_template(resolution=resolution_mm)
    template = image.get_fdata(dtype=np.float32)
    mask = _tissue("brain_mask", resolution_mm) > 0.5
    grey = _tissue("gm_template", resolution_mm)[mask]
    white = _tissue("wm_template", resolution_mm)[mask]
    fluid = np.clip(1 - grey - white, 0, 1)
    regions, places = _regions(image)
    region = places[mask]
    free = region < 0
    rng = np.random.default_rng([seed, 4])
    return Anatomy(
        affine=image.affine,
        mask=mask,
        template=template,
        regions=regions,
        region=region,
        intensity=(GREY * grey + WHITE * white + FLUID * fluid).astype(np.float32),
        white=free & (white > 0.9),
        fluid=free & (fluid > 0.7),
        fields=_smooth_fields(mask, FWHM_MM / resolution_mm, rng=rng),
    )


def _tissue(name: str, resolution_mm: int) -> np.ndarray:
    load = getattr(datasets, f"load_mni152_{name}")
    return load(resolution=resolution_mm).get_fdata(dtype=np.float32)


def _regions(grid: nibabel.Nifti1Image) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the AAL's names and, on the grid, the place of each voxel's name."""
    atlas = load_atlas("aal")
    image = resample_img(
        nibabel.load(str(atlas.image)),
        target_affine=grid.affine,
        target_shape=grid.shape,
        interpolation="nearest",
        force_resample=True,
        copy_header=True,
    )
    labels = np.asarray(image.dataobj).astype(int)
    places = np.full(labels.max() + 1, -1)
    places[list(atlas.values)] = np.arange(len(atlas.values))
    return atlas.regions, places[labels]


def _smooth_fields(
    mask: np.ndarray, fwhm_voxels: float, *, rng: np.random.Generator
) -> np.ndarray:
    sigma = fwhm_voxels / np.sqrt(8 * np.log(2))
    fields = np.stack(
        [
            gaussian_filter(rng.normal(size=mask.shape).astype(np.float32), sigma)[mask]
            for _ in range(N_FIELDS)
        ]
    )
    fields -= fields.mean(axis=1, keepdims=True)
    return fields / fields.std(axis=1, keepdims=True)
