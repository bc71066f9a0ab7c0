"""Seam 1: what is written is found again, whole, and the validator agrees."""

import json
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bidsclf.errors import InputError
from bidsclf.files import paths, store
from bidsclf.files.derivatives import (
    AtlasOutput,
    Roots,
    ScanOutput,
    VolumeOutput,
    bids_uri,
    find_features,
    write_features,
    write_roots,
)

REGIONS = ("Left A", "Right A", "B")
LABELS = st.text("abZ019", min_size=1, max_size=4)


def atlas(**changes) -> AtlasOutput:
    series = np.random.default_rng(0).normal(size=(20, 3))
    series[:, 1] = np.nan
    whole = AtlasOutput(
        atlas="aal",
        regions=REGIONS,
        series=series,
        matrices={"pearsoncorrelation": np.corrcoef(series.T)},
        coverage=np.array([1, 0.2, 0.9]),
        n_voxels=np.array([10, 5, 8]),
        digest="d1",
        meta={"Description": "Anatomical labels"},
    )
    return replace(whole, **changes)


def scan(**changes) -> ScanOutput:
    whole = ScanOutput(
        entities={"sub": "01", "ses": "1", "task": "rest", "acq": "mb", "run": "2"},
        space="MNI152NLin6Asym",
        res="2",
        desc="simple+gsr",
        tr_s=2.5,
        atlases=(atlas(),),
        quality={"mean_fd": 0.1, "n_kept": 20, "tsnr": None},
        motion=pd.DataFrame({"volume": [0, 1], "dvars": [np.nan, 1.5], "kept": [0, 1]}),
        sources=("bids:fmriprep:sub-01/x.nii.gz",),
        meta={"Regressors": ["trans_x"], "SoftwareVersions": {"numpy": "1.26.4"}},
    )
    return replace(whole, **changes)


def volume(**changes) -> VolumeOutput:
    whole = VolumeOutput(
        values=np.random.default_rng(0).normal(1, 0.1, (5, 5, 5, 3)).astype(np.float32),
        affine=np.diag([4.0, 5, 6, 1]),
        box_mm=np.array([[-2.0, -2.5, -3], [18, 22.5, 27]]),
        taken=np.array([3, 4, 8]),
        fields={"VolumePick": "even"},
    )
    return replace(whole, **changes)


def roots(**changes) -> Roots:
    people = pd.DataFrame({"participant_id": ["sub-01", "sub-02"], "age": ["09", None]})
    whole = Roots(
        links={"fmriprep": "file:///fmriprep"},
        participants=people,
        columns={"age": {"Description": "Age", "Units": "year"}},
        atlases=(atlas(),),
        descriptions={"simple+gsr": "24 motion parameters and the global signal."},
        generated_by=({"Name": "fMRIPrep", "Version": "25.0.0"},),
    )
    return replace(whole, **changes)


def test_names_and_contents_are_those_of_the_design(tmp_path):
    write_features(tmp_path, scan())
    stem = "sub-01_ses-1_task-rest_acq-mb_run-2"
    grid = f"{stem}_space-MNI152NLin6Asym_res-2"
    tables = [
        f"{stem}_desc-simplegsr_motion.tsv",
        f"{grid}_atlas-aal_stat-coverage_desc-simplegsr_coverage.tsv",
        f"{grid}_atlas-aal_stat-mean_desc-simplegsr_timeseries.tsv",
        f"{grid}_atlas-aal_stat-pearsoncorrelation_desc-simplegsr_relmat.tsv",
        f"{grid}_desc-simplegsr_quality.tsv",
    ]
    func = tmp_path / "sub-01" / "ses-1" / "func"
    assert sorted(p.name for p in func.glob("*.tsv")) == tables
    assert sorted(p.name for p in func.glob("*.json")) == [
        name.replace(".tsv", ".json") for name in tables
    ]
    coverage = (func / tables[1]).read_text().splitlines()
    assert coverage == [
        "region\tcoverage\tn_voxels",
        "Left A\t1\t10",
        "Right A\t0.2\t5",
        "B\t0.9\t8",
    ]
    series = (func / tables[2]).read_text().splitlines()
    assert series[0] == "Left A\tRight A\tB"
    assert all(line.split("\t")[1] == "n/a" for line in series[1:])
    assert (func / tables[4]).read_text() == "mean_fd\tn_kept\ttsnr\n0.1\t20\tn/a\n"


def test_sidecars_say_how_it_was_made(tmp_path):
    written = write_features(tmp_path, scan())
    fields = {p.name: json.loads(p.read_text()) for p in written if p.suffix == ".json"}
    for name, one in fields.items():
        assert one["Regressors"] == ["trans_x"], name
        assert one["RepetitionTime"] == 2.5, name
        assert one["SamplingFrequency"] == 0.4, name  # hertz, a number
    series = next(one for name, one in fields.items() if "timeseries" in name)
    assert series["Sources"] == ["bids:fmriprep:sub-01/x.nii.gz"]
    assert series["AtlasDigest"] == "d1"
    relmat = next(one for name, one in fields.items() if "relmat" in name)
    source = relmat["Sources"][0].removeprefix("bids::")
    assert (tmp_path / source).exists()


def test_every_path_returned_is_there(tmp_path):
    written = write_features(tmp_path, scan())
    there = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert set(written) == there


def test_finds_what_was_written(tmp_path):
    write_features(tmp_path, scan())
    files = find_features(tmp_path)
    assert len(files) == 5
    row = files[files["suffix"] == "timeseries"].iloc[0]
    assert row["participant_id"] == "sub-01"
    found = [row[key] for key in ("session", "acq", "run", "res", "atlas", "stat")]
    assert found == ["1", "mb", "2", "2", "aal", "mean"]
    assert row["seg"] is None
    series, names = store.read_series(row["path"])
    np.testing.assert_allclose(series, atlas().series, rtol=1e-6)
    assert names == REGIONS


@settings(max_examples=15, deadline=None)
@given(
    several=st.lists(
        st.fixed_dictionaries(
            {"sub": LABELS}, optional=dict.fromkeys(paths.ORDER[1:10], LABELS)
        ),
        min_size=2,
        max_size=4,
        unique_by=lambda entities: tuple(sorted(entities.items())),
    )
)
def test_no_two_runs_share_a_file(tmp_path_factory, several):
    out = tmp_path_factory.mktemp("out")
    one = atlas(matrices={}, coverage=None)
    for entities in several:
        write_features(out, scan(entities=entities, atlases=(one,), motion=None))
    files = find_features(out)
    assert (files["suffix"] == "timeseries").sum() == len(several)


def test_a_bare_series_is_enough(tmp_path):
    one = AtlasOutput(atlas="cc200", regions=("1", "2"), series=np.ones((4, 2)))
    bare = ScanOutput(
        entities={"sub": "A1"}, space="MNI", desc="cpac", tr_s=None, atlases=(one,)
    )
    assert [path.name for path in write_features(tmp_path, bare)] == [
        "sub-A1_space-MNI_atlas-cc200_stat-mean_desc-cpac_timeseries.tsv",
        "sub-A1_space-MNI_atlas-cc200_stat-mean_desc-cpac_timeseries.json",
    ]


def test_volumes_stand_beside_what_was_taken_and_when(tmp_path):
    meta = {"Strategy": "simple+gsr", "Standardization": "of regions"}
    written = write_features(
        tmp_path, scan(volume=volume(), meta=meta, atlases=(), quality={}, motion=None)
    )
    stem = "sub-01_ses-1_task-rest_acq-mb_run-2_space-MNI152NLin6Asym_res-2"
    name = f"{stem}_desc-simplegsrgrid5_bold"
    assert [path.name for path in written] == [f"{name}.nii.gz", f"{name}.json"]
    image = nib.load(written[0])
    assert image.get_data_dtype() == np.float32
    np.testing.assert_array_equal(np.asarray(image.dataobj), volume().values)
    np.testing.assert_array_equal(image.affine, volume().affine)
    assert image.header.get_zooms()[3] == 6.25  # 5 volumes of 2.5 s, in two steps
    fields = store.read_json(written[1])
    assert fields["VolumeTiming"] == [7.5, 10.0, 20.0]
    assert fields["AcquisitionDuration"] == 2.5
    assert fields.keys().isdisjoint(
        {"RepetitionTime", "SamplingFrequency", "Standardization"}
    )
    assert (fields["Strategy"], fields["VolumesTaken"]) == ("simple+gsr", [3, 4, 8])
    assert (fields["GridSize"], fields["SkullStripped"]) == ([5, 5, 5], True)
    assert fields["GridBoxMM"] == volume().box_mm.tolist()
    assert fields["Sources"] == ["bids:fmriprep:sub-01/x.nii.gz"]
    row = find_features(tmp_path).iloc[0]
    assert (row["suffix"], row["desc"], row["path"]) == (
        "bold",
        "simplegsrgrid5",
        written[0],
    )


def test_volumes_at_one_distance_have_a_repetition_time(tmp_path):
    one = volume(taken=np.array([7]), values=volume().values[..., :1], is_masked=False)
    for taken in (volume(taken=np.array([4, 5, 6])), one):
        path = write_features(tmp_path, scan(volume=taken, atlases=()))[1]
        fields = store.read_json(path)
        assert fields["RepetitionTime"] == 2.5
        assert "VolumeTiming" not in fields
    assert fields["SkullStripped"] is False


def test_volumes_and_their_indices_must_fit(tmp_path):
    message = r"shape \(5, 5, 5, 3\) and 2 indices; a cube"
    with pytest.raises(InputError, match=message):
        write_features(tmp_path, scan(volume=volume(taken=np.array([1, 2]))))
    assert find_features(tmp_path)["suffix"].eq("bold").sum() == 0


def test_other_folders_and_names_are_not_features(tmp_path):
    write_features(tmp_path, scan())
    before = len(find_features(tmp_path))
    for name in ("derivatives/a/sub-01/func", "sub-01/figures", "sub-01/ses-1/func"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / ".partial-h-1-2-ab.tsv").touch()
        (tmp_path / name / "notes.tsv").touch()
    assert len(find_features(tmp_path)) == before


def test_volumes_are_features_and_other_images_are_not(tmp_path):
    func = tmp_path / "sub-01" / "func"
    func.mkdir(parents=True)
    for desc in ("simplegrid34", "preproc"):
        (func / f"sub-01_task-rest_space-A_desc-{desc}_bold.nii.gz").touch()
    (func / "sub-01_task-rest_bold.nii.gz").touch()
    (row,) = find_features(tmp_path).to_dict("records")
    assert (row["suffix"], row["desc"]) == ("bold", "simplegrid34")
    assert row["path"].name.endswith("_bold.nii.gz")


def test_an_empty_output_has_no_features(tmp_path):
    assert find_features(tmp_path).empty
    with pytest.raises(InputError, match="no such folder"):
        find_features(tmp_path / "absent")


def test_a_thousand_people_are_found_in_a_second(tmp_path):
    for number in range(1000):
        func = tmp_path / f"sub-{number:04d}" / "func"
        func.mkdir(parents=True)
        for suffix in ("timeseries", "relmat", "quality"):
            (func / f"sub-{number:04d}_task-rest_desc-simple_{suffix}.tsv").touch()
    start = time.process_time()
    assert len(find_features(tmp_path)) == 3000
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"regions": ("a", "b", "a")},
            r"names 1 regions more than once, first \['a'\]",
        ),
        (
            {"series": np.ones((4, 2))},
            r"has 3 regions, its series has the shape \(2,\)",
        ),
        (
            {"matrices": {"fisherz": np.ones((3, 2))}},
            r"its fisherz has the shape \(3, 2",
        ),
        ({"coverage": np.ones(4)}, "its coverage has the shape"),
    ],
)
def test_names_and_arrays_must_fit(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        write_features(tmp_path, scan(atlases=(atlas(**changes),)))
    assert list(tmp_path.rglob("*.tsv")) == []


def test_a_uri_points_into_the_dataset():
    uri = bids_uri(Path("/a/b/sub-1/func/x.nii.gz"), Path("/a/b"), "raw")
    assert uri == "bids:raw:sub-1/func/x.nii.gz"


def validate(out: Path) -> list[dict]:
    """Return the official validator's errors."""
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.exists():
        pytest.skip("bids-validator-deno is not installed beside this Python")
    command = [validator, "--format", "json", out]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    issues = json.loads(answer.stdout)["issues"]["issues"]
    return [issue for issue in issues if issue["severity"] == "error"]


def test_the_validator_reports_no_error(tmp_path):
    for label in ("01", "02"):
        entities = scan().entities | {"sub": label}
        parts = (atlas(), atlas(atlas="Schaefer2018", seg="7n", scale="200"))
        timed = volume(taken=np.array([3, 4, 5])) if label == "01" else volume()
        written = scan(entities=entities, atlases=parts, volume=timed)
        write_features(tmp_path, written)
    write_roots(tmp_path, roots(atlases=parts))
    for name in ("sub-01.html", "sub-01/figures/x.svg", "logs/1/summary.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "derivatives" / "main" / "models").mkdir(parents=True)
    store.write_text(tmp_path / ".bidsclf" / "status" / "x.json", "{}")
    assert validate(tmp_path) == []


def test_an_analysis_is_a_valid_dataset_too(tmp_path):
    write_roots(tmp_path, Roots(name="bidsclf analysis"))
    for name in ("cohort", "folds", "predictions", "metrics", "comparisons"):
        store.write_table(tmp_path / f"{name}.tsv", pd.DataFrame({"a": [1]}))
        store.write_json(tmp_path / f"{name}.json", {"a": {"Description": "a"}})
    store.write_json(tmp_path / "analysis.json", {})
    store.write_text(tmp_path / "report.html", "")
    store.write_text(tmp_path / "figures" / "roc.svg", "")
    store.write_json(tmp_path / "models" / "fc-svm" / "final" / "model.json", {})
    assert validate(tmp_path) == []


def test_the_validator_does_see_an_error(tmp_path):
    write_features(tmp_path, scan())
    write_roots(tmp_path, roots(links={}))
    (tmp_path / "sub-03").mkdir()
    (tmp_path / "sub-03" / "junk.tsv").write_text("a\n")
    assert validate(tmp_path)


def test_roots_are_idempotent(tmp_path):
    def content():
        return {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}

    first = write_roots(tmp_path, roots())
    before = content()
    assert write_roots(tmp_path, roots()) == first
    assert content() == before


def test_nobody_and_nothing_of_another_run_is_lost(tmp_path):
    write_roots(tmp_path, roots())
    other = pd.DataFrame({"participant_id": ["sub-02", "sub-03"], "site": ["A", "B"]})
    write_roots(
        tmp_path,
        roots(
            participants=other,
            columns={"site": {"Description": "Site"}},
            links={"raw": "file:///raw"},
            descriptions={"scrubbing": "Censored."},
            generated_by=(),
        ),
    )
    people = store.read_table(tmp_path / "participants.tsv", text=True)
    assert people["participant_id"].tolist() == ["sub-02", "sub-03", "sub-01"]
    assert people["age"].tolist()[2] == "09"
    fields = store.read_json(tmp_path / "dataset_description.json")
    assert set(fields["DatasetLinks"]) == {"fmriprep", "raw"}
    assert [one["Name"] for one in fields["GeneratedBy"]] == ["bidsclf", "fMRIPrep"]
    meanings = store.read_table(tmp_path / "descriptions.tsv")["desc_id"].tolist()
    assert meanings == ["desc-scrubbing", "desc-simplegsr"]
    assert set(store.read_json(tmp_path / "participants.json")) == {"age", "site"}


def test_a_description_added_meanwhile_is_not_lost(tmp_path, monkeypatch):
    folder, write = tmp_path / ".bidsclf" / "descriptions", store.write_text

    def slow(path, text):
        other = {"name": "desc-zz", "part": "Of another job."}
        if path.name == "descriptions.tsv":
            write(folder / "desczz.json", store.to_json(other))
        return write(path, text)

    monkeypatch.setattr(store, "write_text", slow)
    write_roots(tmp_path, roots())
    meanings = store.read_table(tmp_path / "descriptions.tsv")["desc_id"].tolist()
    assert meanings == ["desc-simplegsr", "desc-zz"]


def test_a_note_being_written_is_not_read(tmp_path):
    folder = tmp_path / ".bidsclf" / "descriptions"
    store.write_text(folder / f"{store.PARTIAL}elsewhere-1-2-ab.json", "{")
    write_roots(tmp_path, roots())
    assert len(store.read_table(tmp_path / "descriptions.tsv")) == 1


def test_a_table_of_people_names_them(tmp_path):
    with pytest.raises(InputError, match="'participant_id' is required"):
        write_roots(tmp_path, roots(participants=pd.DataFrame({"id": ["01"]})))


def start_together(number: int, out: Path, moment: float) -> None:
    """Write the roots at a moment; each job has a description of its own."""
    time.sleep(max(0.0, moment - time.time()))
    for _ in range(3):
        mine = {"simple": "The same.", f"own{number}": "Mine."}
        write_roots(out, roots(descriptions=mine))


def test_eight_jobs_at_the_same_moment_lose_nothing(tmp_path):
    moment = time.time() + 2.0
    with ProcessPoolExecutor(8, mp_context=get_context("fork")) as pool:
        jobs = [pool.submit(start_together, n, tmp_path, moment) for n in range(8)]
        for job in jobs:
            job.result()
    meanings = store.read_table(tmp_path / "descriptions.tsv")["desc_id"].tolist()
    assert meanings == [*(f"desc-own{n}" for n in range(8)), "desc-simple"]
    assert store.read_json(tmp_path / "dataset_description.json")["DatasetLinks"]
    assert len(store.read_table(tmp_path / "participants.tsv")) == 2
    assert [p for p in tmp_path.rglob("*") if p.name.startswith(store.PARTIAL)] == []
