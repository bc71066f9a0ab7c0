"""ADHD-200 to features: time courses of the Athena pipeline, and padded arrays."""

import argparse
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsclf.errors import BidsclfError, ConfigError, InputError, NothingMatched
from bidsclf.files import derivatives, store
from bidsclf.sources import _adhd_people, _arrays, _athena, adhd200

HEADER = ("ScanDir ID", "Site", "Gender", "Age", "Handedness", "DX", "Secondary Dx ",
          "ADHD Measure", "ADHD Index", "Inattentive", "Hyper/Impulsive", "Med Status",
          "IQ Measure", "Verbal IQ", "Performance IQ", "Full2 IQ", "Full4 IQ",
          "QC_Rest_1", "QC_Rest_2")  # fmt: skip
ROWS = {  # site's folder: rows of its table
    "NYU": (
        "10001,5,1,9.5,0.6,3,,1,60,70,55,1,1,110,-999,-999,112,1,0",
        "10002,5,0,8.0,-999,0,ODD,-999,-999,-999,-999,-999,1,99,98,-999,101,pending,1",
    ),
    "Peking_1": ("1050345,1,1,12.0,1,0,,-999,-999,20,20,1,2,120,118,-999,121,1,-999",),
}
MISSES = {"0010001": {3}}  # regions that a person's header lacks
N_VOLUMES = 12


def course(seed: int, n_regions: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N_VOLUMES, n_regions)).round(4)


def write_course(
    folder: Path, site: str, number: str, *, run: int = 1, prefix: str = "sfn"
) -> Path:
    """Write a file as 3dROIstats does: two columns of text, then the regions."""
    labels = sorted({1, 2, 3, 4} - MISSES.get(number, set()))
    values = course(int(number) + run, len(labels))
    source = f"{prefix}wmrda{number}_session_1_rest_{run}"
    lines = ["\t".join(["File", "Sub-brick", *(f"Mean_{one} " for one in labels)])]
    for volume, row in enumerate(values.tolist()):
        lines.append("\t".join([f"{source}.nii.gz", f"{volume}[?]", *map(str, row)]))
    path = folder / "ADHD200_AAL_TCs_filtfix" / site / number / f"{source}_aal_TCs.1D"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def athena(tmp_path) -> Path:
    folder = tmp_path / "athena"
    write_course(folder, "NYU", "0010001")
    write_course(folder, "NYU", "0010001", run=2)
    write_course(folder, "NYU", "0010002")
    write_course(folder, "NYU", "0010002", prefix="sn")
    write_course(folder, "Peking_1", "1050345")
    for site, rows in ROWS.items():
        place = folder / "ADHD200_AAL_TCs_filtfix" / site / f"{site}_phenotypic.csv"
        place.write_text("\n".join([",".join(HEADER), *rows]) + "\n")
    return folder


LENGTHS = {"OHSU": (7, 8, 8), "PEKING": (12, 11)}


@pytest.fixture
def arrays(tmp_path) -> Path:
    folder = tmp_path / "arrays"
    folder.mkdir()
    for site, lengths in LENGTHS.items():
        padded = np.zeros((len(lengths), 20, 4), np.float32)
        for row, length in enumerate(lengths):
            padded[row, :length] = series(site, row)
        np.save(folder / f"{site}_roi_timeseries.npy", padded)
        table = pd.DataFrame(
            {
                "id": [f"sub-{len(site)}00000{row}" for row in range(len(lengths))],
                "label": [0, 1, 3][: len(lengths)],
                "Gender": [0.0, 1.0, 1.0][: len(lengths)],
                "Age": 9.25,
                "MeanFD": 0.125,
                "MaxFD": [0.5, -999, 0.5][: len(lengths)],
                "VerbalIQ": "",
            }
        )
        table.to_csv(folder / f"{site}_labels.csv", index=False)
    return folder


def series(site: str, row: int) -> np.ndarray:
    rng = np.random.default_rng([len(site), row])
    return rng.normal(size=(LENGTHS[site][row], 4)).astype(np.float32)


def converted(folder: Path, out: Path, *options: str) -> int:
    parser = argparse.ArgumentParser()
    adhd200.add_arguments(parser)
    words = [str(folder), str(out), "--nprocs=1", *options]
    return adhd200.run(parser.parse_args(words))


def log_of(out: Path) -> pd.DataFrame:
    (path,) = (out / "logs").glob("adhd200_*.tsv")
    return store.read_table(path, text=["participant_id"])


def feature(out: Path, participant: str, **wanted: str) -> Path:
    files = derivatives.find_features(out)
    chosen = files[files["participant_id"] == participant]
    for column, value in wanted.items():
        chosen = chosen[chosen[column] == value]
    (path,) = chosen["path"]
    return path


def people_of(out: Path) -> pd.DataFrame:
    return store.read_table(out / "participants.tsv").set_index("participant_id")


def test_time_courses_arrive_in_the_columns_of_all(athena, tmp_path):
    out = tmp_path / "out"
    assert converted(athena, out) == 0
    path = feature(out, "sub-0010001", suffix="timeseries", run="2", session="1")
    found, names = store.read_series(path)
    assert names == ("aal_1", "aal_2", "aal_3", "aal_4")
    np.testing.assert_allclose(found[:, [0, 1, 3]], course(10003, 3), rtol=1e-6)
    assert np.isnan(found[:, 2]).all()
    matrix, _ = store.read_matrix(
        feature(out, "sub-1050345", stat="pearsoncorrelation")
    )
    expected = np.corrcoef(course(1050346, 4).T)
    np.testing.assert_allclose(matrix, expected, atol=1e-6)


def test_people_are_told_in_bids_words(athena, tmp_path):
    converted(athena, tmp_path / "out")
    people = people_of(tmp_path / "out")
    wanted = ["diagnosis", "subtype", "site", "sex", "medication", "fiq4", "qc_rest_2"]
    assert people.loc["sub-0010001", wanted].tolist() == [
        "adhd", "inattentive", "NYU", "male", "naive", 112, "failed",
    ]  # fmt: skip
    assert people.loc["sub-0010002", ["diagnosis", "secondary_dx"]].tolist() == [
        "control", "ODD",
    ]  # fmt: skip
    unknown = ["handedness", "adhd_index", "medication", "qc_rest_1", "subtype"]
    assert people.loc["sub-0010002", unknown].isna().all()
    assert people.loc["sub-1050345", "site"] == "Peking_1"


@pytest.mark.parametrize(
    ("site", "tr_s"), [("Peking_3", 2.0), ("NeuroIMAGE", 1.96), ("WashU", 2.5)]
)
def test_the_repetition_time_is_the_site_s(site, tr_s):
    assert _adhd_people.repetition_time(site) == tr_s


def test_the_sidecar_tells_the_time_or_that_it_is_not_known(arrays, tmp_path):
    (arrays / "PEKING_labels.csv").rename(arrays / "Mars_labels.csv")
    (arrays / "PEKING_roi_timeseries.npy").rename(arrays / "Mars_roi_timeseries.npy")
    converted(arrays, tmp_path / "out")
    for name, wanted in (("sub-4000000", 0.4), ("sub-6000000", "n/a")):
        path = feature(tmp_path / "out", name, suffix="timeseries")
        sidecar = store.read_json(path.with_suffix(".json"))
        assert sidecar["SamplingFrequency"] == wanted
        assert ("RepetitionTimeSource" in sidecar) == (wanted == 0.4)


def test_runs_that_failed_quality_control_go_only_where_asked(athena, tmp_path):
    assert converted(athena, tmp_path / "all") == 0
    assert converted(athena, tmp_path / "strict", "--drop-failed-qc") == 0
    for name, n_runs in (("all", 4), ("strict", 3)):
        assert len(list((tmp_path / name).rglob("*_timeseries.tsv"))) == n_runs
    (row,) = log_of(tmp_path / "strict").query("state == 'left out'").itertuples()
    assert row.participant_id == "sub-0010001"
    assert "failed this run (qc_rest_2)" in row.reason


def test_nobody_is_lost_without_a_reason(athena, tmp_path):
    stranger = write_course(athena, "NYU", "0099999")
    for path in athena.rglob("*1050345*.1D"):
        path.unlink()
    assert converted(athena, tmp_path / "out") == 0
    log = log_of(tmp_path / "out").set_index("participant_id")
    assert log.loc["sub-0099999", "reason"].startswith(f"{stranger.name} has no row")
    assert log.loc["sub-1050345", "reason"] == "no file of this person"
    assert people_of(tmp_path / "out").loc["sub-1050345", "site"] == "Peking"


def test_the_unfiltered_files_are_another_strategy(athena, tmp_path):
    converted(athena, tmp_path / "out", "--strategy=nofilt")
    found = derivatives.find_features(tmp_path / "out")
    assert set(found["participant_id"]) == {"sub-0010002"}
    assert set(found["desc"]) == {"athenanofilt"}


def edited(change):
    def damage(path: Path) -> None:
        path.write_text(change(path.read_text()))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (edited(lambda text: text[:-12]), r"line 13 has \d of 6 columns.* cut off"),
        (edited(lambda text: text.replace("Mean_2", "Mean_1")), "names one twice"),
        (edited(lambda text: text.partition("\n")[2]), "first line is no header"),
        (edited(lambda text: text[:30]), "0 volumes; at least 3|no header"),
        (edited(lambda text: ""), "first line is no header"),
        (edited(lambda text: text.replace("5[?]\t", "5[?]\tx")), "could not convert"),
        (edited(lambda text: text.replace("5[?]\t", "5[?]\t0\t")), "line 7 has 7 of 6"),
    ],
)  # fmt: skip
def test_a_bad_file_fails_alone_and_leaves_nothing_behind(
    athena, tmp_path, damage, message
):
    out = tmp_path / "out"
    converted(athena, out)
    (path,) = athena.rglob("*1050345*.1D")
    damage(path)
    assert converted(athena, out) == 4
    log = log_of(out)
    (row,) = log[log["state"] == "failed"].itertuples()
    assert row.participant_id == "sub-1050345"
    assert path.name in row.reason
    assert pd.Series(row.reason).str.contains(message).all()
    assert (log["state"] == "done").sum() == 3
    assert "sub-1050345" not in set(derivatives.find_features(out)["participant_id"])


def test_a_number_that_is_not_finite_is_named(tmp_path):
    path = write_course(tmp_path, "NYU", "0010001")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], "f\t3[?]\t1\tnan\t2", *lines[5:]]))
    with pytest.raises(InputError, match="region 2 is not finite at volume 3"):
        _athena.read_course(path, ("1", "2", "4"))


def test_a_file_given_twice_is_not_guessed(athena, tmp_path):
    (path,) = athena.rglob("*1050345*.1D")
    other = athena / "ADHD200_AAL_TCs_TestRelease" / "Peking_1" / "1050345"
    other.mkdir(parents=True)
    (other / path.name).write_text(path.read_text())
    assert converted(athena, tmp_path / "out") == 4
    log = log_of(tmp_path / "out").query("state == 'failed'")
    assert log["participant_id"].tolist() == ["sub-1050345"] * 2
    assert log["reason"].str.contains("2 rows or files give the same run").all()
    found = derivatives.find_features(tmp_path / "out")["participant_id"]
    assert set(found) == {"sub-0010001", "sub-0010002"}


def test_arrays_do_not_claim_a_pipeline(arrays, tmp_path):
    converted(arrays, tmp_path / "out")
    about = store.read_json(tmp_path / "out" / "dataset_description.json")
    assert "Athena" not in {one["Name"] for one in about["GeneratedBy"]}
    assert "Athena" not in (tmp_path / "out" / "README.md").read_text()


def test_padding_is_removed_and_codes_are_words(arrays, tmp_path):
    out = tmp_path / "out"
    assert converted(arrays, out) == 0
    for site, lengths in LENGTHS.items():
        for row in range(len(lengths)):
            path = feature(out, f"sub-{len(site)}00000{row}", suffix="timeseries")
            np.testing.assert_allclose(
                store.read_series(path)[0], series(site, row), rtol=1e-6
            )
    people = people_of(out)
    wanted = ["site", "diagnosis", "subtype", "sex", "age", "mean_fd", "max_fd"]
    assert people.loc["sub-4000002", wanted].tolist() == [
        "OHSU", "adhd", "inattentive", "male", 9.25, 0.125, 0.5,
    ]  # fmt: skip
    assert people.loc["sub-6000000", ["site", "diagnosis", "sex"]].tolist() == [
        "PEKING", "control", "female",
    ]  # fmt: skip
    assert np.isnan(people.loc["sub-6000001", "max_fd"])
    quality = store.read_table(feature(out, "sub-4000000", suffix="quality"))
    assert quality.loc[0, ["mean_fd", "n_volumes", "tr_s"]].tolist() == [0.125, 7, 2.5]


@given(length=st.integers(3, 20), dead=st.integers(0, 3), inner=st.integers(0, 18))
def test_only_zeros_at_the_end_are_padding(tmp_path_factory, length, dead, inner):
    rng = np.random.default_rng(length)
    padded = np.zeros((2, 20, 4), np.float32)
    padded[1, :length] = rng.normal(size=(length, 4))
    if inner < length - 1:
        padded[1, inner] = 0  # a volume of zeros inside the scan stays
    padded[1, :, dead] = 0
    path = tmp_path_factory.mktemp("array") / "X_roi_timeseries.npy"
    np.save(path, padded)
    found = _arrays.read_person(path, 1, "sub-1")
    assert found.shape == (length, 4)
    assert np.isnan(found[:, dead]).all()
    kept = np.delete(np.arange(4), dead)
    np.testing.assert_array_equal(found[:, kept], padded[1, :length, kept].T)


def spoilt(change):
    def damage(folder: Path) -> None:
        path = folder / "OHSU_roi_timeseries.npy"
        np.save(path, change(np.load(path)), allow_pickle=True)

    return damage


def with_value(value: float, *where: int):
    def change(array: np.ndarray) -> np.ndarray:
        array[where] = value
        return array

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_value(np.nan, 1, 2, 3), "region 4 is not finite at volume 2"),
        (with_value(np.inf, 1, 2, 3), "region 4 is not finite at volume 2"),
        (with_value(0.0, 1), "every region is zero"),
    ],
)
def test_a_bad_person_fails_alone(arrays, tmp_path, change, message):
    spoilt(change)(arrays)
    assert converted(arrays, tmp_path / "out") == 4
    (row,) = log_of(tmp_path / "out").query("state == 'failed'").itertuples()
    assert row.participant_id == "sub-4000001"
    assert row.reason.startswith("OHSU_roi_timeseries.npy, sub-4000001 (row 1)")
    assert message in row.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda array: array[0], r"has the shape \(20, 4\); expected people x volumes"),
        (lambda array: array[:2], "has 2 people, OHSU_labels.csv has 3 rows"),
        (lambda array: array.astype(object), "not a readable array of numbers"),
        (lambda array: array.astype(int), "holds int64; series are floating-point"),
    ],
)
def test_a_bad_array_fails_with_its_people_alone(arrays, tmp_path, change, message):
    spoilt(change)(arrays)
    assert converted(arrays, tmp_path / "out") == 4
    log = log_of(tmp_path / "out")
    failed = log[log["state"] == "failed"]
    assert failed["participant_id"].tolist() == [f"sub-400000{k}" for k in range(3)]
    assert failed["reason"].str.contains(message).all()
    assert (log["state"] == "done").sum() == len(LENGTHS["PEKING"])


def test_an_array_that_was_cut_off_or_has_no_table_is_named(arrays, tmp_path):
    path = arrays / "OHSU_roi_timeseries.npy"
    path.write_bytes(path.read_bytes()[:-100])
    assert converted(arrays, tmp_path / "cut") == 4
    reasons = log_of(tmp_path / "cut").query("state == 'failed'")["reason"]
    assert reasons.str.contains("not a readable array").all()
    path.write_bytes(pickle.dumps(np.zeros((3, 20, 4))))  # never unpickled
    assert converted(arrays, tmp_path / "pickle") == 4
    reasons = log_of(tmp_path / "pickle").query("state == 'failed'")["reason"]
    assert reasons.str.contains("not a readable array").all()
    (arrays / "OHSU_labels.csv").unlink()
    assert converted(arrays, tmp_path / "bare") == 4
    (row,) = log_of(tmp_path / "bare").query("state == 'failed'").itertuples()
    assert row.reason.startswith(f"{path.name}: no OHSU_labels.csv beside it")


def test_who_is_done_is_not_done_again_and_a_change_is(arrays, athena, tmp_path):
    for folder, changed in ((arrays, "OHSU_labels.csv"), (athena, None)):
        out = tmp_path / f"out-{folder.name}"
        converted(folder, out)
        before = {p: p.stat().st_mtime_ns for p in out.glob("sub-*/**/*.tsv")}
        assert converted(folder, out) == 0
        assert {p: p.stat().st_mtime_ns for p in out.glob("sub-*/**/*.tsv")} == before
        if changed:
            table = pd.read_csv(folder / changed, dtype=str)
            table.assign(MeanFD="0.5").to_csv(folder / changed, index=False)
            converted(folder, out)
            quality = store.read_table(feature(out, "sub-4000000", suffix="quality"))
            assert quality.loc[0, "mean_fd"] == 0.5


@pytest.mark.parametrize("kind", ["athena", "arrays"])
def test_the_official_validator_finds_no_error(kind, request, tmp_path):
    converted(request.getfixturevalue(kind), tmp_path / "out")
    command = [Path(sys.executable).with_name("bids-validator-deno"), tmp_path / "out"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_tables_are_joined_and_must_agree(athena, tmp_path):
    (first,) = athena.rglob("NYU_phenotypic.csv")
    withheld = pd.read_csv(first, dtype=str).assign(DX="pending")
    withheld = withheld.rename(columns={"ScanDir ID": "ScanDirID"})  # as WashU's
    withheld.to_csv(first, index=False)
    answers = tmp_path / "allSubs_testSet_phenotypic_dx.csv"
    answers.write_text("ID,DX\n10001,2\n10002,0\n")
    people = _adhd_people.read_people([first, answers]).set_index("participant_id")
    assert people["diagnosis"].tolist() == ["adhd", "control"]
    assert people.loc["sub-0010001", ["subtype", "age"]].tolist() == [
        "hyperactive",
        9.5,
    ]
    answers.write_text("ID,DX\n10001,2\n10001,0\n")
    with pytest.raises(
        InputError, match=r"1 people have rows with different diagnoses"
    ):
        _adhd_people.read_people([first, answers])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Name,DX\n1,0\n", "no column of people"),
        ("ScanDir ID,Age\n1,9\n", "no column of diagnoses"),
        ("ScanDir ID,DX\n1,0\n,1\n", r"no name in 'scandirid' on lines \[3\]"),
    ],
)
def test_a_table_that_is_none_of_people_is_named(tmp_path, text, message):
    path = tmp_path / "NYU_phenotypic.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        _adhd_people.read_table(path)
    path.write_bytes("ScanDir ID,DX\nZürich,0".encode("latin-1"))
    with pytest.raises(InputError, match=r"csv: byte \d+ is not UTF-8"):
        _adhd_people.read_table(path)


def test_what_is_not_there_is_said(athena, arrays, tmp_path):
    def refused(error: type[BidsclfError], message: str, *words) -> None:
        with pytest.raises(error, match=message):
            converted(*words)

    out = tmp_path / "out"
    refused(NothingMatched, "no such folder", tmp_path / "nowhere", out)
    (tmp_path / "empty").mkdir()
    refused(NothingMatched, "no series of ADHD-200 in", tmp_path / "empty", out)
    refused(ConfigError, "an input is never written to", arrays, arrays / "out")
    message = r"'all' is not there.*Did you mean 'aal'"
    refused(ConfigError, message, athena, out, "--atlas=all")
    for path in athena.rglob("sn*.1D"):
        path.unlink()
    message = "is of --strategy nofilt; there are: filt"
    refused(NothingMatched, message, athena, out, "--strategy=nofilt")
    for path in athena.rglob("*.csv"):
        path.unlink()
    refused(NothingMatched, r"no \*phenotypic\*.csv in", athena, out)
    for path in arrays.glob("*.csv"):
        path.unlink()
    refused(NothingMatched, "nobody in .* no OHSU_labels.csv beside it", arrays, out)


def test_real_arrays_are_read(shared_data, tmp_path):
    out = tmp_path / "out"
    assert converted(shared_data / "adhd200", out) == 0
    people = people_of(out)
    assert people["site"].value_counts().to_dict() == {"PEKING": 39, "OHSU": 32}
    counts = pd.crosstab(people["site"], people["diagnosis"])
    assert counts.loc[["OHSU", "PEKING"], "adhd"].tolist() == [12, 15]
    found = derivatives.find_features(out).query("suffix == 'quality'")
    lengths = {store.read_table(path).loc[0, "n_volumes"] for path in found["path"]}
    assert lengths == {77, 78, 235, 236}
