"""Cleaning regional series: nilearn's maskers are the independent answer."""

import itertools
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn import signal
from nilearn.maskers import NiftiLabelsMasker, NiftiMapsMasker, NiftiSpheresMasker

from bidsclf.config import DenoiseConfig
from bidsclf.errors import InputError
from bidsclf.features._denoise import Confounds
from bidsclf.features.timeseries import clean, freedom

T, TR = 120, 2.0
RNG = np.random.default_rng(0)
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
BANDS = {
    "none": (None, None),
    "high": (0.01, None),
    "low": (None, 0.1),
    "both": (0.01, 0.1),
}
MASKS = {
    "all": np.arange(T),
    "dummies": np.arange(4, T),
    "scattered": np.setdiff1d(np.arange(T), [0, 1, 17, 18, 19, 40, 77, 90]),
}


def walk(seed: int, n_columns: int) -> np.ndarray:
    """Drifting, autocorrelated columns."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(T, n_columns)) + 0.3 * rng.normal(
        size=(T, n_columns)
    ).cumsum(0)


def confounds(mask: str = "all", n_regressors: int = 6) -> Confounds:
    columns = tuple(f"c{i}" for i in range(n_regressors))
    regressors = pd.DataFrame(walk(1, n_regressors), columns=list(columns))
    return Confounds(
        strategy="test",
        regressors=regressors if n_regressors else None,
        sample_mask=MASKS[mask].copy(),
        n_volumes=T,
        columns=columns,
        fd=np.full(T, np.nan),
        dvars=np.full(T, np.nan),
        dummy_scans=0,
    )


def settings_of(band: str = "none") -> DenoiseConfig:
    high_hz, low_hz = BANDS[band]
    return DenoiseConfig(high_pass_hz=high_hz, low_pass_hz=low_hz)


@pytest.fixture(scope="module")
def image() -> nib.Nifti1Image:
    shared = walk(2, 3) @ RNG.normal(size=(3, 9**3))
    voxels = 1000 + 20 * walk(3, 9**3) + 30 * shared
    return nib.Nifti1Image(voxels.T.reshape(9, 9, 9, T).astype(np.float32), AFFINE)


def labels_masker(**options):
    grid = np.zeros((9, 9, 9), np.int32)
    for value, (i, j, k) in enumerate(itertools.product(range(3), repeat=3), start=1):
        grid[3 * i : 3 * i + 3, 3 * j : 3 * j + 3, 3 * k : 3 * k + 3] = value
    return NiftiLabelsMasker(nib.Nifti1Image(grid, AFFINE), **options)


def maps_masker(**options):
    maps = np.random.default_rng(4).random((9, 9, 9, 7)).astype(np.float32)
    return NiftiMapsMasker(nib.Nifti1Image(maps, AFFINE), **options)


def spheres_masker(**options):
    return NiftiSpheresMasker(
        [(6, 6, 6), (15, 12, 9), (18, 18, 18)], radius=4, **options
    )


@pytest.mark.parametrize("masker", [labels_masker, maps_masker, spheres_masker])
@pytest.mark.parametrize("fwhm_mm", [None, 6.0])
@pytest.mark.parametrize("n_regressors", [0, 6])
def test_equals_nilearn_s_maskers(image, masker, fwhm_mm, n_regressors):
    raw = masker(smoothing_fwhm=fwhm_mm, standardize=None).fit_transform(image)
    for band, mask in itertools.product(BANDS, MASKS):
        high_hz, low_hz = BANDS[band]
        removed = confounds(mask, n_regressors)
        expected = masker(
            smoothing_fwhm=fwhm_mm,
            detrend=True,
            standardize="zscore_sample",
            high_pass=high_hz,
            low_pass=low_hz,
            t_r=TR,
        ).fit_transform(
            image, confounds=removed.regressors, sample_mask=removed.sample_mask.copy()
        )
        found = clean(raw, removed, tr_s=TR, config=settings_of(band))
        np.testing.assert_allclose(found, expected, atol=1e-4, err_msg=f"{band} {mask}")


def test_mirrored_censored_volumes_are_bridged_as_others_are():
    """Defect of nilearn 0.14.1: a pair censored at t and n-1-t is left as it was."""
    censored = [0, 1, 30, T - 31, T - 2, T - 1]
    kept = np.setdiff1d(np.arange(T), censored)
    means, removed = walk(5, 4), replace(confounds(), sample_mask=kept)
    spiky = means.copy()
    spiky[censored] += 1e4
    for band in BANDS:
        one = clean(means, removed, tr_s=TR, config=settings_of(band))
        other = clean(spiky, removed, tr_s=TR, config=settings_of(band))
        np.testing.assert_allclose(other, one, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(
    gain=st.floats(1e-3, 1e3),
    offset=st.floats(-1e4, 1e4),
    slope=st.floats(-10, 10),
    band=st.sampled_from(list(BANDS)),
    mask=st.sampled_from(list(MASKS)),
)
def test_ignores_the_scanner_s_unit(gain, offset, slope, band, mask):
    means, removed = walk(6, 5), confounds(mask)
    one = clean(means, removed, tr_s=TR, config=settings_of(band))
    other = clean(gain * means + offset, removed, tr_s=TR, config=settings_of(band))
    np.testing.assert_allclose(other, one, atol=1e-4)
    if band == "none" and mask != "scattered":
        # A filter's edges see a trend; nilearn detrends what is left, gaps closed.
        drift = slope * np.arange(T)[:, None]
        other = clean(means + drift, removed, tr_s=TR, config=settings_of(band))
        np.testing.assert_allclose(other, one, atol=1e-4)


def test_what_is_left_holds_no_confound():
    removed = confounds("scattered")
    found = clean(walk(7, 5), removed, tr_s=TR, config=settings_of())
    regressors = removed.regressors.to_numpy()[removed.sample_mask]
    regressors = regressors - regressors.mean(axis=0)
    assert np.abs(found.T @ regressors).max() < 1e-2
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=0, ddof=1), 1, rtol=1e-5)


@pytest.mark.parametrize("bad", [0.0, 1234.56, np.nan])
@pytest.mark.parametrize("band", list(BANDS))
def test_a_dead_region_is_missing_and_the_rest_is_as_without_it(bad, band):
    means = walk(8, 5)
    means[:, 3] = bad
    found = clean(means, confounds(), tr_s=TR, config=settings_of(band))
    assert found.shape == (T, 5)
    assert found.dtype == np.float32
    assert np.isnan(found[:, 3]).all()
    rest = np.delete(means, 3, axis=1)
    alone = clean(rest, confounds(), tr_s=TR, config=settings_of(band))
    np.testing.assert_allclose(np.delete(found, 3, axis=1), alone, atol=1e-6)


def test_a_region_that_the_confounds_explain_whole_is_missing():
    removed = confounds()
    means = walk(9, 3)
    means[:, 1] = 500 + 3 * removed.regressors["c2"] - 2 * removed.regressors["c4"]
    found = clean(means, removed, tr_s=TR, config=settings_of())
    assert np.isnan(found).all(axis=0).tolist() == [False, True, False]


def test_arguments_are_left_as_they_were():
    means, removed = walk(10, 4), confounds("scattered")
    before, kept = means.copy(), removed.sample_mask.copy()
    clean(means, removed, tr_s=TR, config=settings_of("both"))
    np.testing.assert_array_equal(means, before)
    np.testing.assert_array_equal(removed.sample_mask, kept)


def test_no_region_covered_is_all_missing():
    found = clean(np.full((T, 2), np.nan), confounds(), tr_s=TR, config=settings_of())
    assert np.isnan(found).all()


def test_a_cut_off_above_nyquist_is_refused():
    config = DenoiseConfig(low_pass_hz=0.3)
    with pytest.raises(InputError, match=r"--low-pass is 0.3 Hz.*below 0.25 Hz only"):
        clean(walk(0, 2), confounds(), tr_s=TR, config=config)


def test_too_few_degrees_of_freedom_are_refused_with_the_numbers():
    match = r"120 volumes are kept and 117 regressors .* 1 degrees of freedom are left"
    with pytest.raises(InputError, match=match):
        clean(walk(0, 2), confounds(n_regressors=117), tr_s=TR, config=settings_of())


def test_the_filter_costs_degrees_of_freedom():
    assert freedom(confounds(), TR, settings_of()) == T - 6 - 2
    assert freedom(confounds(), TR, settings_of("both")) == int(T * 0.09 / 0.25) - 6


def test_nilearn_still_has_the_defect_that_is_bridged_here():
    """When this fails, nilearn is mended and the note in ``clean`` can go."""
    means = walk(11, 2)
    spiky = means.copy()
    spiky[[0, T - 1]] += 1e4
    options = {"high_pass": 0.01, "t_r": TR, "sample_mask": np.arange(1, T - 1)}
    one = signal.clean(means, **options)
    assert np.abs(signal.clean(spiky, **options) - one).max() > 0.1


@pytest.mark.parametrize(("band", "needed"), [("low", 19), ("both", 34)])
def test_a_filter_needs_its_length(band, needed):
    kept = np.arange(needed - 1)
    removed = replace(confounds(n_regressors=0), sample_mask=kept)
    match = rf"{needed - 1} volumes lie between .* needs {needed}"
    with pytest.raises(InputError, match=match):
        clean(walk(0, 2), removed, tr_s=TR, config=settings_of(band))
    removed = replace(removed, sample_mask=np.arange(needed))
    found = clean(walk(0, 2), removed, tr_s=TR, config=settings_of(band))
    assert np.isfinite(found).all()
