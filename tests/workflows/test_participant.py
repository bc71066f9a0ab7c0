"""The participant level: units fail alone, and nothing is lost or half-written."""

import shutil
import tempfile
from contextlib import nullcontext
from dataclasses import replace

import nibabel as nib
import pytest

from bidsclf.config import (
    Config,
    DenoiseConfig,
    ExtractConfig,
    RunConfig,
    SelectionConfig,
    VolumeConfig,
)
from bidsclf.errors import ConfigError, InputError, NothingMatched, Terminated
from bidsclf.files import derivatives, status, store
from bidsclf.workflows import _run, _scans, participant, plugins
from bidsclf.workflows.participant import SCAN_GB, run_participant, scan_gb


@pytest.fixture
def study(fmriprep, tmp_path):
    """A copy of the tiny study, to spoil."""
    return shutil.copytree(fmriprep, tmp_path / "fmriprep")


@pytest.fixture
def config(fmriprep, tmp_path):
    return Config(
        bids_dir=fmriprep,
        output_dir=tmp_path / "out",
        level="participant",
        extract=ExtractConfig(
            atlases=(str(fmriprep.parent / "cubes.nii.gz"),),
            denoise=DenoiseConfig(min_time_s=10),
        ),
    )


def with_run(config, **settings):
    return replace(config, run=RunConfig(**settings))


def with_strategy(config, **settings):
    denoise = DenoiseConfig(min_time_s=10, **settings)
    return replace(config, extract=replace(config.extract, denoise=denoise))


def latest(out):
    paths = sorted(out.glob("logs/*/summary.json"), key=lambda p: p.stat().st_mtime_ns)
    return store.read_json(paths[-1])


def states(out):
    return {u["unit"].partition("_")[0]: u["state"] for u in latest(out)["units"]}


def scans(out):
    units = [u for u in latest(out)["units"] if not u["is_report"]]
    return {unit["unit"].partition("_")[0]: unit for unit in units}


def tables(out):
    return {p: p.read_bytes() for p in sorted(out.rglob("*/func/*.tsv"))}


def test_every_scan_becomes_files_a_status_and_a_page(config):
    assert run_participant(config, command="run.py a b") == 0
    out = config.output_dir
    found = derivatives.find_features(out)
    assert set(found["suffix"]) == {
        "timeseries", "relmat", "coverage", "quality", "motion",
    }  # fmt: skip
    assert found["participant_id"].nunique() == 3
    series, names = store.read_series(
        found.query("suffix == 'timeseries'")["path"].iloc[0]
    )
    assert (series.shape, names[0]) == ((60, 8), "cube0")
    assert {p.name for p in out.glob("*.html")} == {f"sub-0{n}.html" for n in (1, 2, 3)}
    summary = latest(out)
    assert (summary["exit_code"], summary["command"]) == (0, "run.py a b")
    first = summary["units"][0]
    assert all((out / name).exists() for name in first["outputs"])
    (log,) = (out / "logs").iterdir()
    assert {p.name for p in log.iterdir()} == {
        "bidsclf.toml", "summary.json", "CITATION.md",
    }  # fmt: skip
    assert not list(out.rglob(".partial-*"))
    assert not list((out / ".bidsclf" / "staging").iterdir())


def test_what_is_done_is_not_done_again(config):
    run_participant(config)
    before = {p: p.stat().st_mtime_ns for p in config.output_dir.glob("sub-*/**/*")}
    assert run_participant(config) == 0
    assert set(u["state"] for u in latest(config.output_dir)["units"]) == {
        "done before"
    }
    assert before == {p: p.stat().st_mtime_ns for p in before}
    assert run_participant(with_run(config, force=True)) == 0
    assert scans(config.output_dir)["sub-01"]["state"] == "done"


def test_a_lost_file_is_made_again(config):
    run_participant(config)
    lost = next(iter(tables(config.output_dir)))
    lost.unlink()
    assert run_participant(config) == 0
    assert lost.exists()


def test_other_settings_under_the_same_name_lose_nothing(config):
    run_participant(config)
    before = tables(config.output_dir)
    other = with_strategy(config, fd_thresh_mm=0.3)
    assert run_participant(other) == 4
    unit = scans(config.output_dir)["sub-01"]
    assert "other settings" in unit["message"]
    assert "--force" in unit["message"]
    assert tables(config.output_dir) == before
    assert run_participant(config) == 0  # still known to be done
    assert run_participant(replace(other, run=RunConfig(force=True))) == 0
    assert tables(config.output_dir) != before


def test_another_atlas_adds_and_another_strategy_stands_beside(config, fmriprep):
    run_participant(config)
    before = tables(config.output_dir)
    for ending in (".nii.gz", ".tsv"):
        shutil.copy(
            fmriprep.parent / f"cubes{ending}",
            config.output_dir.parent / f"two{ending}",
        )
    atlas = str(config.output_dir.parent / "two.nii.gz")
    extract = replace(config.extract, atlases=(atlas,))
    assert run_participant(replace(config, extract=extract)) == 0
    after = tables(config.output_dir)
    of_atlas = {p: b for p, b in before.items() if "_atlas-" in p.name}
    assert of_atlas.items() <= after.items()
    assert len(after) > len(before)
    columns = config.output_dir.parent / "nothing.json"
    store.write_json(columns, {"columns": []})
    assert run_participant(with_strategy(config, strategy=str(columns))) == 0
    assert after.items() <= tables(config.output_dir).items()
    unit = status.read_all(config.output_dir, "sub-01")
    assert [one.state for one in unit] == ["done", "done"]


def with_volumes(config, *features, **settings):
    asked = VolumeConfig(**{"size": 18, "length": 5} | settings)
    extract = replace(config.extract, features=(*features, "volume"), volume=asked)
    return replace(config, extract=extract)


def test_volumes_come_beside_series_or_alone_and_none_is_replaced_unasked(config):
    config = replace(config, selection=SelectionConfig(participant_label=("01",)))
    assert run_participant(config) == 0
    out = config.output_dir
    series = set(out.glob("sub-01/func/*timeseries*"))
    assert run_participant(with_volumes(config)) == 0
    (path,) = out.glob("sub-01/func/*_desc-simplegrid18_bold.nii.gz")
    assert series == set(out.glob("sub-01/func/*timeseries*"))
    sidecar = store.read_json(path.with_suffix("").with_suffix(".json"))
    assert sidecar["VolumesTaken"] == [6, 18, 30, 42, 54]
    assert sidecar["VolumeLength"] == 5
    assert sidecar["Strategy"] == "simple"
    assert "MinCoverage" not in sidecar
    assert sidecar["Sources"][0].startswith("bids:fmriprep:sub-01/")
    assert nib.load(path).shape == (18, 18, 18, 5)
    meanings = store.read_table(out / "descriptions.tsv").set_index("desc_id")
    said = meanings.loc["desc-simplegrid18", "description"]
    assert said.endswith("volumes on a grid of 18 cells along each axis.")
    assert run_participant(with_volumes(config)) == 0
    assert states(out)["sub-01"] == "done before"
    assert run_participant(with_volumes(config, pick="contiguous")) == 4
    assert nib.load(path).shape[3] == 5
    assert run_participant(with_volumes(config, size=16)) == 0
    assert len(list(out.glob("sub-01/func/*_bold.nii.gz"))) == 2


def test_a_grid_that_no_run_came_to_is_not_described(config):
    config = replace(config, selection=SelectionConfig(participant_label=("01",)))
    assert run_participant(with_volumes(config, length=5000)) == 4
    out = config.output_dir
    assert not list(out.glob("sub-01/func/*grid18*"))
    assert not (out / "descriptions.tsv").exists()
    assert run_participant(with_volumes(config)) == 0
    assert "desc-simplegrid18" in (out / "descriptions.tsv").read_text()


def test_a_grid_is_described_though_the_run_was_interrupted(config, monkeypatch):
    config = replace(config, selection=SelectionConfig(participant_label=("01",)))
    real = participant._extract

    def interrupted(*given):
        real(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(participant, "_extract", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_participant(with_volumes(config))
    said = (config.output_dir / "descriptions.tsv").read_text()
    assert "desc-simplegrid18" in said


def test_memory_is_asked_for_as_cells_and_volumes_are_held(config):
    assert scan_gb(config.extract) == SCAN_GB
    few, many = (with_volumes(config, size=34, length=n).extract for n in (20, 0))
    cells_gb = 34**3 * 4e-9
    assert scan_gb(few) == pytest.approx(SCAN_GB + cells_gb * (600 + 30))
    assert scan_gb(many) == pytest.approx(SCAN_GB + cells_gb * (600 + 1800))


def test_a_dry_run_names_the_volumes(config, capsys):
    run_participant(with_run(with_volumes(config), dry_run=True))
    assert "task-rest_space-MNI152NLin2009cAsym_desc-simplegrid18_bold.nii.gz" in (
        capsys.readouterr().out
    )


def test_a_truncated_image_fails_alone(config, study):
    image = next((study / "sub-02").rglob("*bold.nii.gz"))
    image.write_bytes(image.read_bytes()[:-200])
    config = replace(config, bids_dir=study)
    assert run_participant(config) == 4
    out = config.output_dir
    assert "sub-02" in scans(out)["sub-02"]["message"]
    assert [scans(out)[f"sub-0{n}"]["state"] for n in (1, 2, 3)] == [
        "done", "failed", "done",
    ]  # fmt: skip
    assert not [p for p in tables(out) if "sub-02" in p.name]
    assert (out / "sub-02.html").exists()


def test_a_problem_of_discovery_is_a_failed_unit_until_it_is_mended(config, study):
    sidecar = next((study / "sub-02").rglob("*bold.json"))
    right = sidecar.read_text()
    sidecar.write_text('{"RepetitionTime": 2000}')
    config = replace(config, bids_dir=study)
    assert run_participant(config) == 4
    assert "2000" in scans(config.output_dir)["sub-02"]["message"]
    sidecar.write_text(right)
    assert run_participant(config) == 0
    states = [one.state for one in status.read_all(config.output_dir, "sub-02")]
    assert states == ["done"]


def test_a_full_disk_leaves_nothing_of_the_scan(config, monkeypatch):
    real = store.write_matrix

    def full(path, matrix, names):
        if "sub-02" in path.name and "fisherz" in path.name:
            raise OSError(28, "No space left on device", str(path))
        return real(path, matrix, names)

    monkeypatch.setattr(store, "write_matrix", full)
    assert run_participant(config) == 4
    assert "No space left" in scans(config.output_dir)["sub-02"]["message"]
    assert not [p for p in tables(config.output_dir) if "sub-02" in p.name]
    assert len({p.name[:6] for p in tables(config.output_dir)}) == 2


def test_a_bug_leaves_a_crash_file_and_the_others(config, monkeypatch):
    real = _scans.extract_scan

    def buggy(scan, settings, *, cache_dir):
        if scan.entities["sub"] == "01":
            raise ZeroDivisionError("ours")
        return real(scan, settings, cache_dir=cache_dir)

    monkeypatch.setattr(_scans, "extract_scan", buggy)
    assert run_participant(config) == 1
    unit = scans(config.output_dir)["sub-01"]
    assert "ZeroDivisionError: ours" in unit["message"]
    (crash,) = config.output_dir.glob("logs/*/crash-*.txt")
    assert crash.name in unit["message"]
    assert scans(config.output_dir)["sub-03"]["state"] == "done"


@pytest.mark.parametrize("nprocs", [1, 2])
def test_nothing_more_is_started_after_a_failure_if_asked(config, study, nprocs):
    for image in study.rglob("*bold.nii.gz"):
        image.write_bytes(image.read_bytes()[:-200])
    config = replace(config, bids_dir=study)
    settings = {"stop_on_first_crash": True, "nprocs": nprocs}
    assert run_participant(with_run(config, **settings)) == 4
    units = latest(config.output_dir)["units"]
    tried = [unit for unit in units if unit["message"] != _run.NOT_RUN]
    assert 1 <= len(tried) <= nprocs
    assert len(units) == 6
    assert {unit["state"] for unit in units} == {"failed"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, Terminated])
def test_an_interrupted_run_leaves_its_summary_and_nothing_else(
    config, monkeypatch, error, tmp_path
):
    def ends(scan, settings, *, cache_dir):
        raise error

    monkeypatch.setattr(_scans, "extract_scan", ends)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(plugins, "_watched", lambda graph: nullcontext(interrupted))
    with pytest.raises(KeyboardInterrupt):
        run_participant(config)
    assert latest(config.output_dir)["exit_code"] in (130, 143)
    assert not list(config.output_dir.glob("logs/*/crash-*"))
    assert not list((tmp_path / "tmp").iterdir())
    assert not list((config.output_dir / ".bidsclf" / "staging").glob("*"))


def interrupted(node, status):
    if status == "exception":
        raise KeyboardInterrupt


def test_a_label_with_a_plus_is_a_node_too(config, study):
    for path in sorted(study.rglob("sub-02*task-rest*")):
        path.rename(path.with_name(path.name.replace("task-rest", "task-rest+eyes")))
    assert run_participant(replace(config, bids_dir=study)) == 0
    assert scans(config.output_dir)["sub-02"]["unit"].startswith(
        "sub-02_task-rest+eyes"
    )


def test_a_full_work_disk_is_no_bug(config, monkeypatch):
    real = store.write_json

    def full(path, values):
        if path.parent.name == "notes":
            raise OSError(28, "No space left on device", str(path))
        return real(path, values)

    monkeypatch.setattr(store, "write_json", full)
    assert run_participant(config) == 4
    message = scans(config.output_dir)["sub-01"]["message"]
    assert message.startswith("the work folder cannot be written to")
    assert "No space left on device" in message
    assert "bug" not in message


def test_another_atlas_of_the_same_name_replaces_nothing(config, fmriprep):
    run_participant(config)
    before = tables(config.output_dir)
    other = config.output_dir.parent / "other"
    other.mkdir()
    for ending in (".nii.gz", ".tsv"):
        shutil.copy(fmriprep.parent / f"cubes{ending}", other)
    table = other / "cubes.tsv"
    table.write_text(table.read_text().replace("cube0", "other0"))
    extract = replace(config.extract, atlases=(str(other / "cubes.nii.gz"),))
    changed = replace(config, extract=extract)
    with pytest.raises(ConfigError, match="another atlas that is called cubes"):
        run_participant(changed)
    assert tables(config.output_dir) == before
    assert run_participant(replace(changed, run=RunConfig(force=True))) == 0
    assert run_participant(changed) == 0
    both = replace(extract, atlases=(*config.extract.atlases, *extract.atlases))
    with pytest.raises(ConfigError, match="more than one is called cubes"):
        run_participant(replace(changed, extract=both))


def test_a_wrong_plugin_file_ends_the_run_before_it_writes(config, tmp_path):
    path = tmp_path / "plugin.yml"
    path.write_text("plugin: SLURM\nplugin_args: 3")
    with pytest.raises(ConfigError, match="plugin_args is 3"):
        run_participant(with_run(config, nipype_plugin_file=path))
    assert not config.output_dir.exists()


def test_a_page_that_fails_is_told_apart(config, monkeypatch):
    def fails(out, participant):
        raise InputError("no font")

    monkeypatch.setattr("bidsclf.report.participant.participant_page", fails)
    assert run_participant(config) == 5
    monkeypatch.undo()
    assert run_participant(with_run(config, reports_only=True)) == 0
    assert {unit["is_report"] for unit in latest(config.output_dir)["units"]} == {True}
    assert (config.output_dir / "sub-03.html").exists()


def test_a_dry_run_writes_nothing(config, capsys):
    assert run_participant(with_run(config, dry_run=True)) == 0
    said = capsys.readouterr().out
    assert "3 scans, 0 problems" in said
    assert "sub-01_task-rest" in said
    assert "atlas-cubes_stat-mean_desc-simple_timeseries.tsv" in said
    assert not config.output_dir.exists()


def test_cleaning_leaves_what_others_put_into_the_work_folder(config, tmp_path):
    work = tmp_path / "work"
    (work / "weights").mkdir(parents=True)
    (work / "weights" / "another-job.npz").write_text("in use")
    (work / "mine.txt").write_text("mine")
    before = sorted(work.rglob("*"))
    assert run_participant(with_run(config, work_dir=work, clean_workdir=True)) == 0
    assert sorted(work.rglob("*")) == before
    new = tmp_path / "new"
    settings = {"work_dir": new, "clean_workdir": True, "force": True}
    assert run_participant(with_run(config, **settings)) == 0
    assert not new.exists()
    assert run_participant(with_run(config, work_dir=new, force=True)) == 0
    assert list(new.glob("weights/*"))


def test_a_job_looks_for_half_written_files_where_it_works(config, monkeypatch):
    out, walked = config.output_dir, []
    for name in ("sub-09/func", ".bidsclf/status", "derivatives/main"):
        (out / name).mkdir(parents=True)
    real = status.os.walk

    def walk(top, **settings):
        for found in real(top, **settings):
            walked.append(str(found[0]))
            yield found

    monkeypatch.setattr(status.os, "walk", walk)
    assert run_participant(config) == 0
    assert {str(out), f"{out}/.bidsclf/status"} <= set(walked)
    assert not [path for path in walked if "sub-09" in path or "main" in path]


@pytest.mark.slow
def test_workers_give_the_numbers_of_one_process(config):
    run_participant(config)
    two = replace(config, output_dir=config.output_dir.parent / "two")
    assert run_participant(with_run(two, nprocs=2)) == 0
    a, b = tables(config.output_dir), tables(two.output_dir)
    assert list(a.values()) == list(b.values())


def test_an_unknown_person_or_atlas_ends_the_run_before_it_writes(config):
    selection = SelectionConfig(participant_label=("04",))
    with pytest.raises(NothingMatched, match="04"):
        run_participant(replace(config, selection=selection))
    extract = replace(config.extract, atlases=("aall",))
    with pytest.raises(ConfigError, match="aal"):
        run_participant(replace(config, extract=extract))
    assert not config.output_dir.exists()
