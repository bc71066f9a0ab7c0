"""Volumes on a small grid: torch's numbers, nilearn's cleaning, every place kept."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn import signal
from nilearn.datasets import load_mni152_brain_mask
from scipy import ndimage
from torch.nn import functional

from bidsclf.config import DenoiseConfig, ExtractConfig, VolumeConfig
from bidsclf.errors import InputError
from bidsclf.features import timeseries, volume
from bidsclf.features._denoise import Confounds
from bidsclf.features._pass import extract_scan
from bidsclf.features._resize import (
    FWHM_PER_SIGMA,
    MNI_BOX_MM,
    SmallGrid,
    SmallVolumes,
    brain_box,
)
from bidsclf.features._stream import VolumeReader, open_volumes, stream
from bidsclf.scan import Scan

SHAPE, T, TR = (20, 23, 18), 40, 2.0
AFFINE = np.array([[4.0, 0, 0, -40], [0, 4, 0, -55], [0, 0, 4, -30], [0, 0, 0, 1]])
FACES_MM = np.array([[-42.0, -57, -32], [38, 35, 40]])  # of SHAPE under AFFINE


def opened(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> VolumeReader:
    image = nib.Nifti1Image(np.asarray(values, np.float32), affine)
    nib.save(image, path)
    return open_volumes(path)


def resized(reader, mask=None, *, size=8, box_mm=FACES_MM, fwhm_mm=0.0) -> SmallVolumes:
    mask = np.ones(reader.shape, bool) if mask is None else mask
    small = SmallVolumes(
        reader, mask, SmallGrid(size=size, box_mm=box_mm), fwhm_mm=fwhm_mm
    )
    stream(reader, [small])
    return small


def torch_resized(volumes: np.ndarray, size: int) -> np.ndarray:
    """Resize (n, X, Y, Z) axis by axis; torch knows antialiasing in 2D only."""
    x = torch.from_numpy(volumes)
    for _ in range(3):
        n, a, b, c = x.shape
        flat = functional.interpolate(
            x.reshape(n, 1, a, b * c),
            size=(size, b * c),
            mode="bilinear",
            antialias=True,
        )
        x = flat.reshape(n, size, b, c).permute(0, 2, 3, 1)
    return x.numpy()


@pytest.mark.parametrize("size", [5, 8, 20, 31])
def test_the_numbers_are_torch_s(tmp_path, size):
    values = np.random.default_rng(0).normal(100, 20, (*SHAPE, 3)).astype(np.float32)
    small = resized(opened(tmp_path / "a.nii.gz", values), size=size)
    expected = torch_resized(np.moveaxis(values, -1, 0).copy(), size)
    assert small.inside.all()
    found = np.moveaxis(small.whole(small.values), -1, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 999), size=st.integers(4, 25), fwhm=st.sampled_from([0.0, 6.0])
)
def test_a_constant_stays_one_whatever_the_mask(tmp_path_factory, seed, size, fwhm):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=SHAPE), 3) > 0
    values = np.where(mask, 7.5, rng.normal(size=SHAPE) * 1e6)[..., None]
    reader = opened(tmp_path_factory.mktemp("v") / "a.nii", values)
    small = resized(reader, mask, size=size, fwhm_mm=fwhm)
    np.testing.assert_allclose(small.values, 7.5, rtol=1e-5)


def test_half_a_cell_in_the_brain_is_enough_and_less_is_not(tmp_path):
    mask = np.zeros((24, 24, 24), bool)
    mask[:10] = True  # the middle of the first cell is at 9.5
    reader = opened(tmp_path / "a.nii", np.ones((24, 24, 24, 1)), np.eye(4))
    box = {"size": 2, "box_mm": np.array([[7.5] * 3, [15.5] * 3])}
    small = resized(reader, mask, **box)
    np.testing.assert_array_equal(small.inside, [[[True] * 2] * 2, [[False] * 2] * 2])
    mask[9] = False
    with pytest.raises(InputError, match="fills no cell"):
        resized(reader, mask, **box)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("flips", [(), (0,), (1, 2)])
def test_the_order_of_axes_in_the_file_changes_nothing(tmp_path, order, flips):
    values = np.random.default_rng(0).normal(100, 20, (*SHAPE, 2))
    mask = np.indices(SHAPE).sum(axis=0) < 40
    expected = resized(opened(tmp_path / "a.nii", values), mask)
    image = nib.Nifti1Image(values, AFFINE)
    ornament = np.array([[axis, -1 if axis in flips else 1] for axis in order])
    turned = image.as_reoriented(ornament)
    other = nib.Nifti1Image(mask.astype(np.uint8), AFFINE).as_reoriented(ornament)
    reader = opened(tmp_path / "b.nii", turned.get_fdata(), turned.affine)
    found = resized(reader, np.asarray(other.dataobj) > 0)
    np.testing.assert_array_equal(found.inside, expected.inside)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)


def test_a_place_in_mm_stays_where_it_is(tmp_path):
    values = np.zeros((91, 109, 91, 1))
    affine = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
    at_mm = np.array([40, -60, 20, 1])
    x, y, z = (np.linalg.inv(affine) @ at_mm)[:3].round().astype(int)
    values[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] = 1
    small = resized(
        opened(tmp_path / "a.nii", values, affine), size=34, box_mm=np.array(MNI_BOX_MM)
    )
    whole = small.whole(small.values)[..., 0]
    cell = np.unravel_index(whole.argmax(), whole.shape)
    found_mm = (small.grid.affine @ [*cell, 1])[:3]
    assert (np.abs(found_mm - at_mm[:3]) <= small.grid.cell_mm / 2).all()


def test_the_box_is_that_of_nilearn_s_brain():
    mask = load_mni152_brain_mask(resolution=1)
    where = np.argwhere(mask.get_fdata() > 0) + mask.affine[:3, 3]
    margin = np.array(MNI_BOX_MM) - [where.min(axis=0) - 0.5, where.max(axis=0) + 0.5]
    assert (margin[0] <= 0).all()
    assert (margin[1] >= 0).all()
    assert np.abs(margin).max() <= 0.5
    share = where.size / 3 / np.prod(np.ptp(MNI_BOX_MM, axis=0))
    assert share == pytest.approx(0.45, abs=0.01)  # as a note says it


def test_another_space_has_the_box_of_its_mask():
    mask = np.zeros(SHAPE, bool)
    mask[3:9, 5:6, 2:18] = True
    flipped = AFFINE * [[-1], [1], [1], [1]]
    box_mm, note = brain_box("T1w", mask, flipped)
    np.testing.assert_allclose(box_mm, [[6, -37, -24], [30, -33, 40]])
    assert "in T1w, not in an MNI152 space" in note
    box_mm, note = brain_box("MNI152NLin6Asym", mask, flipped)
    assert (box_mm.tolist(), note) == (np.array(MNI_BOX_MM).tolist(), None)


def test_smoothing_is_a_gaussian_s_where_the_brain_is_wide(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32)
    affine = np.diag([-2.0, 1, 1, 1])
    box = np.array([[-49, 14.5, 14.5], [-29, 24.5, 24.5]])  # far from the edges
    reader = opened(tmp_path / "a.nii", values[..., None], affine)
    smooth = ndimage.gaussian_filter(values, 5 / FWHM_PER_SIGMA / np.array([2, 1, 1]))
    other = opened(tmp_path / "b.nii", smooth[..., None], affine)
    found = resized(reader, size=5, box_mm=box, fwhm_mm=5.0)
    expected = resized(other, size=5, box_mm=box)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-5)


def test_what_is_not_a_number_counts_and_spreads_to_no_other_cell(tmp_path):
    values = np.full((*SHAPE, 2), 5.0)
    values[3, 3, 3, 1] = np.nan
    values[0, 0, 0] = np.inf
    mask = np.ones(SHAPE, bool)
    mask[0] = False
    small = resized(opened(tmp_path / "a.nii", values), mask)
    assert small.n_nonfinite == 1
    np.testing.assert_allclose(small.values[0], 5, rtol=1e-6)
    assert (~(np.abs(small.values[1] - 5) < 1e-3)).sum() < 9


def test_an_oblique_image_is_refused(tmp_path):
    affine = AFFINE.copy()
    affine[0, 1] = 0.02  # half a millimetre over the image
    with pytest.raises(InputError, match=r"axes are oblique.*Resample"):
        resized(opened(tmp_path / "a.nii", np.ones((*SHAPE, 1)), affine))


def test_a_brain_elsewhere_is_refused_and_a_small_one_named(tmp_path):
    reader = opened(tmp_path / "a.nii", np.ones((*SHAPE, 1)))
    with pytest.raises(InputError, match=r"fills no cell of the box .* grid of 8"):
        resized(reader, box_mm=FACES_MM + 500)
    assert resized(reader).note is None
    note = resized(reader, box_mm=FACES_MM * 2).note
    assert note is not None
    assert note.startswith("The brain fills 1")


def asked(**changes) -> ExtractConfig:
    return ExtractConfig(
        features=("volume",),
        denoise=DenoiseConfig(min_time_s=0.0),
        volume=VolumeConfig(**changes),
    )


@given(n_kept=st.integers(1, 500), data=st.data(), how=st.sampled_from("ec"))
def test_volumes_are_picked_in_order_and_from_both_sides_alike(n_kept, data, how):
    length = data.draw(st.integers(1, n_kept))
    config = asked(length=length, pick={"e": "even", "c": "contiguous"}[how])
    which = volume.pick(n_kept, config)
    steps = np.diff(which)
    assert (len(which), len(set(which))) == (length, length)
    assert (steps > 0).all()
    assert len(set(steps)) <= (2 if how == "e" else 1)
    assert abs(which[0] - (n_kept - 1 - which[-1])) <= 1


def test_all_volumes_or_as_many_as_there_are():
    np.testing.assert_array_equal(volume.pick(7, asked(length=0)), np.arange(7))
    with pytest.raises(InputError, match=r"7 volumes are kept.*asks for 8. Lower it"):
        volume.pick(7, asked(length=8))


@pytest.fixture
def confounds() -> Confounds:
    kept = np.setdiff1d(np.arange(T), [0, 11, 12])
    return Confounds(
        strategy="mine",
        regressors=pd.DataFrame(np.random.default_rng(1).normal(size=(T, 2))),
        sample_mask=kept,
        n_volumes=T,
        columns=("a", "b"),
        fd=np.zeros(T),
        dvars=np.zeros(T),
        dummy_scans=1,
    )


@pytest.fixture
def signals() -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(T, 9)).cumsum(axis=0) * 5 + np.linspace(500, 1500, 9)
    return values.astype(np.float32)


@pytest.mark.parametrize("columns", [4, 2048])
def test_cells_are_cleaned_as_nilearn_cleans_them(
    signals, confounds, columns, monkeypatch
):
    monkeypatch.setattr(volume, "COLUMNS", columns)
    found = volume.standardized(
        signals, confounds, tr_s=TR, config=asked(length=10, pick="contiguous")
    )
    kept = confounds.sample_mask
    left = signal.clean(
        signals.astype(float),
        detrend=True,
        standardize=None,
        confounds=confounds.regressors,
        sample_mask=kept,
        t_r=TR,
    )
    whole = left - left.mean(axis=0) + signals[kept].mean(axis=0)
    np.testing.assert_allclose(found, (whole / whole.mean())[13:23], rtol=1e-5)


@given(gain=st.floats(1e-2, 1e3))
def test_the_scanner_s_unit_is_gone_and_the_mean_is_1(gain):
    fixed = np.random.default_rng(0).normal(100, 5, size=(T, 6)).astype(np.float32)
    plain = Confounds(
        strategy="none",
        regressors=None,
        sample_mask=np.arange(T),
        n_volumes=T,
        columns=(),
        fd=np.zeros(T),
        dvars=np.zeros(T),
        dummy_scans=0,
    )
    config = asked(length=0)
    found = volume.standardized(fixed, plain, tr_s=TR, config=config)
    scaled = volume.standardized(
        fixed * np.float32(gain), plain, tr_s=TR, config=config
    )
    np.testing.assert_allclose(scaled, found, rtol=1e-4)
    assert found.mean() == pytest.approx(1, rel=1e-5)


def test_z_scores_are_those_of_regions_and_a_constant_is_0(signals, confounds):
    signals[:, 3] = 800
    config = asked(length=0, zscore=True)
    found = volume.standardized(signals, confounds, tr_s=TR, config=config)
    expected = timeseries.clean(signals, confounds, tr_s=TR, config=config.denoise)
    np.testing.assert_array_equal(found[:, 3], 0)
    np.testing.assert_array_equal(np.delete(found, 3, 1), np.delete(expected, 3, 1))


def test_an_image_without_its_mean_is_refused(signals, confounds):
    config = asked(length=5)
    with pytest.raises(InputError, match=r"mean over brain and time is -.*volume-zs"):
        volume.standardized(-signals, confounds, tr_s=TR, config=config)


@pytest.fixture
def scan(tmp_path) -> Scan:
    rng = np.random.default_rng(0)
    values = rng.normal(1000, 10, (*SHAPE, T)).astype(np.float32)
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:18, 2:21, 1:17] = 1
    (tmp_path / "mine.json").write_text('{"columns": ["csf"]}')
    table = pd.DataFrame({"csf": rng.normal(size=T)})
    table["framewise_displacement"] = np.where(np.arange(T) == 7, 0.9, 0.1)
    table.to_csv(tmp_path / "confounds.tsv", sep="\t", index=False)
    opened(tmp_path / "bold.nii.gz", values)
    nib.save(nib.Nifti1Image(mask, AFFINE), tmp_path / "mask.nii.gz")
    return Scan(
        entities={"sub": "1", "task": "rest"},
        bold=tmp_path / "bold.nii.gz",
        mask=tmp_path / "mask.nii.gz",
        confounds=tmp_path / "confounds.tsv",
        space="MNI152NLin2009cAsym",
        tr_s=TR,
        dataset=tmp_path,
    )


def whole_run(scan: Scan, **changes) -> ExtractConfig:
    denoise = DenoiseConfig(
        strategy=str(scan.dataset / "mine.json"), min_time_s=0.0, fd_thresh_mm=0.5
    )
    made = replace(asked(size=16, length=0), denoise=denoise, atlases=("no such",))
    return replace(made, **changes)


def test_volumes_alone_need_no_atlas_and_leave_censored_ones_out(scan):
    found = extract_scan(scan, whole_run(scan))
    assert found.atlases == ()
    volumes = found.volumes
    assert volumes.values.shape == (16, 16, 16, T - 1)
    assert volumes.values.dtype == np.float32
    np.testing.assert_array_equal(volumes.taken, np.delete(np.arange(T), 7))
    inside = volumes.values[volumes.values.any(axis=-1)]
    assert inside.mean() == pytest.approx(1, rel=1e-5)
    assert any("The brain fills 7%" in note for note in found.notes)
    config = whole_run(scan)
    series = volume.extract(scan, config)
    np.testing.assert_array_equal(np.moveaxis(series, 0, -1), volumes.values)


def test_a_run_too_short_is_named(scan):
    config = whole_run(scan, volume=VolumeConfig(size=16, length=40))
    with pytest.raises(InputError, match=r"bold.nii.gz: 39 volumes are kept"):
        extract_scan(scan, config)


def test_other_features_are_the_same_beside_volumes(scan):
    changes = {"atlases": ("power264",), "volume": VolumeConfig(), "min_coverage": 0.0}
    config = whole_run(scan, features=("timeseries",), **changes)
    alone = extract_scan(scan, config).atlases[0].series
    both = extract_scan(scan, replace(config, features=("timeseries", "volume")))
    np.testing.assert_array_equal(both.atlases[0].series, alone)
    assert both.volumes.values.shape == (34, 34, 34, 20)
