"""Regional means against nilearn's maskers, which read the same files."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn import maskers
from scipy import sparse

from bidsclf.features._atlas import Atlas, load_atlas
from bidsclf.features._means import RegionMeans
from bidsclf.features._stream import open_volumes, stream
from bidsclf.features._weights import RegionWeights, weights

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:nilearn"),  # dropped regions
    pytest.mark.filterwarnings("ignore::FutureWarning:nilearn"),  # nilearn 0.15
]
SHAPE, N_VOLUMES = (14, 17, 12), 21
TURN = np.array([[0.9, -0.3, 0.1], [0.3, 0.95, 0.05], [-0.1, 0.0, 1.0]])
GRIDS = {
    "isotropic": np.diag([3.0, 3, 3, 1]),
    "anisotropic": np.diag([2.0, 2.5, 4, 1]),
    "left-handed": np.diag([-3.0, 3, 3, 1]),
    "oblique": nib.affines.from_matvec(TURN @ np.diag([3.0, 2.5, 4])),
}


def centred(affine: np.ndarray) -> np.ndarray:
    """Move the middle of the grid to the origin."""
    affine = affine.copy()
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return affine


def atlas_image(seed: int, *, n_maps: int = 0) -> nib.Nifti1Image:
    """Blobs in another grid than the image's: labels, or maps that overlap."""
    rng = np.random.default_rng(seed)
    shape, affine = (20, 22, 20), np.diag([2.5, 2.5, 2.5, 1])
    affine[:3, 3] = [-24, -26, -24]
    place = np.indices(shape).reshape(3, -1).T
    centres = rng.uniform(4, 16, (n_maps or 7, 3))
    distance = np.linalg.norm(place[:, None] - centres, axis=2)
    if n_maps:
        maps = np.exp(-((distance / 3) ** 2)) * (distance < 7)
        values = maps.reshape(*shape, n_maps).astype(np.float32)
    else:
        nearest = (distance.argmin(axis=1) + 1) * 3  # labels 3, 6, ...: gaps
        values = np.where(distance.min(axis=1) < 6, nearest, 0).reshape(shape)
        values = values.astype(np.int16)
    return nib.Nifti1Image(values, affine)


@pytest.fixture
def make(tmp_path):
    """Write an image, a mask and three atlases on a grid; return their paths."""

    def write(grid: str, dtype: str = "float32") -> dict[str, Path]:
        rng = np.random.default_rng(5)
        affine = centred(GRIDS[grid])
        bold = 1000 + 50 * rng.normal(size=(*SHAPE, N_VOLUMES))
        bold += 300 * rng.normal(size=(*SHAPE, 1))
        middle = np.array(SHAPE)[:, None, None, None] / 2
        ball = ((np.indices(SHAPE) - middle) ** 2).sum(axis=0) < 30
        images = {
            "bold": nib.Nifti1Image(bold.astype(dtype), affine),
            "mask": nib.Nifti1Image(ball.astype(np.uint8), affine),
            "labels": atlas_image(0),
            "maps": atlas_image(1, n_maps=5),
        }
        paths = {name: tmp_path / f"{name}.nii.gz" for name in images}
        for name, image in images.items():
            nib.save(image, paths[name])
        return paths

    return write


SEEDS = ((0.0, 0.0, 0.0), (4.0, 1.0, -2.0), (-9.0, 8.0, 3.0))  # the first two overlap


def spheres() -> Atlas:
    return Atlas(
        name="seeds",
        kind="spheres",
        regions=("a", "b", "c"),
        digest="0",
        coords=SEEDS,
        radius_mm=6.0,
    )


def ours(paths, atlases, *, masked=False, fwhm_mm=0.0, cache_dir=None):
    with open_volumes(paths["bold"]) as reader:
        mask = nib.load(paths["mask"]).get_fdata() > 0 if masked else None
        parts = [
            weights(
                atlas,
                shape=reader.shape,
                affine=reader.affine,
                mask=mask,
                fwhm_mm=fwhm_mm,
                cache_dir=cache_dir,
            )
            for atlas in atlases
        ]
        means = RegionMeans(parts, reader.n_volumes)
        stream(reader, [means])
    return means, parts


def theirs(kind, paths, *, masked=False, fwhm_mm=0.0):
    shared = {
        "mask_img": str(paths["mask"]) if masked else None,
        "smoothing_fwhm": fwhm_mm or None,
        "standardize": None,
        "reports": False,
    }
    if kind == "spheres":
        masker = maskers.NiftiSpheresMasker(
            SEEDS, radius=6.0, allow_overlap=True, **shared
        )
    elif kind == "maps":
        masker = maskers.NiftiMapsMasker(
            str(paths["maps"]), resampling_target="data", **shared
        )
    else:
        masker = maskers.NiftiLabelsMasker(
            str(paths["labels"]), resampling_target="data", **shared
        )
    return masker.fit_transform(str(paths["bold"]))


@pytest.mark.parametrize("fwhm_mm", [0.0, 5.0])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("grid", GRIDS)
def test_equals_nilearn_s_maskers_in_one_pass(make, grid, masked, fwhm_mm):
    paths = make(grid)
    atlases = [load_atlas(str(paths["labels"])), load_atlas(str(paths["maps"]))]
    atlases.append(spheres())
    means, parts = ours(paths, atlases, masked=masked, fwhm_mm=fwhm_mm)
    for atlas, part, signals in zip(atlases, parts, means.means, strict=True):
        expected = theirs(atlas.kind, paths, masked=masked, fwhm_mm=fwhm_mm)
        present = part.n_voxels > 0
        assert np.isnan(signals[:, ~present]).all()
        np.testing.assert_allclose(signals[:, present], expected, rtol=3e-6, atol=1e-3)


@pytest.mark.filterwarnings("ignore:Non-finite values detected:UserWarning")
@pytest.mark.parametrize("fwhm_mm", [0.0, 5.0])
def test_nan_voxels_are_zero_as_in_nilearn_and_counted(make, fwhm_mm):
    paths = make("isotropic")
    values = nib.load(paths["bold"]).get_fdata(dtype=np.float32)
    values[6:8, 8, 6, 3] = np.nan
    values[6, 9, 6, :2] = np.inf, -np.inf
    nib.save(nib.Nifti1Image(values, centred(GRIDS["isotropic"])), paths["bold"])
    atlases = [load_atlas(str(paths["labels"])), load_atlas(str(paths["maps"]))]
    means, parts = ours(paths, atlases, fwhm_mm=fwhm_mm)
    for atlas, part, signals in zip(atlases, parts, means.means, strict=True):
        expected = theirs(atlas.kind, paths, fwhm_mm=fwhm_mm)
        present = part.n_voxels > 0
        np.testing.assert_allclose(signals[:, present], expected, rtol=3e-6, atol=1e-3)
    assert means.n_nonfinite == 2 * 4  # four voxel values, seen by both atlases


def test_int16_volumes_give_the_same_means(make):
    paths = make("anisotropic", "int16")
    means, _ = ours(paths, [load_atlas(str(paths["labels"]))])
    np.testing.assert_allclose(means.means[0], theirs("labels", paths), rtol=3e-6)


@given(seed=st.integers(0, 2**16), n_atlases=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_any_number_of_atlases_is_the_mean_of_each(seed, n_atlases):
    rng = np.random.default_rng(seed)
    n_grid, parts, masks = 300, [], []
    for _ in range(n_atlases):
        inside = rng.random((4, n_grid)) < rng.uniform(0.02, 0.6)  # regions overlap
        inside[0, 7], inside[3] = True, rng.random() < 0.5 and inside[3]  # maybe empty
        masks.append(inside)
        sizes = inside.sum(axis=1)
        at = np.flatnonzero(inside.any(axis=0))
        matrix = sparse.csr_array(inside[:, at] / np.maximum(sizes, 1)[:, None])
        parts.append(RegionWeights(spheres(), np.ones(4), sizes, at, matrix, True))
    block = rng.normal(size=(5, n_grid)).astype(np.float32)
    means = RegionMeans(parts, 5)
    means.update(block[:3], 0)
    means.update(block[3:], 3)
    for inside, signals in zip(masks, means.means, strict=True):
        for region, signal in zip(inside, signals.T, strict=True):
            want = block[:, region].mean(axis=1) if region.any() else np.nan
            np.testing.assert_allclose(signal, want, rtol=1e-5, atol=1e-6)
