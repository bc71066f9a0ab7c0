"""Every run is found with all its entities, or it is said why it is not used."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bidsclf.config import SelectionConfig
from bidsclf.errors import ConfigError, NothingMatched
from bidsclf.files import index, store
from bidsclf.files.discover import discover, participants, participants_table

SPACE = "space-MNI152NLin2009cAsym"
DERIVATIVE = {"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}


def add_run(root: Path, run: str, *, grid: str = SPACE, tr_s=2.0, suffix="timeseries"):
    """Add a preprocessed run of empty files; ``run`` is its name without a suffix."""
    parts = run.split("_")
    folder = root.joinpath(*[p for p in parts if p[:4] in ("sub-", "ses-")], "func")
    folder.mkdir(parents=True, exist_ok=True)
    single = "_".join(part for part in parts if not part.startswith("echo-"))
    (folder / f"{run}_{grid}_desc-preproc_bold.nii.gz").touch()
    (folder / f"{single}_{grid}_desc-brain_mask.nii.gz").touch()
    (folder / f"{single}_desc-confounds_{suffix}.tsv").touch()
    if tr_s is not None:
        sidecar = folder / f"{run}_{grid}_desc-preproc_bold.json"
        sidecar.write_text(json.dumps({"RepetitionTime": tr_s}))
    return folder


def describe(root: Path, fields=DERIVATIVE) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps(fields))
    return root


@pytest.fixture
def root(tmp_path):
    return describe(tmp_path / "fmriprep")


def select(**changes) -> SelectionConfig:
    return SelectionConfig(**changes)


def names(found) -> list[str]:
    return [scan.name for scan in found.scans]


def snapshot(folder: Path) -> str:
    """Return a digest of every name, size and time of change in a folder."""
    seen = [
        f"{path} {path.lstat().st_size} {path.lstat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
    ]
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()


# a real tree


def test_finds_the_runs_of_a_real_tree(shared_data):
    real = shared_data / "bids_examples" / "ds000001-fmriprep"
    before = snapshot(real)
    found = discover(real, None, select())
    expected = sorted(
        path.name.partition("_space")[0]
        for path in real.glob(f"sub-*/func/*_{SPACE}_res-2_desc-preproc_bold.nii.gz")
    )
    assert names(found) == expected
    assert len(expected) == 12
    assert found.problems == ()
    for scan in found.scans:
        assert (scan.tr_s, scan.res, scan.space) == (2.0, "2", SPACE[6:])
        assert scan.mask.exists()
        assert scan.confounds.name == f"{scan.name}_desc-confounds_timeseries.tsv"
        assert scan.metadata["TaskName"] == "balloon analog risk task"
    assert snapshot(real) == before


def test_finds_what_aroma_denoised(shared_data):
    real = shared_data / "bids_examples" / "ds000001-fmriprep"
    selection = select(space="MNI152NLin6Asym", participant_label=("10",))
    found = discover(real, None, selection, aroma=True)
    assert [s.bold.name.partition("desc-")[2] for s in found.scans] == [
        "smoothAROMAnonaggr_bold.nii.gz"
    ] * 3
    assert {s.tr_s for s in found.scans} == {2.0}  # from the run in another space


def test_knows_the_people(shared_data):
    real = shared_data / "bids_examples" / "ds000001-fmriprep"
    assert participants(real, None) == ("10", "11", "13", "16")


# names of fMRIPrep


def test_keeps_every_entity_of_the_source(root):
    runs = (
        "sub-01_ses-a_task-rest_acq-mb_ce-x_rec-y_dir-AP_run-1_echo-2_part-mag",
        "sub-01_ses-a_task-rest_acq-mb_dir-AP_run-1",
        "sub-01_ses-a_task-rest_acq-mb_dir-PA_run-1",
        "sub-01_ses-a_task-rest_dir-AP_run-1",
        "sub-01_ses-b_task-rest_acq-mb_dir-AP_run-1",
    )
    for run in runs:
        add_run(root, run)
    found = discover(root, None, select())
    assert sorted(names(found)) == sorted(runs)
    assert all(scan.mask and scan.confounds for scan in found.scans)


@pytest.mark.parametrize("suffix", ["timeseries", "regressors"])
@pytest.mark.parametrize("grid", [SPACE, f"{SPACE}_res-2", f"{SPACE}_res-native"])
def test_knows_old_and_new_names(root, suffix, grid):
    add_run(root, "sub-01_task-rest", grid=grid, suffix=suffix)
    (scan,) = discover(root, None, select()).scans
    assert scan.confounds.name == f"sub-01_task-rest_desc-confounds_{suffix}.tsv"
    assert scan.mask.name == f"sub-01_task-rest_{grid}_desc-brain_mask.nii.gz"
    assert scan.entities == {"sub": "01", "task": "rest"}


def test_a_pediatric_template_keeps_its_cohort(root):
    add_run(root, "sub-01_task-rest", grid="space-MNIPediatricAsym_cohort-2")
    (scan,) = discover(root, None, select(space="MNIPediatricAsym")).scans
    assert scan.entities["cohort"] == "2"
    assert scan.mask is not None
    assert scan.confounds is not None


def test_missing_companions_are_none(root):
    folder = add_run(root, "sub-01_task-rest")
    for path in [*folder.glob("*mask*"), *folder.glob("*confounds*")]:
        path.unlink()
    (scan,) = discover(root, None, select()).scans
    assert scan.mask is None
    assert scan.confounds is None


def test_one_resolution_is_taken_and_said(root):
    add_run(root, "sub-01_task-rest", grid=f"{SPACE}_res-2")
    add_run(root, "sub-01_task-rest", grid=f"{SPACE}_res-1")
    found = discover(root, None, select())
    assert [scan.res for scan in found.scans] == ["1"]
    assert "2 resolutions" in found.notes[0]


def test_the_image_may_be_unpacked(root):
    folder = add_run(root, "sub-01_task-rest")
    image = next(folder.glob("*preproc_bold.nii.gz"))
    image.rename(image.with_suffix(""))
    assert names(discover(root, None, select())) == ["sub-01_task-rest"]


# where the dataset is


def test_raw_and_derivatives_apart(tmp_path, root):
    raw = describe(tmp_path / "raw", {"Name": "x", "BIDSVersion": "1.9.0"})
    add_run(root, "sub-01_task-rest")
    found = discover(raw, root, select())
    assert found.scans[0].dataset == root
    assert found.notes == ()


@pytest.mark.parametrize("fields", [{"DatasetType": "raw"}, {"GeneratedBy": []}, {}])
def test_derivatives_inside_the_raw_dataset_are_said(tmp_path, fields):
    raw = describe(tmp_path, {"Name": "x", "BIDSVersion": "1.9.0"} | fields)
    nested = describe(raw / "derivatives" / "fmriprep")
    add_run(nested, "sub-01_task-rest")
    found = discover(raw, None, select())
    assert names(found) == ["sub-01_task-rest"]
    assert "derivatives/fmriprep is read" in found.notes[0]


@pytest.mark.parametrize("fields", [{"Name": "x", "PipelineDescription": {}}, None])
def test_an_old_or_bare_derivative_dataset_is_known(tmp_path, fields):
    if fields:
        describe(tmp_path, fields)
    add_run(tmp_path, "sub-01_task-rest")
    assert len(discover(tmp_path, None, select()).scans) == 1


def test_a_raw_dataset_alone_is_refused(tmp_path):
    raw = describe(tmp_path, {"Name": "x", "BIDSVersion": "1.9.0"})
    with pytest.raises(ConfigError, match=r"-d fmriprep=PATH"):
        discover(raw, None, select())
    with pytest.raises(ConfigError, match="there is no such folder"):
        discover(raw, raw / "nowhere", select())


# who and what is wanted


@pytest.mark.parametrize("label", ["1", "sub-1"])
def test_a_label_is_no_prefix_of_another(root, label):
    for person in ("1", "10", "11", "1a"):
        add_run(root, f"sub-{person}_task-rest")
    found = discover(root, None, select(participant_label=(label,)))
    assert names(found) == ["sub-1_task-rest"]


def test_a_folder_above_may_look_like_a_person(tmp_path):
    root = describe(tmp_path / "sub-study" / "anat" / "log")
    add_run(root, "sub-01_task-rest")
    add_run(root, "sub-02_task-rest")
    found = discover(root, None, select(participant_label=("01",)))
    assert names(found) == ["sub-01_task-rest"]


def test_the_dataset_may_be_named_from_here(root, monkeypatch):
    add_run(root, "sub-01_task-rest")
    (root / "work").mkdir()
    monkeypatch.chdir(root / "work")
    found = discover(Path(".."), None, select(participant_label=("01",)))
    assert found.scans[0].dataset == root.resolve()


def test_a_linked_folder_is_entered(root, tmp_path):
    add_run(tmp_path / "store", "sub-01_task-rest")
    (root / "sub-01").symlink_to(tmp_path / "store" / "sub-01")
    assert names(discover(root, None, select())) == ["sub-01_task-rest"]


def test_an_unknown_person_is_not_passed_over(root):
    add_run(root, "sub-control01_task-rest")
    message = r"contrl01: not among the 1 people .*Did you mean 'control01'\?"
    with pytest.raises(NothingMatched, match=message):
        discover(root, None, select(participant_label=("control01", "contrl01")))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"run_id": ("run-1",)}, ["01"]),
        ({"run_id": ("1",)}, ["01"]),
        ({"run_id": ("001", "2")}, ["01", "02"]),
        ({"session_label": ("ses-a",)}, ["01", "02"]),
        ({"task_id": ("rest",), "run_id": ("2",)}, ["02"]),
    ],
)
def test_labels_are_taken_with_and_without_prefix(root, changes, expected):
    for run in ("01", "02"):
        add_run(root, f"sub-01_ses-a_task-rest_run-{run}")
        add_run(root, f"sub-01_ses-b_task-nback_run-{run}")
    selection = select(**({"session_label": ("a",)} | changes))
    found = discover(root, None, selection)
    assert [scan.entities["run"] for scan in found.scans] == expected


def test_a_wrong_label_lists_what_there_is(root):
    add_run(root, "sub-01_task-rest")
    with pytest.raises(NothingMatched, match=r"--task-id rst .*there are: rest\. Did"):
        discover(root, None, select(task_id=("rst",)))
    with pytest.raises(NothingMatched, match=r"--space MNI .*MNI152NLin2009cAsym"):
        discover(root, None, select(space="MNI"))
    with pytest.raises(NothingMatched, match="there are desc-: preproc"):
        discover(root, None, select(), aroma=True)


def test_a_person_without_images_is_said(root):
    add_run(root, "sub-01_task-rest")
    (root / "sub-02" / "anat").mkdir(parents=True)
    assert any(note.startswith("sub-02: no image") for note in
               discover(root, None, select()).notes)  # fmt: skip
    found = discover(root, None, select(participant_label=("01", "02")))
    assert [problem.unit for problem in found.problems] == ["sub-02"]
    assert names(found) == ["sub-01_task-rest"]


def test_nobody_at_all(root):
    with pytest.raises(NothingMatched, match=r"no folder sub-.*nobody to work on\.$"):
        discover(root, None, select())


def test_the_folder_above_the_dataset_gets_a_hint(tmp_path, root):
    add_run(root, "sub-01_task-rest")
    with pytest.raises(NothingMatched, match=r"Did you mean .*fmriprep\?"):
        discover(tmp_path, tmp_path, select())


# filter files


def filtered(root, tmp_path, content):
    path = tmp_path / "filter.json"
    path.write_text(json.dumps(content))
    return discover(root, None, select(bids_filter_file=path))


@pytest.fixture
def varied(root):
    for run in ("task-rest_acq-mb_run-01", "task-rest_run-1", "task-nback_run-2"):
        add_run(root, f"sub-01_{run}")
    return root


@pytest.mark.parametrize(
    ("bold", "n_expected"),
    [
        ({"task": "rest"}, 2),
        ({"task": ["rest", "nback"]}, 3),
        ({"acquisition": None}, 2),
        ({"acq": "*"}, 1),
        ({"run": 1}, 2),
        ({"run": "01", "acquisition": "mb"}, 1),
        ({"acquisition": ["mb", None], "datatype": "func", "suffix": "bold"}, 3),
        ({"subject": "sub-01", "extension": ".nii.gz"}, 3),
        ({}, 3),
    ],
)
def test_a_filter_file_is_obeyed_and_counted(varied, tmp_path, bold, n_expected):
    found = filtered(varied, tmp_path, {"bold": bold, "t1w": {"run": 1}})
    assert len(found.scans) == n_expected
    assert f"filter 'bold' matched {n_expected} of 3 images" in found.notes
    assert "filter 't1w' is not used for bold" in found.notes
    assert sum("matched" in note for note in found.notes) == len(bold) + 1


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (
            {"bold": {"task": "rst"}},
            NothingMatched,
            "'rst' matches none of 3.*nback, r",
        ),
        ({"bold": {"task": "nback", "acq": "mb"}}, NothingMatched, "all together"),
        ({"bold": {"taks": "rest"}}, ConfigError, "Did you mean 'task'"),
        ({"bodl": {"task": "rest"}}, ConfigError, "Did you mean 'bold'"),
        ({"bold": "rest"}, ConfigError, "takes objects in an object"),
        ([], ConfigError, "takes objects in an object"),
    ],
)
def test_a_filter_that_fits_nothing_is_an_error(
    varied, tmp_path, content, error, message
):
    with pytest.raises(error, match=message):
        filtered(varied, tmp_path, content)


# sidecars


def test_sidecars_are_inherited_the_nearest_winning(root):
    add_run(root, "sub-01_task-rest_run-1", tr_s=None)
    add_run(root, "sub-01_task-rest_run-2", tr_s=1.5)
    store.write_json(root / "task-rest_bold.json", {"RepetitionTime": 3.0, "A": 1})
    store.write_json(root / "task-nback_bold.json", {"RepetitionTime": 9.0})
    store.write_json(root / "sub-01" / "sub-01_bold.json", {"A": 2})
    one, two = discover(root, None, select()).scans
    assert (one.tr_s, two.tr_s) == (3.0, 1.5)
    assert one.metadata == {"RepetitionTime": 3.0, "A": 2}


def test_the_sidecar_that_names_more_wins_in_a_folder(root):
    add_run(root, "sub-01_task-rest_acq-mb", tr_s=None)
    store.write_json(root / "task-rest_bold.json", {"RepetitionTime": 3.0})
    store.write_json(root / "acq-mb_task-rest_bold.json", {"RepetitionTime": 2.5})
    assert discover(root, None, select()).scans[0].tr_s == 2.5


def test_another_space_does_not_overrule_the_image(root):
    add_run(root, "sub-01_task-rest", tr_s=2.0)
    add_run(root, "sub-01_task-rest", tr_s=3.0, grid="space-T1w")
    assert discover(root, None, select()).scans[0].tr_s == 2.0


@pytest.mark.parametrize(
    "place",
    [
        "task-rest_bold.json",
        "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-01_bold.json",
        "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-1_echo-1_bold.json",
    ],
)
def test_the_raw_run_gives_the_repetition_time(tmp_path, root, place):
    raw = describe(tmp_path / "raw", {"Name": "x", "BIDSVersion": "1.9.0"})
    add_run(root, "sub-01_ses-1_task-rest_run-1", tr_s=None)
    store.write_json(raw / place, {"RepetitionTime": 0.72, "EchoTime": 0.03})
    (scan,) = discover(raw, root, select()).scans
    assert scan.tr_s == 0.72
    assert "EchoTime" not in scan.metadata  # of the scanner, not of this image


def test_a_broken_raw_sidecar_that_is_not_needed_is_not_read(tmp_path, root):
    raw = describe(tmp_path / "raw", {"Name": "x", "BIDSVersion": "1.9.0"})
    add_run(root, "sub-01_task-rest")
    (raw / "task-rest_bold.json").write_text("{")
    assert discover(raw, root, select()).problems == ()


@pytest.mark.parametrize(
    ("tr_s", "message"),
    [
        (720, r"bold\.json: RepetitionTime is 720; .*Milliseconds\?"),
        (0, "RepetitionTime is 0; BIDS gives it in seconds"),
        (float("nan"), "RepetitionTime is nan"),
        ("2.0", "RepetitionTime is '2.0'; it is a number"),
        (True, "RepetitionTime is True"),
        (None, "no RepetitionTime, here or in the raw dataset"),
    ],
)
def test_a_wrong_repetition_time_stops_one_run_only(root, tr_s, message):
    add_run(root, "sub-01_task-rest_run-1")
    add_run(root, "sub-01_task-nback_run-1", tr_s=tr_s)
    found = discover(root, None, select())
    assert names(found) == ["sub-01_task-rest_run-1"]
    (problem,) = found.problems
    assert problem.unit == "sub-01_task-nback_run-1"
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(problem.message)


@pytest.mark.parametrize("content", ["{", "[2.0]"])
def test_a_sidecar_that_is_no_object_stops_one_run_only(root, content):
    folder = add_run(root, "sub-01_task-rest")
    add_run(root, "sub-02_task-rest")
    next(folder.glob("*bold.json")).write_text(content)
    found = discover(root, None, select())
    assert names(found) == ["sub-02_task-rest"]
    assert "Mend or remove it" in found.problems[0].message


@pytest.mark.parametrize(
    "kind", ["preproc_bold.nii.gz", "mask.nii.gz", "timeseries.tsv"]
)
def test_a_link_without_its_file_asks_for_datalad(root, kind):
    folder = add_run(root, "sub-01_task-rest")
    add_run(root, "sub-02_task-rest")
    path = next(folder.glob(f"*{kind}"))
    path.unlink()
    path.symlink_to(root / ".git" / "annex" / "objects" / "x")
    found = discover(root, None, select())
    assert names(found) == ["sub-02_task-rest"]
    assert "run datalad get" in found.problems[0].message


def test_an_entity_without_a_place_stops_one_run_only(root):
    add_run(root, "sub-01_task-rest")
    add_run(root, "sub-01_task-rest_foo-1")
    found = discover(root, None, select())
    assert names(found) == ["sub-01_task-rest"]
    assert "foo, which is not a BIDS entity" in found.problems[0].message


# the index


def test_only_the_wanted_people_are_indexed(root):
    for person in ("1", "10", "2"):
        add_run(root, f"sub-{person}_task-rest")
    seen = index._index(root, ["1"]).get(return_type="filename")
    assert {Path(name).relative_to(root).parts[0] for name in seen} == {
        "sub-1",
        "dataset_description.json",
    }


def test_a_kept_index_is_used_and_the_input_is_not_touched(root, tmp_path):
    add_run(root, "sub-01_task-rest")
    add_run(root, "sub-02_task-rest")
    before = snapshot(root)
    for label in ("01", "02"):
        selection = select(
            bids_database_dir=tmp_path / "db", participant_label=(label,)
        )
        assert names(discover(root, None, selection)) == [f"sub-{label}_task-rest"]
    assert snapshot(root) == before
    assert [path.name for path in (tmp_path / "db").iterdir()] == [
        "layout_index.sqlite"
    ]


def test_an_index_that_does_not_fit_is_refused(root, tmp_path):
    add_run(root, "sub-01_task-rest")
    selection = select(bids_database_dir=tmp_path / "db")
    discover(root, None, selection)
    other = describe(tmp_path / "other")
    add_run(other, "sub-01_task-rest")
    with pytest.raises(ConfigError, match=r"an index of .*fmriprep, not of .*other"):
        discover(other, None, selection)
    add_run(root, "sub-02_task-rest")
    with pytest.raises(ConfigError, match="does not know 02"):
        discover(root, None, selection)
    with pytest.raises(ConfigError, match="never written to"):
        discover(root, None, select(bids_database_dir=root / "db"))


TOGETHER = """
import sys
from pathlib import Path
from bidsclf.config import SelectionConfig
from bidsclf.files.discover import discover
root, database = map(Path, sys.argv[1:])
print(len(discover(root, None, SelectionConfig(bids_database_dir=database)).scans))
"""


@pytest.mark.slow
def test_jobs_that_make_the_same_index_do_not_crash(root, tmp_path):
    for number in range(20):
        add_run(root, f"sub-{number:02d}_task-rest")
    command = [sys.executable, "-c", TOGETHER, str(root), str(tmp_path / "db")]
    jobs = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    assert [job.communicate()[0].strip() for job in jobs] == [b"20"] * 4
    assert [path.name for path in tmp_path.glob(".partial*")] == []


# the table of people


def test_the_raw_table_is_copied_whole_and_completed(tmp_path, root):
    raw = describe(tmp_path / "raw", {"Name": "x", "BIDSVersion": "1.9.0"})
    text = "participant_id\tsite\tage\nsub-01\t007\t9.50\nsub-09\tn/a\t10\n"
    (raw / "participants.tsv").write_text(text)
    (raw / "participants.json").write_text('{"age": {"Units": "year"}}')
    add_run(root, "sub-01_task-rest")
    add_run(root, "sub-02_task-rest")
    table, columns = participants_table(raw, root)
    assert store.to_tsv(table) == f"{text}sub-02\tn/a\tn/a\n"
    assert columns == {"age": {"Units": "year"}}


def test_a_dataset_without_a_table_has_its_folders(root):
    add_run(root, "sub-01_task-rest")
    table, columns = participants_table(root, None)
    assert store.to_tsv(table) == "participant_id\nsub-01\n"
    assert columns == {}


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"id\tage\n01\t9\n", "no column 'participant_id'"),
        ("participant_id\tname\nsub-01\tZo\xe9\n".encode("latin-1"), "not UTF-8"),
        (b"", "not a readable table"),
    ],
)
def test_a_table_that_cannot_be_used_stops_no_scan(root, content, note):
    add_run(root, "sub-01_task-rest")
    (root / "participants.tsv").write_bytes(content)
    found = discover(root, None, select())
    assert len(found.scans) == 1
    assert any(note in said for said in found.notes)
    table, _ = participants_table(root, None)
    assert table["participant_id"].tolist() == ["sub-01"]


def test_each_person_has_one_row_and_contradictions_are_said(root):
    add_run(root, "sub-01_task-rest")
    rows = ["sub-01\t9", "01\t9", "sub-02\t8", "sub-02\t7", "n/a\t6"]
    (root / "participants.tsv").write_text("\n".join(["participant_id\tage", *rows]))
    (root / "participants.json").write_text("[]")
    table, columns = participants_table(root, None)
    assert table.to_numpy().tolist() == [["sub-01", "9"], ["sub-02", "8"]]
    assert columns == {}
    notes = " ".join(discover(root, None, select()).notes)
    assert "more than one row for sub-02, which differ" in notes
    assert "1 rows without participant_id" in notes
    assert "sub-01" not in notes


# what a user may not read, and odd names


@pytest.mark.parametrize("place", ["", "func", "func/figures"])
@pytest.mark.parametrize("kept", [False, True])
def test_a_locked_folder_stops_its_person_only(open_folder, as_nobody, place, kept):
    root = describe(open_folder / "fmriprep")
    for label in ("01", "02"):
        add_run(root, f"sub-{label}_task-rest")
    locked = root / "sub-02" / place
    locked.mkdir(exist_ok=True)
    locked.chmod(0)
    (open_folder / "free").mkdir()
    (open_folder / "free").chmod(0o777)
    selection = select(bids_database_dir=open_folder / "free" / "db" if kept else None)
    with as_nobody():
        found = discover(root, None, selection)
    locked.chmod(0o755)
    if place == "func/figures":
        assert names(found) == ["sub-01_task-rest", "sub-02_task-rest"]
        return
    assert names(found) == ["sub-01_task-rest"]
    (problem,) = found.problems
    assert problem.unit == "sub-02"
    assert f"{locked}: cannot be listed (Permission denied)" in problem.message


def test_nobody_readable_says_why(open_folder, as_nobody):
    root = describe(open_folder / "fmriprep")
    add_run(root, "sub-01_task-rest")
    (root / "sub-01").chmod(0)
    with as_nobody(), pytest.raises(NothingMatched, match="Permission denied"):
        discover(root, None, select())


def test_a_plus_is_a_part_of_a_label(root):
    add_run(root, "sub-a+b_ses-1_task-rest+eyes")
    (scan,) = discover(root, None, select(participant_label=("a+b",))).scans
    assert scan.entities == {"sub": "a+b", "ses": "1", "task": "rest+eyes"}
    assert scan.mask is not None


def test_an_image_that_is_not_named_as_bids_is_said(root):
    folder = add_run(root, "sub-01_task-rest")
    (folder / f"sub-01_task-rest_run_2_{SPACE}_desc-preproc_bold.nii.gz").touch()
    (folder / f"._sub-01_task-rest_{SPACE}_desc-preproc_bold.nii.gz").touch()
    found = discover(root, None, select())
    assert len(found.scans) == 1
    (note,) = found.notes
    assert "run_2" in note
    assert "left out; its name is not BIDS" in note


def test_one_run_number_written_in_two_ways_is_said(root):
    for run in ("1", "01", "2"):
        add_run(root, f"sub-01_task-rest_run-{run}")
    found = discover(root, None, select())
    assert len(found.scans) == 3
    (note,) = found.notes
    assert note.startswith("sub-01_task-rest_run-01 and sub-01_task-rest_run-1: one nu")


@pytest.mark.parametrize("content", ["{", None])
def test_a_filter_file_that_cannot_be_read_is_a_wrong_option(root, tmp_path, content):
    add_run(root, "sub-01_task-rest")
    path = tmp_path / "filter.json"
    if content:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"--bids-filter-file .*filter\.json"):
        discover(root, None, select(bids_filter_file=path))
