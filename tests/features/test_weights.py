"""Masks, coverage, the Gaussian, and the cache of atlases on a grid."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn import image

from bidsclf.errors import InputError
from bidsclf.features import _grid
from bidsclf.features._atlas import Atlas, load_atlas
from bidsclf.features._grid import Grid, resample
from bidsclf.features._weights import weights

SHAPE, AFFINE = (12, 10, 8), np.diag([2.0, 2, 2, 1])


def boxes(tmp_path, *, labels=(1, 2), shift=0.0):
    """Two boxes of 4 x 10 x 8 and 6 x 10 x 8 voxels, on the image's own grid."""
    values = np.zeros(SHAPE, np.int16)
    values[:4], values[4:10] = labels
    affine = AFFINE.copy()
    affine[0, 3] = shift
    path = tmp_path / "atlas.nii.gz"
    nib.save(nib.Nifti1Image(values, affine), path)
    return load_atlas(str(path))


def seeds(*coords, radius_mm=5.0):
    return Atlas(
        name="seeds",
        kind="spheres",
        regions=tuple(str(k) for k in range(len(coords))),
        digest="0",
        coords=coords,
        radius_mm=radius_mm,
    )


def placed(atlas, **more):
    return weights(atlas, shape=SHAPE, affine=AFFINE, **more)


def test_coverage_is_the_share_inside_the_mask(tmp_path):
    mask = np.zeros(SHAPE, bool)
    mask[2:7, :5] = True
    part = placed(boxes(tmp_path), mask=mask)
    np.testing.assert_allclose(part.coverage, [0.25, 0.25])
    assert part.n_voxels.tolist() == [2 * 5 * 8, 3 * 5 * 8]
    np.testing.assert_allclose(part.matrix.sum(axis=1), 1, rtol=1e-5)


def test_coverage_counts_what_lies_outside_the_field_of_view(tmp_path):
    part = placed(boxes(tmp_path, shift=-6.0))  # three planes of the first are cut
    np.testing.assert_allclose(part.coverage, [0.25, 1])


def test_a_region_outside_has_no_coverage_and_keeps_its_place(tmp_path):
    mask = np.zeros(SHAPE, bool)
    mask[6:] = True
    part = placed(boxes(tmp_path), mask=mask)
    assert part.coverage.tolist() == [0, pytest.approx(4 / 6)]
    assert part.n_voxels.tolist() == [0, 4 * 10 * 8]
    assert part.matrix.shape[0] == 2


def test_a_sphere_across_the_border_is_half_covered():
    part = placed(seeds((12.0, 10.0, 8.0), (-1.0, 10.0, 8.0)))
    assert part.coverage.tolist() == [1, 0.5]  # its x runs from -6 to 4 mm


def test_a_tiny_sphere_is_its_nearest_voxel():
    part = placed(seeds((4.9, 6.2, 1.7), radius_mm=0.1))
    at = np.unravel_index(part.voxels[0], SHAPE, order="F")
    assert (part.n_voxels[0], at) == (1, (2, 3, 1))


@given(
    seed=st.integers(0, 2**16),
    fwhm_mm=st.floats(0.5, 40),
    sizes=st.tuples(*[st.floats(0.7, 5)] * 3),
)
@settings(max_examples=40, deadline=None)
def test_smoothing_an_image_is_smoothing_the_weights(seed, fwhm_mm, sizes):
    rng = np.random.default_rng(seed)
    shape, affine = (7, 6, 5), np.diag([*sizes, 1])
    volume = rng.normal(size=shape)
    seed_mm = tuple(affine[:3, :3] @ rng.integers(0, 5, 3))
    given_grid = {"shape": shape, "affine": affine}
    plain = weights(seeds(seed_mm), **given_grid)
    smooth = weights(seeds(seed_mm), fwhm_mm=fwhm_mm, **given_grid)
    smoothed = image.smooth_img(nib.Nifti1Image(volume, affine), fwhm_mm).get_fdata()
    expected = plain.matrix @ smoothed.ravel(order="F")[plain.voxels]
    found = smooth.matrix @ volume.ravel(order="F")[smooth.voxels]
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("order", [_grid.NEAREST, _grid.LINEAR])
@pytest.mark.parametrize("turn", [0.0, 0.3])
def test_resampling_is_nilearn_s(order, turn):
    values = np.random.default_rng(0).random((9, 8, 7)).astype(np.float32)
    affine = np.diag([-2.0, 3, 2.5, 1])
    affine[:3, 3] = 9, -3, 1
    affine[0, 1] = turn
    grid = Grid(SHAPE, AFFINE - np.eye(4)[3] * [[5.0], [3], [1], [0]])
    expected = image.resample_img(
        nib.Nifti1Image(values, affine),
        target_affine=grid.affine,
        target_shape=grid.shape,
        interpolation=("nearest", "linear")[order],
    ).get_fdata()
    found = resample(values, affine, grid, order=order)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_cache_is_read_and_gives_the_same(tmp_path, monkeypatch):
    atlas, cache = boxes(tmp_path, shift=-3.0), tmp_path / "cache"
    first = placed(atlas, cache_dir=cache)
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(_grid, "_resampled", None)  # it may not be called again
    again = placed(atlas, cache_dir=cache)
    assert (first.matrix != again.matrix).nnz == 0
    np.testing.assert_array_equal(first.coverage, again.coverage)


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "text"])
def test_a_damaged_cache_file_is_made_again(tmp_path, harm):
    atlas, cache = boxes(tmp_path, shift=-3.0), tmp_path / "cache"
    want = placed(atlas, cache_dir=cache)
    (file,) = cache.iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 0xFF
    harmed = {"cut": content[:-400], "flip": content, "empty": b"", "text": b"no npz"}
    file.write_bytes(harmed[harm])
    part = placed(atlas, cache_dir=cache)
    assert (want.matrix != part.matrix).nnz == 0
    np.testing.assert_array_equal(want.coverage, part.coverage)


def test_grids_and_atlases_do_not_share_a_cache_file(tmp_path):
    atlas, cache = boxes(tmp_path), tmp_path / "cache"
    moved = AFFINE.copy()
    moved[0, 3] = 0.5
    for one in (atlas, replace(atlas, digest="another")):
        for affine in (AFFINE, moved):
            weights(one, shape=SHAPE, affine=affine, cache_dir=cache)
    assert len(list(cache.iterdir())) == 4


def test_jobs_may_fill_the_cache_at_once(tmp_path):
    atlas, cache = boxes(tmp_path), tmp_path / "cache"
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda _: placed(atlas, cache_dir=cache), range(16)))
    assert all((part.matrix != parts[0].matrix).nnz == 0 for part in parts)
    assert len(list(cache.iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "cache").write_text("a file, no folder")
    placed(boxes(tmp_path), cache_dir=tmp_path / "cache")


def test_an_atlas_elsewhere_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"atlas atlas: 0% of it lies in the field"):
        placed(boxes(tmp_path, shift=500.0))


def test_a_mask_elsewhere_is_refused(tmp_path):
    mask = np.zeros(SHAPE, bool)
    mask[10:] = True
    with pytest.raises(InputError, match=r"none of its 2 regions .* brain mask"):
        placed(boxes(tmp_path), mask=mask)


def test_maps_that_repeat_one_another_share_the_signal(tmp_path):
    one = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    path = tmp_path / "maps.nii.gz"
    nib.save(nib.Nifti1Image(np.stack([one, one], axis=3), AFFINE), path)
    part = placed(load_atlas(str(path)))
    twice = part.matrix @ one.ravel(order="F")[part.voxels]
    np.testing.assert_allclose(twice, [0.5, 0.5], rtol=1e-4)  # of least norm
