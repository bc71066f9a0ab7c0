"""Grey-matter maps on a cube: no overshoot, no tissue made, any voxel order."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.image import resample_img, smooth_img
from scipy import ndimage

from bidsclf.config import ExtractConfig, GreyMatterConfig
from bidsclf.errors import InputError
from bidsclf.features._resize import SmallGrid
from bidsclf.features.graymatter import cube, extract, graymatter, resampled
from bidsclf.scan import GreyMap

SHAPE = (48, 56, 46)  # of 4 mm: more than the cube
AFFINE = np.array([[4.0, 0, 0, -98], [0, 4, 0, -132], [0, 0, 4, -80], [0, 0, 0, 1]])
RAS, LAS, LPS, SPR = ("RAS", "LAS", "LPS", "SPR")


def put(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(np.asarray(values, np.float32), affine), path)
    return path


def brain(seed: int = 0, shape=SHAPE) -> np.ndarray:
    """Return shares of grey matter, smooth, 0 at the rim."""
    rng = np.random.default_rng(seed)
    rough = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    values = np.clip(rough / rough.max(), 0, 1)
    rim = np.indices(shape) - (np.array(shape)[:, None, None, None] - 1) / 2
    return values * (np.sqrt((rim**2).sum(axis=0)) < 0.4 * min(shape))


def grey(path: Path, **changed) -> GreyMap:
    fields = {
        "entities": {"sub": "01"},
        "path": path,
        "pipeline": "fmriprep",
        "is_modulated": False,
        "space": "MNI152NLin2009cAsym",
        "dataset": path.parent,
    }
    return GreyMap(**fields | changed)


# an independent answer


def test_a_ramp_stays_the_ramp(tmp_path):
    x, y, z = np.indices(SHAPE) * 4 + AFFINE[:3, 3][:, None, None, None]
    path = put(tmp_path / "ramp.nii.gz", 0.4 + 1e-3 * x + 5e-4 * y - 1e-3 * z)
    found = resampled(path, cube(32), is_modulated=False).values
    at = np.indices((32,) * 3) * 6.0 + cube(32).affine[:3, 3][:, None, None, None]
    expected = 0.4 + 1e-3 * at[0] + 5e-4 * at[1] - 1e-3 * at[2]
    inner = (slice(2, -2),) * 3
    seen = np.abs(at[2]) < 70  # where the image has voxels
    seen &= (at[0] > -90) & (at[0] < 84)
    np.testing.assert_allclose(
        found[inner][seen[inner]], expected[inner][seen[inner]], atol=2e-4
    )  # fmt: skip; places hold to .2 mm


def test_cells_of_the_voxels_size_are_nilearn_s_linear_resampling(tmp_path):
    values = brain(1)
    path = put(tmp_path / "a.nii.gz", values)
    grid = cube(48)  # of 4 mm, between the voxels of the image
    expected = resample_img(
        nib.Nifti1Image(values, AFFINE), grid.affine, (48,) * 3,
        interpolation="linear", copy_header=True, force_resample=True,
    ).get_fdata()  # fmt: skip
    found = resampled(path, grid, is_modulated=False).values
    assert found.max() > 0.3
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_smoothing_is_nilearn_s(tmp_path):
    values = brain(2)
    path = put(tmp_path / "a.nii.gz", values)
    grid = SmallGrid(  # the image's own
        size=46, box_mm=np.stack([AFFINE[:3, 3] - 2, AFFINE[:3, 3] + 46 * 4 - 2])
    )
    smooth = smooth_img(nib.Nifti1Image(values, AFFINE), 9).get_fdata()
    found = resampled(path, grid, is_modulated=False, fwhm_mm=9).values
    np.testing.assert_allclose(found, smooth[:46, :46, :46], atol=1e-4)


@pytest.mark.parametrize("size", [24, 64])
def test_the_amount_of_grey_matter_stays(tmp_path, size):
    values = brain(3) * 1.4
    path = put(tmp_path / "a.nii.gz", values)
    found = resampled(path, cube(size), is_modulated=True)
    assert found.total_ml == pytest.approx(values.sum() * 64e-3, rel=0.005)
    assert found.notes == ()


# laws


@settings(max_examples=15)
@given(
    seed=st.integers(0, 999),
    size=st.integers(4, 70),
    fwhm=st.sampled_from([0.0, 3.0, 12.0]),
    voxel=st.sampled_from([2.0, 4.0, 9.0]),
)
def test_no_value_is_made_that_the_map_has_not(
    tmp_path_factory, seed, size, fwhm, voxel
):
    rng = np.random.default_rng(seed)
    values = rng.uniform(size=(20, 22, 21)) * (rng.uniform(size=(20, 22, 21)) > 0.5)
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = -10 * voxel
    path = put(tmp_path_factory.mktemp("gm") / "a.nii", values, affine)
    found = resampled(path, cube(size), is_modulated=False, fwhm_mm=fwhm).values
    assert found.shape == (size,) * 3
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= values.max().astype(np.float32)


@pytest.mark.parametrize("order", [LAS, LPS, SPR])
def test_the_order_of_voxels_in_the_file_changes_nothing(tmp_path, order):
    values = brain(4)
    expected = resampled(put(tmp_path / "a.nii", values), cube(32), is_modulated=False)
    image = nib.Nifti1Image(values.astype(np.float32), AFFINE)
    have, want = map(nib.orientations.axcodes2ornt, (RAS, order))
    turned = image.as_reoriented(nib.orientations.ornt_transform(have, want))
    assert "".join(nib.aff2axcodes(turned.affine)) == order
    turned.to_filename(tmp_path / "b.nii")
    found = resampled(tmp_path / "b.nii", cube(32), is_modulated=False)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-6)
    assert np.ptp(found.values) > 0.1


# edges


def test_beyond_the_field_of_view_there_is_nothing(tmp_path):
    ones = np.ones((10, 10, 10))
    affine = np.diag([6.0, 6.0, 6.0, 1.0])
    affine[:3, 3] = [-27, -44, -22]  # faces on those of cells
    path = put(tmp_path / "a.nii", ones, affine)
    found = resampled(path, cube(64), is_modulated=False)
    line = found.values[:, 32, 32]
    rim = np.flatnonzero(line)[:3]
    np.testing.assert_allclose(line[rim], [0.25, 0.75, 1], atol=1e-6)  # not 1, 1, 1
    assert np.isclose(found.values, 1, atol=1e-6).sum() == 18**3
    assert found.total_ml == pytest.approx(216)


def test_a_rounding_below_0_or_above_1_is_clipped(tmp_path):
    values = np.where(np.indices(SHAPE)[0] < 24, 1.0009, -0.0009)
    found = resampled(put(tmp_path / "a.nii", values), cube(16), is_modulated=False)
    assert found.values.min() == 0
    assert found.values.max() == pytest.approx(1, abs=1e-5)


def test_whole_numbers_with_a_scale_are_read_by_it(tmp_path):
    values = brain(6)
    image = nib.Nifti1Image(values, AFFINE)
    image.set_data_dtype(np.uint8)
    image.to_filename(tmp_path / "scaled.nii.gz")
    expected = resampled(put(tmp_path / "a.nii", values), cube(16), is_modulated=False)
    found = resampled(tmp_path / "scaled.nii.gz", cube(16), is_modulated=False)
    np.testing.assert_allclose(found.values, expected.values, atol=3e-3)


def test_half_a_brain_in_the_cube_is_noted(tmp_path):
    affine = AFFINE.copy()
    affine[0, 3] += 96
    found = resampled(put(tmp_path / "a.nii", brain(7), affine), cube(16),
                      is_modulated=False)  # fmt: skip
    (note,) = found.notes
    share = int(note.partition("holds ")[2].partition("%")[0])
    assert 40 < share < 60


# messages


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v: np.where(v > 0.3, np.nan, v), r"values are NaN or infinite; a map"),
        (lambda v: np.where(v > 0.3, np.inf, v), r"of 123648 values are NaN or inf"),
        (lambda v: v * 0, "every value is 0"),
        (lambda v: v * 255 / v.max(), "between 0 and 255; shares .* Divide by 255"),
        (lambda v: v - 0.01, "between -0.01 and"),
        (lambda v: np.stack([v, v], axis=3), r"4D image of shape .*3D"),
        (lambda v: v[0], r"2D image of shape \(56, 46\)"),
    ],
)
def test_what_is_no_map_is_refused_with_its_name(tmp_path, spoil, message):
    path = put(tmp_path / "bad.nii.gz", spoil(brain(8)))
    with pytest.raises(InputError, match=f"bad.nii.gz: .*{message}"):
        resampled(path, cube(16), is_modulated=False)


def test_modulated_maps_have_a_range_of_their_own(tmp_path):
    values = brain(9) / brain(9).max()
    path = put(tmp_path / "a.nii", values * 2)
    with pytest.raises(InputError, match="between 0 and 2; shares"):
        resampled(path, cube(16), is_modulated=False)
    assert resampled(path, cube(16), is_modulated=True).values.max() > 1
    path = put(tmp_path / "below.nii", -values)  # whose largest value is -0
    with pytest.raises(InputError, match="between -1 and 0; shares"):
        resampled(path, cube(16), is_modulated=False)
    path = put(tmp_path / "t1w.nii", values * 300)
    with pytest.raises(InputError, match=r"between 0 and 300; a modulated .* 0 and 10"):
        resampled(path, cube(16), is_modulated=True)


def test_oblique_axes_are_refused(tmp_path):
    turn = np.deg2rad(5)
    affine = AFFINE.copy()
    affine[:2, :2] = 4 * np.array(
        [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    )
    with pytest.raises(InputError, match=r"tilted.nii: its axes are oblique"):
        resampled(put(tmp_path / "tilted.nii", brain(), affine), cube(16),
                  is_modulated=False)  # fmt: skip


def test_a_map_elsewhere_is_refused(tmp_path):
    affine = AFFINE.copy()
    affine[2, 3] = 500
    with pytest.raises(InputError, match="no grey matter lies in the cube"):
        resampled(
            put(tmp_path / "a.nii", brain(), affine), cube(16), is_modulated=False
        )


# the feature


def test_the_feature_takes_size_and_smoothing_from_the_settings(tmp_path):
    path = put(tmp_path / "a.nii.gz", brain() * 1.5 / brain().max())
    asked = GreyMatterConfig(size=20, smoothing_fwhm_mm=8)
    config = ExtractConfig(features=("graymatter",), graymatter=asked)
    one = grey(path, pipeline="cat12", is_modulated=True)
    expected = resampled(path, cube(20), is_modulated=True, fwhm_mm=8).values
    np.testing.assert_array_equal(extract(one, config), expected)
    assert graymatter(one, config).grid.size == 20
    with pytest.raises(InputError, match="shares of grey matter"):
        extract(grey(path), config)
