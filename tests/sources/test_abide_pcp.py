"""The Preprocessed Connectomes Project's layout to features: joined and checked."""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bidsclf.errors import ConfigError, InputError, NothingMatched
from bidsclf.files import derivatives, store
from bidsclf.sources import _pcp, _phenotype, abide_pcp

KIND = ("cpac", "filt_global", "cc200")
N_VOLUMES, N_REGIONS = 40, 5
PEOPLE = {  # file's name: site of the table
    "NYU_0050952": "NYU",
    "Leuven_1_0050682": "LEUVEN_1",
    "Nowhere_0099999": "NOWHERE",
}


def series(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(N_VOLUMES, N_REGIONS)).round(3)
    values[:, 2] = 0  # outside the field of view
    return values


def write_series(folder: Path, file_id: str, values: np.ndarray, kind=KIND) -> Path:
    pipeline, strategy, atlas = kind
    path = folder / "Outputs" / pipeline / strategy / f"rois_{atlas}"
    path.mkdir(parents=True, exist_ok=True)
    path /= f"{file_id}_rois_{atlas}.1D"
    header = "\t".join(f"#{number}" for number in range(1, values.shape[1] + 1))
    rows = ["\t".join(map(str, row)) for row in values.tolist()]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def table() -> pd.DataFrame:
    rows = [
        {
            "SUB_ID": int(file_id[-7:]),
            "FILE_ID": file_id,
            "SITE_ID": site,
            "DX_GROUP": 1 + place % 2,
            "SEX": 1,
            "AGE_AT_SCAN": 12.5,
            "FIQ": -9999,
            "HANDEDNESS_CATEGORY": "-9999",
            "EYE_STATUS_AT_SCAN": 2,
            "func_mean_fd": 0.1 if place else "",
        }
        for place, (file_id, site) in enumerate(PEOPLE.items())
    ]
    absent = {"SUB_ID": 50001, "FILE_ID": "no_filename", "SITE_ID": "PITT"}
    return pd.DataFrame([*rows, absent | {"DX_GROUP": 2}])


@pytest.fixture
def abide(tmp_path) -> Path:
    folder = tmp_path / "abide"
    for seed, file_id in enumerate(PEOPLE):
        write_series(folder, file_id, series(seed))
    table().to_csv(folder / "Phenotypic_V1_0b_preprocessed1.csv", index=False)
    return folder


def converted(folder: Path, out: Path, *options: str) -> int:
    parser = argparse.ArgumentParser()
    abide_pcp.add_arguments(parser)
    words = [str(folder), str(out), "--nprocs=1", *options]
    return abide_pcp.run(parser.parse_args(words))


def log_of(out: Path) -> pd.DataFrame:
    (path,) = (out / "logs").glob("abide-pcp_*.tsv")
    return store.read_table(path, text=["participant_id"]).set_index("participant_id")


def feature(out: Path, participant: str, **wanted: str) -> Path:
    files = derivatives.find_features(out)
    chosen = files[files["participant_id"] == participant]
    for column, value in wanted.items():
        chosen = chosen[chosen[column] == value]
    (path,) = chosen["path"]
    return path


def test_numbers_labels_and_sidecars_arrive(abide, tmp_path):
    out = tmp_path / "out"
    assert converted(abide, out) == 0
    path = feature(out, "sub-0050952", suffix="timeseries")
    found, names = store.read_series(path)
    np.testing.assert_allclose(found[:, [0, 1, 3, 4]], series(0)[:, [0, 1, 3, 4]])
    assert np.isnan(found[:, 2]).all()
    assert names == tuple(f"cc200_{number}" for number in range(1, N_REGIONS + 1))
    matrix, _ = store.read_matrix(
        feature(out, "sub-0050952", stat="pearsoncorrelation")
    )
    expected = np.corrcoef(series(0)[:, [0, 1, 3, 4]].T)
    kept = np.ix_([0, 1, 3, 4], [0, 1, 3, 4])
    np.testing.assert_allclose(matrix[kept], expected, atol=1e-6)
    assert np.isnan(matrix[2]).all()
    assert store.read_json(path.with_suffix(".json"))["SamplingFrequency"] == 0.5


def test_people_are_told_in_bids_words(abide, tmp_path):
    converted(abide, tmp_path / "out")
    people = store.read_table(tmp_path / "out" / "participants.tsv")
    people = people.set_index("participant_id")
    assert people.loc["sub-0050952", ["diagnosis", "site", "sex", "eyes"]].tolist() == [
        "autism", "NYU", "male", "closed",
    ]  # fmt: skip
    assert people.loc["sub-0050682", "diagnosis"] == "control"
    assert people[["fiq", "handedness"]].isna().all(axis=None)
    assert np.isnan(people.loc["sub-0050952", "mean_fd"])
    assert people.loc["sub-0050682", "mean_fd"] == 0.1


def test_nobody_is_lost_without_a_reason(abide, tmp_path):
    write_series(abide, "NYU_0012345", series(9))
    assert converted(abide, tmp_path / "out") == 0
    log = log_of(tmp_path / "out")
    assert log.loc["sub-0050001", "reason"].startswith(
        "the table says that there is no"
    )
    assert log.loc["sub-0012345", "reason"].endswith("has no row in the table")
    assert (log["state"] == "done").sum() == len(PEOPLE)
    people = store.read_table(tmp_path / "out" / "participants.tsv")
    assert "sub-0050001" in set(people["participant_id"])
    assert not (tmp_path / "out" / "sub-0050001").exists()


def test_the_repetition_time_is_the_site_s_or_not_known(abide, tmp_path):
    converted(abide, tmp_path / "out")
    times = {
        name: store.read_json(
            feature(tmp_path / "out", name, suffix="quality").with_suffix(".json")
        )["SamplingFrequency"]
        for name in ("sub-0050682", "sub-0099999")
    }
    assert times == {"sub-0050682": pytest.approx(1 / 1.656), "sub-0099999": "n/a"}


def cut(path: Path) -> None:
    path.write_text(path.read_text()[:-40])


def worded(path: Path) -> None:
    path.write_text(path.read_text().replace("\t", "\tx", 9))


def infinite(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:5], "\t".join(["inf"] * N_REGIONS), *lines[6:]]))


def headless(path: Path) -> None:
    path.write_text("\n".join(path.read_text().splitlines()[1:]))


def zero(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *["\t".join("0" * N_REGIONS)] * 9]))


def emptied(path: Path) -> None:
    path.write_text("")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"line 4\d has \d of 5 values. The file is cut off"),
        (worded, "regions, others have|could not convert"),
        (infinite, r"region 1 is not finite at volume 4"),
        (headless, "the first line is no header"),
        (zero, "every region is zero"),
        (emptied, "the first line is no header"),
    ],
)
def test_a_bad_file_fails_alone_and_leaves_nothing_behind(
    abide, tmp_path, damage, message
):
    out = tmp_path / "out"
    converted(abide, out)
    (path,) = abide.rglob("Leuven_1_0050682*")
    damage(path)
    assert converted(abide, out) == 4
    log = log_of(out)
    assert log["state"].value_counts()["done"] == len(PEOPLE) - 1
    assert path.name in log.loc["sub-0050682", "reason"]
    assert pd.Series(log.loc["sub-0050682", "reason"]).str.contains(message).all()
    assert "sub-0050682" not in set(derivatives.find_features(out)["participant_id"])


def test_who_is_done_is_not_done_again(abide, tmp_path):
    out = tmp_path / "out"
    converted(abide, out)
    before = {p: p.stat().st_mtime_ns for p in out.glob("sub-*/func/*")}
    assert converted(abide, out) == 0
    assert {p: p.stat().st_mtime_ns for p in out.glob("sub-*/func/*")} == before


def test_nilearn_s_layout_gives_the_same_numbers(abide, tmp_path):
    other = tmp_path / "nilearn" / "ABIDE_pcp"
    (other / "cpac" / "filt_global").mkdir(parents=True)
    for path in abide.rglob("*.1D"):
        (other / "cpac" / "filt_global" / path.name).write_text(path.read_text())
    (other / "Phenotypic_V1_0b_preprocessed1.csv").write_text(table().to_csv())
    converted(abide, tmp_path / "one")
    for place, folder in enumerate((other, other.parent)):
        converted(folder, tmp_path / f"nilearn{place}")
        for name in PEOPLE:
            wanted = {"participant": f"sub-{name[-7:]}", "stat": "fisherz"}
            one = feature(tmp_path / "one", **wanted).read_bytes()
            assert feature(tmp_path / f"nilearn{place}", **wanted).read_bytes() == one


def test_the_official_validator_finds_no_error(abide, tmp_path):
    (path,) = abide.rglob("Leuven_1_0050682*")
    cut(path)
    converted(abide, tmp_path / "out")
    command = [Path(sys.executable).with_name("bids-validator-deno"), tmp_path / "out"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_the_only_kind_is_taken_and_else_the_preferred():
    nothing = (None, None, None)
    other = ("dparsf", "nofilt_noglobal", "ho")
    assert _pcp.choose_kind({other}, nothing) == other
    assert _pcp.choose_kind({other, KIND}, nothing) == KIND
    assert _pcp.choose_kind({other, KIND}, (None, None, "ho")) == other
    with pytest.raises(ConfigError, match=r"--atlas 'cc20' .*Did you mean 'cc200'"):
        _pcp.choose_kind({other, KIND}, (None, None, "cc20"))
    with pytest.raises(ConfigError, match="0 kinds of files fit"):
        _pcp.choose_kind({other, KIND}, ("cpac", None, "ho"))


def change(column: str, value: object):
    def changed(people: pd.DataFrame) -> pd.DataFrame:
        return people.assign(**{column: value})

    return changed


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (
            lambda t: pd.concat([t, t[:1]]),
            InputError,
            "1 people have more than one row",
        ),
        (lambda t: t.drop(columns="DX_GROUP"), InputError, "no column DX_GROUP"),
        (change("SUB_ID", "x"), InputError, r"no number in SUB_ID on lines \[2, 3"),
        (change("SUB_ID", [1, 2, 3, 4]), NothingMatched, "none of 3 files belongs"),
    ],
)
def test_a_table_that_does_not_fit_is_named(abide, tmp_path, changed, error, message):
    changed(table()).to_csv(next(abide.glob("*.csv")), index=False)
    with pytest.raises(error, match=message):
        converted(abide, tmp_path / "out")


def test_a_table_in_another_encoding_is_named(abide, tmp_path):
    next(abide.glob("*.csv")).write_bytes("SUB_ID,SITE_ID\n1,Zürich".encode("latin-1"))
    with pytest.raises(InputError, match=r"csv: byte \d+ is not UTF-8"):
        converted(abide, tmp_path / "out")


def test_what_is_not_there_is_said(abide, tmp_path):
    with pytest.raises(NothingMatched, match="no such folder"):
        converted(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingMatched, match="no regional signals in"):
        converted(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(ConfigError, match="an input is never written to"):
        converted(abide, abide / "out")
    next(abide.glob("*.csv")).unlink()
    with pytest.raises(NothingMatched, match=r"no Phenotypic\*.csv in"):
        converted(abide, tmp_path / "out")


def test_every_site_of_abide_has_a_repetition_time(shared_data):
    path = _phenotype.find_phenotype(shared_data / "abide")
    people = _phenotype.read_phenotype(path)
    times = [
        _phenotype.repetition_time(row.site, row.file_id) for row in people.itertuples()
    ]
    assert set(times) == {2.0, 3.0, 1.656, 1.667}


def test_real_files_are_read(shared_data, tmp_path):
    real = shared_data / "abide"
    folder = tmp_path / "abide"
    for kind, ending in (("filt_global", "cc200"), ("nofilt_noglobal", "ho")):
        place = folder / "Outputs" / "cpac" / kind / f"rois_{ending}"
        place.mkdir(parents=True)
        source = real / place.relative_to(folder)
        for path in sorted(source.glob("*.1D"))[:3]:
            (place / path.name).symlink_to(path)
    (folder / "Phenotypic.csv").symlink_to(next(real.glob("*.csv")))
    assert converted(folder, tmp_path / "out") == 0
    assert converted(folder, tmp_path / "out", "--atlas=ho") == 0
    files = derivatives.find_features(tmp_path / "out")
    assert files.groupby("atlas").size().to_dict() == {"cc200": 15, "ho": 15}
