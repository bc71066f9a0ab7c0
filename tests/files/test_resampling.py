"""Several repetition times brought to one: what survives, what goes, what not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsclf.errors import InputError
from bidsclf.files import store
from bidsclf.files.inputs import series
from bidsclf.files.resampling import (
    DRIFT,
    at_one_rate,
    counted,
    repetition_time,
    resampled,
    simple_ratio,
)

times_s = st.sampled_from([0.645, 0.72, 1.4, 1.5, 1.656, 1.96, 2.0, 2.5, 3.0])
END = 8  # volumes at each end that are not looked at


def wave(hz, tr_s, n_volumes, phase=0.0):
    return np.sin(2 * np.pi * hz * tr_s * np.arange(n_volumes) + phase)[:, None]


@given(
    tr_s=times_s,
    to_s=times_s,
    share=st.floats(0.05, 0.6),
    phase=st.floats(0, 6.2),
    level=st.sampled_from([0.0, 10_000.0]),
)
def test_a_slow_wave_keeps_amplitude_and_phase(tr_s, to_s, share, phase, level):
    hz = share * 0.5 / max(tr_s, to_s)
    n_volumes = int(600 / tr_s)
    found = resampled(level + wave(hz, tr_s, n_volumes, phase), tr_s, to_s)
    expected = level + wave(hz, to_s, len(found), phase)
    end = int(10 * max(tr_s, to_s) / to_s) + 1  # the reach of the filter
    np.testing.assert_allclose(found[end:-end], expected[end:-end], atol=0.02)


@given(to_s=st.sampled_from([2.5, 3.0, 4.0]), share=st.floats(1.2, 1.6))
def test_a_wave_above_the_new_nyquist_is_removed_not_folded(to_s, share):
    hz = share * 0.5 / to_s
    found = resampled(wave(hz, 1.5, 400), 1.5, to_s)
    assert np.abs(found[END:-END]).max() < 0.02


@given(ratio=st.floats(0.05, 20), n_volumes=st.integers(1, 2000))
def test_the_clock_is_off_by_less_than_a_hundredth_of_a_volume(ratio, n_volumes):
    assert abs(simple_ratio(ratio, n_volumes) - ratio) * n_volumes < DRIFT


def test_an_equal_repetition_time_leaves_the_bytes():
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    assert resampled(values, 2.0, 2.0) is values
    assert resampled(values, 1 / (1 / 2.0), 2.00001) is values
    assert resampled(values, 2.0, 2.01) is not values


@given(tr_s=times_s, to_s=times_s, n_volumes=st.integers(2, 60))
def test_no_volume_lies_beyond_the_last(tr_s, to_s, n_volumes):
    found = resampled(np.zeros((n_volumes, 1)), tr_s, to_s)
    end_s = (n_volumes - 1) * tr_s
    assert end_s - to_s - 0.1 < (len(found) - 1) * to_s <= end_s + 0.02 * to_s


def test_columns_do_not_see_each_other_and_constants_stay():
    values = np.random.default_rng(0).normal(size=(80, 3))
    values[:, 1] = np.nan
    values[5, 2] = np.nan
    alone = resampled(values[:, :1], 2.0, 1.5)
    found = resampled(values, 2.0, 1.5)
    np.testing.assert_allclose(found[:, :1], alone, rtol=1e-9, atol=1e-12)
    assert np.isnan(found[:, 1:]).all()
    flat = resampled(np.full((80, 1), 7.3, np.float32), 2.0, 1.5)
    assert flat.dtype == np.float32
    assert np.ptp(flat) == 0


def test_censored_volumes_are_bridged_and_left_out_again():
    hz, whole = 0.02, np.arange(300)
    kept = np.setdiff1d(whole, [0, 1, 50, 51, 52, 120])
    signal = wave(hz, 2.0, 300)
    found = resampled(signal[kept], 2.0, 1.5, kept=kept)
    clock = 4.0 + 1.5 * np.arange(len(resampled(signal[2:], 2.0, 1.5)))
    is_known = np.isin(np.rint(clock / 2.0), kept)
    assert 0 < (~is_known).sum() < 8
    expected = np.sin(2 * np.pi * hz * clock[is_known])[:, None]
    np.testing.assert_allclose(found[END:-END], expected[END:-END], atol=0.02)
    joined = resampled(signal[kept], 2.0, 1.5)[: len(found)]
    assert np.abs(joined - expected[: len(joined)])[END:-END].max() > 0.1


def write(folder, values, **said):
    path = store.write_series(folder / "sub-1_timeseries.tsv", values, ("a", "b"))
    store.write_json(path.with_suffix(".json"), said)
    return path


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"SamplingFrequency": 0.5}, 2.0),
        ({"SamplingFrequency": 1}, 1.0),
        ({"SamplingFrequency": "TR"}, None),
        ({"SamplingFrequency": "n/a"}, None),
        ({"SamplingFrequency": True}, None),
        ({"SamplingFrequency": 0}, None),
        ({"RepetitionTime": 2.0}, None),
    ],
)
def test_the_repetition_time_is_one_over_the_sampling_frequency(
    tmp_path, said, expected
):
    assert repetition_time(write(tmp_path, np.zeros((3, 2)), **said)) == expected
    assert repetition_time(tmp_path / "none_timeseries.tsv") is None


def test_a_run_is_resampled_then_z_scored(tmp_path):
    values = np.random.default_rng(0).normal(size=(90, 2)).astype(np.float32)
    values[:, 1] = 3
    path = write(tmp_path, values, SamplingFrequency=0.5)
    (found,) = series([[{"timeseries": path}]], ("a", "b"), 3.0)
    assert found.shape == (60, 2)
    np.testing.assert_allclose(found[:, 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(found[:, 0].std(), 1, atol=1e-6)
    assert (found[:, 1] == 0).all()
    (same,) = series([[{"timeseries": path}]], ("a", "b"), 2.0)
    (plain,) = series([[{"timeseries": path}]], ("a", "b"))
    assert same.tobytes() == plain.tobytes()


def test_two_runs_of_one_person_are_brought_to_one_rate_each_for_itself(tmp_path):
    paths = []
    for tr_s in (2.0, 3.0):
        (folder := tmp_path / f"{tr_s}").mkdir()
        waves = np.hstack([wave(0.02, tr_s, int(600 / tr_s))] * 2)
        paths.append(write(folder, waves, SamplingFrequency=1 / tr_s))
    (found,) = series([[{"timeseries": path} for path in paths]], ("a", "b"), 3.0)
    assert len(found) == 400
    np.testing.assert_allclose(found[8:192], found[208:392], atol=0.03)


def test_what_is_not_counted_right_is_refused(tmp_path):
    values = np.zeros((9, 2))
    said = {"SamplingFrequency": 0.5, "NumberOfVolumes": 12, "CensoredVolumes": [3]}
    with pytest.raises(InputError, match="9 volumes; its JSON file says 12 of which 1"):
        at_one_rate(values, write(tmp_path, values, **said), 3.0)
    with pytest.raises(InputError, match=r"no SamplingFrequency, in Hz.*--resample-tr"):
        at_one_rate(values, write(tmp_path, values), 3.0)


def test_repetition_times_are_counted_to_the_millisecond():
    assert counted([2.0, 2.0000001, None, 0.72]) == {0.72: 1, 2.0: 2}


@pytest.mark.parametrize("n_volumes", [0, 1, 2])
def test_a_run_too_short_for_the_filter_is_named(tmp_path, n_volumes):
    values = np.zeros((n_volumes, 2), np.float32)
    path = write(tmp_path, values, SamplingFrequency=0.5)
    with pytest.raises(
        InputError, match=rf"sub-1_timeseries.tsv: {n_volumes} volumes; .* 3 or more"
    ):
        at_one_rate(values, path, 1.5)


def test_a_run_that_is_short_at_the_new_rate_is_named(tmp_path):
    values = np.random.default_rng(0).normal(size=(28, 2)).astype(np.float32)
    path = write(tmp_path, values, SamplingFrequency=0.5)
    assert len(at_one_rate(values, path, 6.0)) == 10
    with pytest.raises(InputError, match=r"9 volumes at 6\.75 s a volume; .* 10 or"):
        at_one_rate(values, path, 6.75)


@pytest.mark.parametrize("hz", [1e-6, 1000])
def test_a_repetition_time_of_no_scanner_is_named(tmp_path, hz):
    values = np.zeros((90, 2), np.float32)
    path = write(tmp_path, values, SamplingFrequency=hz)
    with pytest.raises(InputError, match=r"is a repetition time of .* 0\.05 to 30 s"):
        at_one_rate(values, path, 2.0)
