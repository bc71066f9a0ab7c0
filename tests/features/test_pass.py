"""One pass over a scan: what nilearn says of it, and what a bad scan is told."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.maskers import NiftiLabelsMasker

from bidsclf.config import DenoiseConfig, ExtractConfig
from bidsclf.errors import InputError
from bidsclf.features import connectivity, quality, timeseries
from bidsclf.features._pass import extract_scan
from bidsclf.scan import Scan

SHAPE, T, TR = (12, 13, 11), 90, 2.0
AFFINE = np.array([[-3.0, 0, 0, 18], [0, 3, 0, -20], [0, 0, 3, -15], [0, 0, 0, 1]])
REMOVED = ["trans_x", "trans_y", "csf"]


def grid() -> np.ndarray:
    """Eight boxes, numbered 1 to 8."""
    labels = np.zeros(SHAPE, np.int16)
    for value in range(8):
        i, j, k = (4 * int(bit) + 2 for bit in f"{value:03b}")
        labels[i : i + 4, j : j + 4, k : k + 4] = value + 1
    return labels


def write(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    image = nib.Nifti1Image(values, affine)
    if values.ndim == 4:
        image.header.set_zooms((3, 3, 3, TR))
        image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return path


@pytest.fixture
def voxels() -> np.ndarray:
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(T, 9)).cumsum(axis=0) * 0.2
    noise = rng.normal(size=(*SHAPE, T))
    signal = 1000 + 5 * noise + 10 * (sources @ rng.normal(size=(9, 9))).T[grid()]
    return signal.astype(np.float32)


@pytest.fixture
def scan(tmp_path, voxels) -> Scan:
    """A scan on disk: image, mask, confounds, an atlas and a strategy beside it."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:11, 1:12, 1:10] = 1
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(T, 3)), columns=REMOVED)
    table["framewise_displacement"] = np.r_[np.nan, np.full(T - 1, 0.1)]
    table.loc[[20, 50], "framewise_displacement"] = 0.8
    table["dvars"] = np.r_[np.nan, np.full(T - 1, 25.0)]
    table["non_steady_state_outlier00"] = (np.arange(T) == 0) * 1.0
    table.to_csv(tmp_path / "confounds.tsv", sep="\t", index=False, na_rep="n/a")
    write(tmp_path / "atlas-boxes.nii.gz", grid())
    (tmp_path / "mine.json").write_text(json.dumps({"columns": REMOVED}))
    return Scan(
        entities={"sub": "1", "task": "rest"},
        bold=write(tmp_path / "bold.nii.gz", voxels),
        mask=write(tmp_path / "mask.nii.gz", mask),
        confounds=tmp_path / "confounds.tsv",
        space="MNI152NLin2009cAsym",
        tr_s=TR,
        dataset=tmp_path,
    )


def settings(scan: Scan, *, min_coverage: float = 0.5, **denoise) -> ExtractConfig:
    asked = {"strategy": str(scan.dataset / "mine.json"), "min_time_s": 0.0}
    return ExtractConfig(
        atlases=(str(scan.dataset / "atlas-boxes.nii.gz"),),
        min_coverage=min_coverage,
        denoise=DenoiseConfig(**{**asked, **denoise}),
    )


def changed(scan: Scan, voxels: np.ndarray, **fields) -> Scan:
    return replace(scan, bold=write(scan.dataset / "other.nii.gz", voxels), **fields)


@pytest.mark.parametrize("fwhm_mm", [0.0, 5.0])
@pytest.mark.parametrize("band", [{}, {"high_pass_hz": 0.01, "low_pass_hz": 0.1}])
@pytest.mark.parametrize("fd_thresh_mm", [None, 0.5])
def test_series_are_those_of_nilearn_s_masker(scan, fwhm_mm, band, fd_thresh_mm):
    found = extract_scan(
        scan,
        settings(scan, smoothing_fwhm_mm=fwhm_mm, fd_thresh_mm=fd_thresh_mm, **band),
    )
    masker = NiftiLabelsMasker(
        scan.dataset / "atlas-boxes.nii.gz",
        mask_img=scan.mask,
        smoothing_fwhm=fwhm_mm or None,
        detrend=True,
        standardize="zscore_sample",
        high_pass=band.get("high_pass_hz"),
        low_pass=band.get("low_pass_hz"),
        t_r=TR,
    )
    table = pd.read_csv(scan.confounds, sep="\t")
    kept = np.flatnonzero(found.kept)
    expected = masker.fit_transform(
        scan.bold, confounds=table[REMOVED], sample_mask=kept
    )
    np.testing.assert_allclose(found.atlases[0].series, expected, atol=1e-3)
    ours, theirs = np.corrcoef(found.atlases[0].series.T), np.corrcoef(expected.T)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_what_was_done_is_told(scan):
    found = extract_scan(scan, settings(scan, fd_thresh_mm=0.5, low_pass_hz=0.1))
    assert found.meta["Regressors"] == REMOVED
    assert found.meta["CensoredVolumes"] == [0, 20, 50]
    assert found.meta["Strategy"] == "mine"
    assert found.meta["FDThreshold"] == 0.5
    assert found.meta["MinCoverage"] == 0.5
    assert len(found.meta["StrategyDigest"]) == 64
    assert (found.meta["DummyScans"], found.meta["DummyScansAsked"]) == (1, "auto")
    assert "StdDVARSThreshold" not in found.meta
    assert found.meta["LowPassHz"] == 0.1
    assert "HighPassHz" not in found.meta
    assert found.meta["DegreesOfFreedom"] == int(87 * 0.1 / 0.25) - 3 - 2
    assert found.meta["SoftwareVersions"]["nilearn"]
    json.dumps(found.meta)


def test_quality_is_that_of_the_arrays(scan, voxels):
    measured = extract_scan(scan, settings(scan, fd_thresh_mm=0.5)).quality
    inside = voxels[1:11, 1:12, 1:10, 1:].reshape(-1, T - 1).astype(float)
    tsnr = np.median(inside.mean(axis=1) / inside.std(axis=1, ddof=1))
    assert measured["tsnr"] == pytest.approx(tsnr, rel=1e-4)
    assert measured["mean_fd"] == pytest.approx((87 * 0.1 + 2 * 0.8) / 89)
    assert measured["max_fd"] == 0.8
    assert measured["mean_dvars"] == 25
    assert (measured["n_volumes"], measured["n_kept"]) == (T, T - 3)
    assert measured["dummy_scans"] == 1
    assert measured["seconds_kept"] == (T - 3) * TR
    assert list(measured) == [*quality.COLUMNS, "missing_regions_boxes"]


def test_without_a_table_motion_is_not_known(scan):
    (scan.dataset / "mine.json").write_text('{"columns": []}')
    bare = replace(scan, confounds=None, mask=None)
    found = extract_scan(bare, settings(bare))
    unknown = {key for key, value in found.quality.items() if value is None}
    assert unknown == {"mean_fd", "max_fd", "mean_dvars", "tsnr"}
    assert "No brain mask" in " ".join(found.notes)
    json.dumps(found.meta)


def test_features_have_the_shapes_of_their_contract(scan):
    config = settings(scan)
    found = extract_scan(scan, config).atlases[0]
    series = timeseries.extract(scan, config)
    np.testing.assert_array_equal(series, found.series)
    edges = connectivity.extract(scan, config)
    assert edges.shape == (8 * 7 / 2,)
    np.testing.assert_array_equal(edges, connectivity.edges(found.matrices["fisherz"]))
    assert quality.extract(scan, config).shape == (len(quality.COLUMNS),)
    assert {series.dtype, edges.dtype} == {np.dtype(np.float32)}


def test_a_region_outside_the_mask_is_missing_and_n_stays(scan):
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:6, 1:12, 1:10] = 1  # boxes 1 to 4 only
    cut = replace(scan, mask=write(scan.dataset / "half.nii.gz", mask))
    found = extract_scan(cut, settings(cut))
    atlas = found.atlases[0]
    assert atlas.series.shape == (T - 1, 8)
    assert atlas.missing.tolist() == [False] * 4 + [True] * 4
    assert np.isnan(atlas.matrices["fisherz"][4:]).all()
    assert atlas.coverage.tolist() == [1.0] * 4 + [0.0] * 4
    assert found.quality["missing_regions_boxes"] == 4
    assert "constant" not in " ".join(found.notes)


def test_a_region_half_covered_is_kept_or_missing_as_asked(scan):
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:8, 1:12, 1:10] = 1  # two of four planes of boxes 5 to 8
    cut = replace(scan, mask=write(scan.dataset / "half.nii.gz", mask))
    kept = extract_scan(cut, settings(cut, min_coverage=0.5)).atlases[0]
    lost = extract_scan(cut, settings(cut, min_coverage=0.51)).atlases[0]
    assert not kept.missing.any()
    assert lost.missing.sum() == 4
    np.testing.assert_array_equal(kept.series[:, :4], lost.series[:, :4])


def test_an_all_zero_region_is_missing_and_named(scan, voxels):
    voxels[grid() == 3] = 0
    found = extract_scan(changed(scan, voxels), settings(scan))
    assert np.flatnonzero(found.atlases[0].missing).tolist() == [2]
    assert "1 regions are covered but their signal is constant" in found.notes[-1]
    assert found.meta["Notes"] == list(found.notes)


def test_a_nan_in_the_brain_is_refused_with_its_place(scan, voxels):
    voxels[5, 6, 7, 40] = np.nan
    with pytest.raises(InputError, match=r"1 voxels of the brain .* \(5, 6, 7\)"):
        extract_scan(changed(scan, voxels), settings(scan))


def test_a_nan_outside_the_brain_does_no_harm(scan, voxels):
    expected = extract_scan(scan, settings(scan)).atlases[0].series
    voxels[0, 0, 0] = np.nan
    found = extract_scan(changed(scan, voxels), settings(scan)).atlases[0].series
    np.testing.assert_array_equal(found, expected)


def test_a_mask_on_another_grid_is_refused(scan):
    moved = AFFINE.copy()
    moved[0, 3] += 3
    mask = np.ones(SHAPE, np.uint8)
    bad = replace(scan, mask=write(scan.dataset / "moved.nii.gz", mask, moved))
    with pytest.raises(InputError, match=r"moved.nii.gz: shape .* on the image's own"):
        extract_scan(bad, settings(bad))
    bad = replace(scan, mask=write(scan.dataset / "small.nii.gz", mask[:-1]))
    with pytest.raises(InputError, match=r"shape \(11, 13, 11\) .* \(12, 13, 11\)"):
        extract_scan(bad, settings(bad))


def test_an_empty_mask_is_refused(scan):
    empty = write(scan.dataset / "empty.nii.gz", np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError, match=r"empty.nii.gz: no voxel is above 0"):
        extract_scan(replace(scan, mask=empty), settings(scan))


def test_a_table_of_another_length_is_refused(scan, voxels):
    short = changed(scan, voxels[..., :60])
    with pytest.raises(InputError, match=r"90 rows, but other.nii.gz has 60 volumes"):
        extract_scan(short, settings(scan))


def test_a_header_that_disagrees_about_time_is_noted(scan):
    found = extract_scan(replace(scan, tr_s=1.5), settings(scan))
    assert "1.5 s, was taken; the image's header says 2 s" in " ".join(found.notes)


def test_too_little_time_is_refused(scan):
    with pytest.raises(InputError, match=r"178 s \(89 of 90 volumes\).*200 s are"):
        extract_scan(scan, settings(scan, min_time_s=200.0))


def test_an_image_without_any_signal_is_refused(scan):
    with pytest.raises(InputError, match="no region of atlas boxes has a signal"):
        extract_scan(changed(scan, np.ones((*SHAPE, T), np.float32)), settings(scan))


def test_a_real_series(scan, shared_data):
    path = shared_data / "bold" / "niivue_pcasl.nii.gz"
    image = nib.load(path)
    labels = np.zeros(image.shape[:3], np.int16)
    labels[20:30, 30:40, 8:12], labels[30:35, 20:30, 10:14] = 1, 2
    atlas = write(scan.dataset / "atlas-boxes.nii.gz", labels, image.affine)
    (scan.dataset / "mine.json").write_text('{"columns": []}')
    real = replace(scan, bold=path, mask=None, confounds=None, tr_s=4.0)
    found = extract_scan(real, settings(real)).atlases[0].series
    masker = NiftiLabelsMasker(atlas, detrend=True, standardize="zscore_sample")
    np.testing.assert_allclose(found, masker.fit_transform(path), atol=1e-3)
