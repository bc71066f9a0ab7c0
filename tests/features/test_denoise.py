"""Regressors and censored volumes."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds_strategy

from bidsclf.config import DenoiseConfig
from bidsclf.errors import ConfigError, InputError
from bidsclf.features import _denoise
from bidsclf.features._denoise import load_confounds
from bidsclf.features._strategy import load_strategy, needs_aroma, strategy_names
from bidsclf.scan import Scan

N = 80
AXES = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
SUFFIXES = ("", "_derivative1", "_power2", "_derivative1_power2")
BASES = (*AXES, "csf", "white_matter", "global_signal")


def table(n_volumes: int = N) -> pd.DataFrame:
    """Make a table as fMRIPrep does: two dummies, high motion at 40 and 60."""
    rng = np.random.default_rng(0)
    columns = {b + s: rng.normal(size=n_volumes) for b in BASES for s in SUFFIXES}
    made = pd.DataFrame(columns)
    made.iloc[0, [c.find("derivative1") >= 0 for c in made]] = np.nan
    made["framewise_displacement"] = np.r_[np.nan, np.full(n_volumes - 1, 0.1)]
    made.loc[[40, 60], "framewise_displacement"] = [0.9, 0.4]
    made["std_dvars"] = made["dvars"] = np.r_[np.nan, np.ones(n_volumes - 1)]
    for i in range(2):
        made[f"non_steady_state_outlier0{i}"] = (np.arange(n_volumes) == i) * 1.0
    for i in range(3):
        made[f"cosine0{i}"] = np.cos(np.arange(n_volumes) * (i + 1) / n_volumes * np.pi)
    for i in range(4):
        made[f"a_comp_cor_0{i}"] = rng.normal(size=n_volumes)
    return made


def put(folder: Path, made: pd.DataFrame, *, bold: str = "desc-preproc_bold") -> Scan:
    stem = f"{folder}/sub-1_task-rest"
    path = Path(f"{stem}_desc-confounds_timeseries.tsv")
    made.to_csv(path, sep="\t", index=False, na_rep="n/a")
    sidecar = {f"a_comp_cor_0{i}": {"Mask": "combined"} for i in range(4)}
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    return scan(Path(f"{stem}_space-MNI_{bold}.nii.gz"), path)


def scan(bold: Path, confounds: Path | None, tr_s: float = 2.0) -> Scan:
    return Scan(
        entities={"sub": "1", "task": "rest"},
        bold=bold,
        mask=None,
        confounds=confounds,
        space="MNI",
        tr_s=tr_s,
        dataset=bold.parent,
    )


def config(strategy: str = "simple", **changed) -> DenoiseConfig:
    return DenoiseConfig(**{"strategy": strategy, "min_time_s": 0.0, **changed})


@pytest.mark.parametrize(
    ("name", "preset", "options"),
    [
        ("simple", "simple", {}),
        ("simple+gsr", "simple", {"global_signal": "basic"}),
        ("scrubbing", "scrubbing", {}),
        ("compcor", "compcor", {}),
        ("aroma", "ica_aroma", {}),
    ],
)
def test_named_strategies_are_nilearn_s_on_the_image(tmp_path, name, preset, options):
    bold = "desc-smoothAROMAnonaggr_bold" if name == "aroma" else "desc-preproc_bold"
    unit = put(tmp_path, table(), bold=bold)
    expected, kept = load_confounds_strategy(
        str(unit.bold), denoise_strategy=preset, **options
    )
    found = load_confounds(unit, config(name), N)
    pd.testing.assert_frame_equal(found.regressors, expected)
    np.testing.assert_array_equal(found.sample_mask, kept)
    assert found.columns == tuple(expected.columns)
    assert found.dummy_scans == 2


def test_there_is_a_test_for_each_named_strategy():
    assert strategy_names() == ("aroma", "compcor", "scrubbing", "simple", "simple+gsr")


def test_the_table_s_own_name_and_place_do_not_matter(tmp_path):
    unit = put(tmp_path, table())
    odd = tmp_path / "tsv" / "sub-1_run-02_desc-confounds_regressors.tsv"
    odd.parent.mkdir()
    shutil.copy(unit.confounds, odd)
    shutil.copy(unit.confounds.with_suffix(".json"), odd.with_suffix(".json"))
    here = load_confounds(unit, config("compcor"), N)
    there = load_confounds(scan(tmp_path / "x_bold.nii", odd), config("compcor"), N)
    pd.testing.assert_frame_equal(here.regressors, there.regressors)


def test_a_list_of_columns_is_taken_by_name_and_pattern(tmp_path):
    strategy = tmp_path / "mine.json"
    strategy.write_text('{"columns": ["trans_?", "rot_x_derivative1"]}')
    made = table()
    found = load_confounds(put(tmp_path, made), config(str(strategy)), N)
    assert found.strategy == "mine"
    assert found.columns == ("trans_x", "trans_y", "trans_z", "rot_x_derivative1")
    derivative = found.regressors["rot_x_derivative1"]
    assert (
        derivative[0]
        == derivative[1]
        == pytest.approx(made.iloc[1]["rot_x_derivative1"])
    )
    np.testing.assert_array_equal(found.sample_mask, np.arange(2, N))


def test_spike_columns_censor_as_in_nilearn(tmp_path):
    strategy = tmp_path / "mine.json"
    strategy.write_text('{"columns": ["trans_x", "motion_outlier*"]}')
    made = table().assign(motion_outlier00=(np.arange(N) == 7) * 1.0)
    found = load_confounds(put(tmp_path, made), config(str(strategy)), N)
    assert found.columns == ("trans_x",)
    assert list(np.flatnonzero(~found.kept)) == [0, 1, 7]


@pytest.mark.parametrize("dummy_scans", [None, 0])
def test_who_did_not_move_has_no_spikes_and_is_kept(tmp_path, dummy_scans):
    strategy = tmp_path / "mine.json"
    patterns = ["trans_x", "motion_outlier*", "non_steady_state*", "cosine??"]
    strategy.write_text(json.dumps({"columns": patterns}))
    made = table().drop(columns=[f"cosine0{i}" for i in range(3)])
    if dummy_scans is None:
        made = made.drop(columns=[f"non_steady_state_outlier0{i}" for i in range(2)])
    asked = config(str(strategy), dummy_scans=dummy_scans)
    found = load_confounds(put(tmp_path, made), asked, N)
    assert found.columns == ("trans_x",)
    assert found.kept.all()


def test_no_columns_need_no_table(tmp_path):
    strategy = tmp_path / "none.json"
    strategy.write_text('{"columns": []}')
    found = load_confounds(
        scan(tmp_path / "a_bold.nii", None), config(str(strategy)), 9
    )
    assert found.regressors is None
    assert found.sample_mask.size == 9
    assert np.isnan(found.fd).all()


@pytest.mark.parametrize("n_dummy", [0, 1, 5])
@pytest.mark.parametrize("name", ["simple", "scrubbing"])
def test_a_number_of_dummy_scans_replaces_fmriprep_s(tmp_path, name, n_dummy):
    made = table()
    made["framewise_displacement"] = 0.1
    found = load_confounds(put(tmp_path, made), config(name, dummy_scans=n_dummy), N)
    np.testing.assert_array_equal(found.sample_mask, np.arange(n_dummy, N))
    assert found.dummy_scans == n_dummy


def test_the_threshold_censors_on_top_of_any_strategy(tmp_path):
    found = load_confounds(put(tmp_path, table()), config(fd_thresh_mm=0.3), N)
    assert list(np.flatnonzero(~found.kept)) == [0, 1, 40, 60]
    assert np.isnan(found.fd[0])


def test_scrubbing_keeps_its_own_threshold_unless_one_is_given(tmp_path):
    unit = put(tmp_path, table())
    own = load_confounds(unit, config("scrubbing"), N)
    given = load_confounds(unit, config("scrubbing", fd_thresh_mm=0.3), N)
    lax = load_confounds(unit, config("scrubbing", fd_thresh_mm=0.95), N)
    assert own.kept[60]
    assert not given.kept[60]
    assert not own.kept[40]
    assert lax.kept[40]


def told(strategy: str, **changed) -> dict:
    """The thresholds said to be in force."""
    asked = config(strategy, **changed)
    said = load_strategy(strategy).censoring(asked.fd_thresh_mm)
    return {key: value for key, value in said.items() if value is not None}


def test_the_thresholds_told_are_those_in_force(tmp_path):
    own = {"FDThreshold": 0.5, "StdDVARSThreshold": 1.5, "MinSegmentVolumes": 5}
    assert told("scrubbing") == own
    assert told("scrubbing", fd_thresh_mm=0.3) == {**own, "FDThreshold": 0.3}
    assert told("simple", fd_thresh_mm=0.3) == {"FDThreshold": 0.3}
    assert told("simple") == {}
    made = table()
    made.loc[[20, 30], "framewise_displacement"] = [0.5, 0.51]
    made.loc[[45, 50, 55], "std_dvars"] = [1.5, 1.51, 1.51]
    found = load_confounds(put(tmp_path, made), config("scrubbing"), N)
    assert list(np.flatnonzero(~found.kept)) == [0, 1, 30, 40, *range(50, 56)]
    assert found.meta.items() >= own.items()


def test_a_user_s_scrubbing_takes_our_thresholds_where_it_has_none(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"strategy": "scrubbing", "options": {"fd_threshold": 0.2}}')
    own = {"FDThreshold": 0.2, "StdDVARSThreshold": 1.5, "MinSegmentVolumes": 5}
    assert told(str(path)) == own


def test_two_strategies_of_one_name_have_two_digests(tmp_path):
    paths = [tmp_path / "a" / "mine.json", tmp_path / "b" / "mine.json"]
    for path, columns in zip(paths, ('["csf"]', '["csf", "trans_x"]'), strict=True):
        path.parent.mkdir()
        path.write_text(f'{{"columns": {columns}}}')
    one, two = (load_strategy(str(path)) for path in paths)
    assert one.name == two.name
    assert one.digest != two.digest
    assert load_strategy(str(paths[0])).digest == one.digest


def test_a_user_s_preset_may_be_for_aroma(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"strategy": "ica_aroma", "options": {"wm_csf": "full"}}')
    assert needs_aroma(str(path))
    path.write_text('{"columns": []}')
    assert not needs_aroma(str(path))


@pytest.mark.parametrize(
    ("name", "column", "works"),
    [
        ("simple", "white_matter", "would work: compcor;"),
        ("simple+gsr", "global_signal", "would work: compcor, scrubbing, simple;"),
        ("scrubbing", "std_dvars", "would work: compcor, simple, simple"),
        ("simple", "rot_y_power2", "would work: none by name;"),
    ],
)
def test_a_missing_column_is_named_with_what_would_work(tmp_path, name, column, works):
    made = table().drop(columns=column)
    if column == "global_signal":
        made["framewise_displacement"] = 0.1
    with pytest.raises(InputError, match=rf"timeseries.tsv.* lacks {column}.*{works}"):
        load_confounds(put(tmp_path, made), config(name), N)


def test_a_pattern_without_a_match_is_named_with_the_nearest(tmp_path):
    strategy = tmp_path / "mine.json"
    strategy.write_text('{"columns": ["trans_x", "white_mater"]}')
    with pytest.raises(InputError, match=r"lacks white_mater\. Did you mean 'white_m"):
        load_confounds(put(tmp_path, table()), config(str(strategy)), N)


def test_an_absent_table_is_named(tmp_path):
    gone = tmp_path / "gone.tsv"
    with pytest.raises(InputError, match=r"gone.tsv: no confounds table; --denoise"):
        load_confounds(scan(tmp_path / "a_bold.nii.gz", gone), config(), N)
    with pytest.raises(
        InputError, match=r"a_bold.nii.gz: no confounds table was found"
    ):
        load_confounds(scan(tmp_path / "a_bold.nii.gz", None), config(), N)


def test_compcor_needs_the_sidecar(tmp_path):
    unit = put(tmp_path, table())
    unit.confounds.with_suffix(".json").unlink()
    with pytest.raises(InputError, match=r"compcor lacks .*\.json beside the table"):
        load_confounds(unit, config("compcor"), N)


def test_a_sidecar_that_disagrees_with_the_table_is_refused(tmp_path):
    unit = put(tmp_path, table().drop(columns="a_comp_cor_02"))
    with pytest.raises(InputError, match="nilearn cannot make the regressors"):
        load_confounds(unit, config("compcor"), N)


def test_aroma_needs_the_denoised_image(tmp_path):
    with pytest.raises(InputError, match="aroma lacks an image denoised by ICA-AROMA"):
        load_confounds(put(tmp_path, table()), config("aroma"), N)


def test_another_number_of_rows_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"80 rows, but .* has 79 volumes"):
        load_confounds(put(tmp_path, table()), config(), 79)


def test_too_little_time_is_refused_with_the_numbers(tmp_path):
    match = r"152 s \(76 of 80 volumes\) are left after 2 dummy scans and 2 censored"
    with pytest.raises(InputError, match=match + ".*155 s are needed"):
        load_confounds(
            put(tmp_path, table()), config(fd_thresh_mm=0.3, min_time_s=155.0), N
        )


def test_a_run_that_only_moved_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"0 s \(0 of 80 volumes\)"):
        load_confounds(
            put(tmp_path, table()), config("scrubbing", fd_thresh_mm=0.01), N
        )


@pytest.mark.parametrize("bad", ["n/a", "oops", "inf"])
def test_a_regressor_that_is_not_a_number_is_named(tmp_path, bad):
    made = table().astype({"csf": object})
    made.loc[33, "csf"] = bad
    with pytest.raises(InputError, match=r"csf holds .* row 33"):
        load_confounds(put(tmp_path, made), config(), N)


def test_a_missing_value_in_a_censored_volume_does_no_harm(tmp_path):
    made = table()
    made.loc[40, "csf"] = np.nan
    load_confounds(put(tmp_path, made), config(fd_thresh_mm=0.3), N)


def test_bytes_that_are_not_utf8_are_refused(tmp_path):
    unit = put(tmp_path, table())
    unit.confounds.write_bytes(b"trans_x\ttr\xe4ns\n1\t2\n")
    with pytest.raises(InputError, match="not a readable table"):
        load_confounds(unit, config(), 1)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"{", "not a denoising strategy"),
        (b"{}", "no list of text"),
        (b'{"columns": ["caf\xe9"', "not a denoising strategy"),
        (b'["csf"]', "not a denoising strategy"),
        (b'{"strategy": "simple", "options": 5}', "not a denoising strategy"),
    ],
)
def test_a_file_that_is_no_strategy_is_refused(tmp_path, content, match):
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=match):
        load_strategy(str(path))


def test_an_unknown_strategy_is_met_with_the_nearest():
    with pytest.raises(ConfigError, match=r"Did you mean 'compcor'\?"):
        load_strategy("compcorr")


@pytest.mark.parametrize(
    "name",
    ["test_desc-confounds_regressors.tsv", "test-v21_desc-confounds_timeseries.tsv"],
)
@pytest.mark.parametrize("strategy", ["simple", "simple+gsr", "compcor"])
def test_real_tables_of_both_namings(shared_data, name, strategy):
    path = shared_data / "fmriprep_confounds" / name
    found = load_confounds(scan(Path("x_bold.nii.gz"), path), config(strategy), 30)
    assert np.isfinite(found.regressors.to_numpy()).all()
    assert {"trans_x", "rot_z_derivative1_power2"} <= set(found.columns)
    assert found.fd.shape == (30,)


def test_the_first_volume_s_missing_displacement_does_not_censor_it(tmp_path):
    unit = put(tmp_path, table())
    found = load_confounds(unit, config(dummy_scans=0, fd_thresh_mm=0.3), N)
    assert list(np.flatnonzero(~found.kept)) == [40, 60]


def test_more_dummy_scans_than_volumes_leave_nothing(tmp_path):
    with pytest.raises(InputError, match=r"0 of 80 .* 80 dummy scans and 0 censored"):
        load_confounds(put(tmp_path, table()), config(dummy_scans=200), N)


def test_a_temporary_folder_never_holds_the_letters_that_mislead_nilearn(monkeypatch):
    names = iter(["a_tsv_b", "fine"])
    monkeypatch.setattr(tempfile, "_get_candidate_names", lambda: names)
    with _denoise._folder() as folder:
        assert folder.name == "bidsclf-fine"
