"""Grey-matter maps: from fMRIPrep, CAT12 or SPM to a cube, a status and a page."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bidsclf.config import (
    Config,
    DenoiseConfig,
    ExtractConfig,
    GreyMatterConfig,
    RunConfig,
    SelectionConfig,
)
from bidsclf.errors import InputError, NothingMatched
from bidsclf.files import status, store
from bidsclf.files.derivatives import find_features
from bidsclf.files.greymaps import discover_maps
from bidsclf.workflows.participant import run_participant

SPACE = "space-MNI152NLin2009cAsym"
AFFINE = np.array([[8.0, 0, 0, -92], [0, 8, 0, -108], [0, 0, 8, -80], [0, 0, 0, 1]])


def put(path: Path, *, top: float = 0.9, seed: int = 0) -> Path:
    """Write a tiny map: a ball of grey matter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    at = (np.indices((24, 24, 24)) - 11.5) / 9
    ball = np.clip(1.2 - np.sqrt((at**2).sum(axis=0)), 0, 1)
    ball *= np.random.default_rng(seed).uniform(0.5, 1, ball.shape)
    values = (ball * top / ball.max()).astype(np.float32)
    nib.save(nib.Nifti1Image(values, AFFINE), path)
    return path


def add_fmriprep(root: Path, label: str, ses: str = "", grid: str = SPACE) -> Path:
    who = [f"sub-{label}", *([f"ses-{ses}"] if ses else [])]
    name = f"{'_'.join(who)}_{grid}_label-GM_probseg.nii.gz"
    return put(root.joinpath(*who, "anat", name), seed=len(label))


def describe(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    fields = {"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative",
              "GeneratedBy": [{"Name": "fMRIPrep", "Version": "24.1.1"}]}  # fmt: skip
    store.write_json(root / "dataset_description.json", fields)
    return root


@pytest.fixture
def prep(tmp_path):
    root = describe(tmp_path / "prep")
    for label in ("01", "02"):
        add_fmriprep(root, label)
    return root


@pytest.fixture
def config(prep, tmp_path):
    return of(prep, tmp_path)


def of(bids, tmp_path, *features, **changed):
    asked = GreyMatterConfig(size=12, **changed.pop("gm", {}))
    extract = ExtractConfig(
        features=(*features, "graymatter"),
        graymatter=asked,
        denoise=DenoiseConfig(min_time_s=10),
        **changed.pop("extract", {}),
    )
    fields = {
        "bids_dir": bids,
        "output_dir": tmp_path / "out",
        "level": "participant",
        "extract": extract,
    }
    return Config(**fields | changed)


def raw(tmp_path) -> Path:
    """Return a raw dataset with a table of people, and no image at all."""
    folder = tmp_path / "raw"
    folder.mkdir()
    people = pd.DataFrame({"participant_id": ["sub-01", "sub-09"], "age": [9, 8]})
    store.write_table(folder / "participants.tsv", people)
    return folder


def latest(out):
    paths = sorted(out.glob("logs/*/summary.json"), key=lambda p: p.stat().st_mtime_ns)
    return store.read_json(paths[-1])


def units(out):
    return {u["unit"]: u for u in latest(out)["units"] if not u["is_report"]}


def states(out):
    return {name: unit["state"] for name, unit in units(out).items()}


def images(out):
    return sorted(
        path.relative_to(out).as_posix() for path in out.rglob("*probseg.nii*")
    )


def validated(out):
    command = [Path(sys.executable).with_name("bids-validator-deno"), out]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


@pytest.fixture(autouse=True)
def picture(monkeypatch):
    """Draw nothing, which takes most of a run's time; one test does."""
    monkeypatch.setattr("bidsclf.report.figures.greymatter", lambda *given: "<svg/>")
    return monkeypatch


# fMRIPrep


def test_maps_of_fmriprep_become_cubes_pages_and_a_valid_dataset(config, prep, picture):
    picture.undo()
    assert run_participant(config) == 0
    out, stem = config.output_dir, f"{SPACE}_label-GM_desc-iso12"
    assert states(out) == {f"sub-0{n}_{stem}": "done" for n in (1, 2)}
    assert images(out) == [
        f"sub-0{n}/anat/sub-0{n}_{stem}_probseg.nii.gz" for n in (1, 2)
    ]
    image = nib.load(out / images(out)[0])
    assert image.shape == (12, 12, 12)
    np.testing.assert_allclose(image.header.get_zooms(), 16)
    said = store.read_json(next(out.glob("sub-01/anat/*.json")))
    assert said["Sources"] == [
        f"bids:fmriprep:sub-01/anat/sub-01_{SPACE}_label-GM_probseg.nii.gz"
    ]
    assert (said["MapPipeline"], said["Modulated"]) == ("fmriprep", False)
    assert said["GreyMatterML"] > 10
    whole = store.read_json(out / "dataset_description.json")
    assert whole["DatasetLinks"] == {"fmriprep": prep.as_uri()}
    assert "fMRIPrep" in [one["Name"] for one in whole["GeneratedBy"]]
    meanings = store.read_table(out / "descriptions.tsv").set_index("desc_id")
    assert "12 cells" in meanings.loc["desc-iso12", "description"]
    assert "desc-simple" not in meanings.index
    text = (out / "sub-01.html").read_text()
    assert text.count("Axial slices of the grey-matter map") == 1
    assert "1 map read" in text
    assert f"{said['GreyMatterML']:.0f} ml in the template" in text
    people = store.read_table(out / "participants.tsv")["participant_id"]
    assert people.tolist() == ["sub-01", "sub-02"]
    validated(out)


def test_what_is_done_is_not_done_again_unless_it_changed_or_is_forced(config, prep):
    run_participant(config)
    out = config.output_dir
    assert run_participant(config) == 0
    assert set(states(out).values()) == {"done before"}
    add_fmriprep(prep, "01").touch()
    put(next(prep.glob("sub-01/anat/*.nii.gz")), top=0.5)
    assert run_participant(config) == 0
    assert sorted(states(out).values()) == ["done", "done before"]
    assert nib.load(out / images(out)[0]).get_fdata().max() <= 0.5
    assert run_participant(replace(config, run=RunConfig(force=True))) == 0
    assert set(states(out).values()) == {"done"}


def test_other_smoothing_replaces_nothing_unasked_and_another_size_adds(
    config, prep, tmp_path
):
    run_participant(config)
    out = config.output_dir
    before = {name: (out / name).read_bytes() for name in images(out)}
    smooth = of(prep, tmp_path, gm={"smoothing_fwhm_mm": 20})
    assert run_participant(smooth) == 4
    assert (
        "other settings under the same desc-"
        in next(iter(units(out).values()))["message"]
    )
    assert before == {name: (out / name).read_bytes() for name in images(out)}
    larger = replace(smooth.extract, graymatter=GreyMatterConfig(size=16))
    assert run_participant(replace(smooth, extract=larger)) == 0
    assert len(images(out)) == 4
    assert run_participant(replace(smooth, run=RunConfig(force=True))) == 0
    assert all((out / name).read_bytes() != before[name] for name in before)


def test_a_dry_run_names_the_files_and_writes_nothing(config, capsys):
    assert run_participant(replace(config, run=RunConfig(dry_run=True))) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 maps, 0 problems")
    assert f"sub-01/anat/sub-01_{SPACE}_label-GM_desc-iso12_probseg.nii.gz" in said
    assert not config.output_dir.exists()


def spoiled(prep, values):
    path = next(prep.glob("sub-02/anat/*.nii.gz"))
    nib.save(nib.Nifti1Image(values.astype(np.float32), AFFINE), path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((24, 24, 24), np.nan), "NaN or infinite"),
        (np.zeros((24, 24, 24)), "every value is 0"),
        (np.full((24, 24, 24), 7), "shares of grey matter lie between 0 and 1"),
        (np.ones((24, 24, 24, 2)), "4D image"),
    ],
)
def test_a_bad_map_fails_alone(config, prep, values, message):
    spoiled(prep, values)
    assert run_participant(config) == 4
    out = config.output_dir
    assert sorted(states(out).values()) == ["done", "failed"]
    bad = units(out)[f"sub-02_{SPACE}_label-GM_desc-iso12"]["message"]
    assert message in bad
    assert str(prep) in bad
    assert len(images(out)) == 1
    assert message in (out / "sub-02.html").read_text()
    add_fmriprep(prep, "02")
    assert run_participant(config) == 0
    assert message not in (out / "sub-02.html").read_text()


def test_the_maps_of_a_real_tree_are_found(shared_data, tmp_path):
    real = shared_data / "bids_examples" / "ds000001-fmriprep"
    found = discover_maps(of(real, tmp_path))
    assert [one.name for one in found.maps] == [
        f"sub-{label}_label-GM" for label in ("10", "11", "13", "16")
    ]
    assert {(one.space, one.res) for one in found.maps} == {(SPACE[6:], "2")}
    assert found.problems == ()


def test_sessions_and_resolutions_are_told_apart(tmp_path):
    root = describe(tmp_path / "prep")
    for ses in ("a", "b"):
        for res in ("1", "2"):
            add_fmriprep(root, "01", ses, f"{SPACE}_res-{res}")
    add_fmriprep(root, "02")  # one map for all sessions
    config = of(root, tmp_path)
    assert run_participant(config) == 0
    out = config.output_dir
    assert [Path(name).name.partition("_space")[0] for name in images(out)] == [
        "sub-01_ses-a", "sub-01_ses-b", "sub-02",
    ]  # fmt: skip
    assert "res-1" in images(out)[0]
    notes = latest(out)["notes"]
    assert any("sub-01_ses-a_label-GM: 2 resolutions" in note for note in notes)
    wanted = SelectionConfig(session_label=("b",))
    other = replace(config, output_dir=tmp_path / "b", selection=wanted)
    assert run_participant(other) == 0
    assert [name.partition("/anat")[0] for name in images(tmp_path / "b")] == [
        "sub-01/ses-b", "sub-02",
    ]  # fmt: skip
    filters = tmp_path / "filters.json"
    store.write_json(filters, {"t1w": {"res": "2", "suffix": "T1w"}})
    wanted = SelectionConfig(bids_filter_file=filters, participant_label=("01",))
    other = replace(config, output_dir=tmp_path / "c", selection=wanted)
    assert run_participant(other) == 0
    assert [name.count("res-2") for name in images(tmp_path / "c")] == [1, 1]


def test_nobody_s_map_ends_the_run_before_it_writes(config, prep):
    for path in prep.rglob("*probseg*"):
        path.unlink()
    with pytest.raises(NothingMatched, match=r"no anat/.*give -d cat12=PATH"):
        run_participant(config)
    add_fmriprep(prep, "01", grid="space-MNI152NLin6Asym")
    with pytest.raises(
        NothingMatched, match="--space MNI152NLin2009cAsym matches none"
    ):
        run_participant(config)
    assert not config.output_dir.exists()


def test_who_is_asked_for_and_has_no_map_is_a_problem_else_a_note(config, prep):
    (prep / "sub-03").mkdir()
    assert run_participant(config) == 0
    out = config.output_dir
    assert any(n.startswith("sub-03: no grey-matter map") for n in latest(out)["notes"])
    asked = SelectionConfig(participant_label=("01", "03"))
    assert run_participant(replace(config, selection=asked)) == 4
    assert states(out)["sub-03_label-GM"] == "failed"
    assert "no grey-matter map" in (out / "sub-03.html").read_text()
    add_fmriprep(prep, "03", "a")
    assert run_participant(replace(config, selection=asked)) == 0
    assert "failed" not in (out / "sub-03.html").read_text()
    assert {one.state for one in status.read_all(out, "sub-03")} == {"done"}


# CAT12 and SPM


def test_maps_of_cat12_need_no_bold_and_no_fmriprep(tmp_path):
    maps = tmp_path / "cat"
    put(maps / "mri" / "mwp1sub-01_ses-1_T1w.nii", top=1.6)
    put(maps / "sub-02" / "ses-2" / "anat" / "mwp1T1.nii.gz", seed=2)
    put(maps / "mri" / "mwp1someone.nii")
    put(maps / "mri" / "mwp2sub-01_ses-1_T1w.nii")
    config = of(raw(tmp_path), tmp_path, cat12=maps)
    assert run_participant(config) == 0
    out, stem = config.output_dir, f"{SPACE}_label-GM_desc-cat12iso12"
    assert set(states(out)) == {f"sub-01_ses-1_{stem}", f"sub-02_ses-2_{stem}"}
    said = store.read_json(next(out.glob("sub-01/ses-1/anat/*.json")))
    assert said["Sources"] == ["bids:cat12:mri/mwp1sub-01_ses-1_T1w.nii"]
    assert (said["Modulated"], said["MapPipeline"]) == (True, "cat12")
    assert "--space MNI152NLin2009cAsym was taken" in said["Notes"][0]
    (note,) = latest(out)["notes"]
    assert "1 of 3 maps are left out" in note
    assert "mri/mwp1someone.nii" in note
    whole = store.read_json(out / "dataset_description.json")
    assert whole["DatasetLinks"] == {"cat12": maps.as_uri()}
    people = store.read_table(out / "participants.tsv").set_index("participant_id")
    assert people.index.tolist() == ["sub-01", "sub-09", "sub-02"]
    assert people.loc["sub-01", "age"] == 9
    assert (
        "From CAT12: modulated, not smoothed; 12 by 12 by 12 cells of 16"
        in (out / "sub-01.html").read_text()
    )
    validated(out)


def test_maps_of_spm_are_known_by_a_pattern(tmp_path):
    maps = tmp_path / "vbm"
    for number in ("0010001", "0010002"):
        put(maps / f"mwrc1{number}.nii", top=1.1)
        put(maps / f"smwrc1{number}.nii", top=1.1)
    config = of(raw(tmp_path), tmp_path, vbm=maps)
    with pytest.raises(NothingMatched, match=r"none of 2 maps .*Give --map-pattern"):
        run_participant(config)
    config = of(
        config.bids_dir, tmp_path, vbm=maps, gm={"map_pattern": r"c1(?P<sub>\d+)"}
    )
    asked = SelectionConfig(participant_label=("sub-0010002", "5"))
    assert run_participant(replace(config, selection=asked)) == 4
    assert states(config.output_dir) == {
        "sub-5_label-GM": "failed",
        f"sub-0010002_{SPACE}_label-GM_desc-vbmiso12": "done",
    }
    assert run_participant(config) == 0
    assert len(images(config.output_dir)) == 2
    assert "2 maps smwrc1* are left out" in latest(config.output_dir)["notes"][0]
    nobody = SelectionConfig(participant_label=("77",))
    with pytest.raises(
        NothingMatched, match=r"77: no map of theirs in .*; there are maps of 0010001"
    ):
        run_participant(replace(config, selection=nobody))


@pytest.mark.parametrize("ending", ["tsv", "csv"])
def test_maps_are_those_of_a_table(tmp_path, ending):
    maps, table = tmp_path / "vbm", tmp_path / f"list.{ending}"
    put(maps / "mwc1x.nii")
    put(maps / "deep" / "wc1y.nii")
    put(maps / "unlisted" / "mwc1sub-07.nii")
    outside = put(tmp_path / "elsewhere" / "z.nii")
    rows = pd.DataFrame(
        [
            ("mwc1x.nii", "sub-01", "1"),
            ("deep/wc1y.nii", "02", ""),
            (str(outside), "03", ""),
            ("gone.nii", "04", ""),
            ("", "05", ""),
        ],
        columns=["file", "participant_id", "session"],
    )
    rows.to_csv(table, sep="," if ending == "csv" else "\t", index=False)
    config = of(raw(tmp_path), tmp_path, vbm=maps, gm={"map_table": table})
    assert run_participant(config) == 4
    out, stem = config.output_dir, f"{SPACE}_label-GM_desc-vbmiso12"
    assert states(out) == {
        "sub-04_label-GM": "failed",
        f"sub-01_ses-1_{stem}": "done",
        f"sub-02_{stem}": "done",
        f"sub-03_{stem}": "done",
    }
    assert "gone.nii is not there" in units(out)["sub-04_label-GM"]["message"]
    assert "1 rows without file" in latest(out)["notes"][0]
    said = [store.read_json(path) for path in sorted(out.glob("sub-0*/**/anat/*.json"))]
    assert [one["Modulated"] for one in said] == [True, False, True]
    assert said[2]["Sources"] == [outside.as_uri()]
    validated(out)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path\tparticipant_id\nx\t1\n",
            "no column file; there are: path, participant",
        ),
        ("file\nx\n", "no column participant_id; there are: file. It takes file, part"),
        ("file\tparticipant_id\nmwc1sub-1.nii\ta_b\n", "'a_b' .* letters and digits"),
    ],
)
def test_a_table_that_cannot_be_used_ends_the_run(tmp_path, text, message):
    put(tmp_path / "vbm" / "mwc1sub-1.nii")
    (tmp_path / "list.tsv").write_text(text)
    gm = {"map_table": tmp_path / "list.tsv"}
    config = of(raw(tmp_path), tmp_path, vbm=tmp_path / "vbm", gm=gm)
    with pytest.raises(InputError, match=message):
        run_participant(config)


def test_two_maps_of_one_session_are_a_problem_and_two_runs_are_not(tmp_path):
    maps = tmp_path / "cat"
    put(maps / "a" / "mwp1sub-01_T1w.nii")
    put(maps / "b" / "mwp1sub-01_T1w.nii")
    put(maps / "mwp1sub-02_run-1_T1w.nii")
    put(maps / "mwp1sub-02_run-2_T1w.nii")
    config = of(raw(tmp_path), tmp_path, cat12=maps)
    assert run_participant(config) == 4
    out = config.output_dir
    assert sorted(states(out).values()) == ["done", "done", "failed"]
    message = units(out)["sub-01_label-GM"]["message"]
    assert "2 maps of one person and session" in message
    assert f"{maps}/a/mwp1sub-01_T1w.nii and" in message
    assert [name.count("_run-") for name in images(out)] == [1, 1]
    shutil.rmtree(maps / "b")
    assert run_participant(config) == 0


def test_a_folder_without_maps_is_named_with_what_they_are_called(tmp_path):
    (tmp_path / "vbm").mkdir()
    config = of(raw(tmp_path), tmp_path, vbm=tmp_path / "vbm")
    with pytest.raises(NothingMatched, match=r"vbm: no mwrc1\*.nii\[.gz\] or mwc1\*"):
        run_participant(config)


# beside scans


@pytest.fixture
def mixed(fmriprep, tmp_path):
    """Sub-01 has scans and a map, sub-02 and sub-03 scans, sub-04 a map."""
    study = Path(shutil.copytree(fmriprep, tmp_path / "prep"))
    shutil.rmtree(study / "sub-03")
    for label in ("01", "04"):
        add_fmriprep(study, label)
    return study


def both(study, tmp_path, fmriprep, **changed):
    atlases = (str(fmriprep.parent / "cubes.nii.gz"),)
    return of(study, tmp_path, "timeseries", extract={"atlases": atlases}, **changed)


def test_each_does_what_it_can_and_says_what_is_missing(mixed, fmriprep, tmp_path):
    config = both(mixed, tmp_path, fmriprep)
    assert run_participant(config) == 0
    out = config.output_dir
    found = find_features(out).groupby("participant_id")["suffix"].agg(set)
    assert {"timeseries", "probseg"} <= found["sub-01"]
    assert "probseg" not in found["sub-02"]
    assert found["sub-04"] == {"probseg"}
    notes = "\n".join(latest(out)["notes"])
    assert "sub-02: no grey-matter map" in notes
    assert "sub-04: no image matched" in notes
    text = (out / "sub-01.html").read_text()
    assert "1 scan read, 1 map read" in text
    validated(out)
    assert run_participant(config) == 0
    assert set(states(out).values()) == {"done before"}
    asked = SelectionConfig(participant_label=("02", "04"))
    assert run_participant(replace(config, selection=asked)) == 4
    assert {u for u, s in states(out).items() if s == "failed"} == {
        "sub-02_label-GM", "sub-04",
    }  # fmt: skip


def test_maps_from_elsewhere_stand_beside_scans(fmriprep, tmp_path):
    maps = tmp_path / "cat"
    put(maps / "mwp1sub-01.nii"), put(maps / "mwp1sub-08.nii")
    config = both(raw(tmp_path), tmp_path, fmriprep, derivatives=fmriprep, cat12=maps)
    assert run_participant(config) == 0
    out = config.output_dir
    notes = latest(out)["notes"]
    assert "sub-08: no functional images were found" in notes
    assert "sub-03: no grey-matter maps were found" in notes
    assert len(states(out)) == 5
    people = store.read_table(out / "participants.tsv")["participant_id"]
    assert set(people) == {f"sub-0{n}" for n in (1, 2, 3, 8, 9)}
    links = store.read_json(out / "dataset_description.json")["DatasetLinks"]
    assert set(links) == {"cat12", "fmriprep"}
    asked = SelectionConfig(participant_label=("01", "08"))
    assert run_participant(replace(config, selection=asked)) == 4
    assert {u for u, s in states(out).items() if s == "failed"} == {"sub-08"}


def test_scans_are_made_though_there_is_no_map_at_all(fmriprep, tmp_path):
    config = both(fmriprep, tmp_path, fmriprep)
    assert run_participant(config) == 0
    assert len(states(config.output_dir)) == 3
    notes = "\n".join(latest(config.output_dir)["notes"])
    assert "no grey-matter maps: " in notes
