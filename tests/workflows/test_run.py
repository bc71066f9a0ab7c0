"""A run's folder, its summary and its exit code."""

import tomllib

import pytest

from bidsclf.checks import from_plain
from bidsclf.config import Config
from bidsclf.errors import BidsclfError, InputError, NothingMatched, Terminated
from bidsclf.files import store
from bidsclf.workflows import _run, _staging


@pytest.fixture
def config(tmp_path):
    return Config(bids_dir=tmp_path / "in", output_dir=tmp_path, level="participant")


def unit(state="failed", **flags):
    return _run.Unit(unit="u", state=state, **flags)


@pytest.mark.parametrize(
    ("units", "code"),
    [
        ([], 0),
        ([unit("done"), unit("done before")], 0),
        ([unit("done"), unit()], 4),
        ([unit(), unit(is_bug=True)], 1),
        ([unit("done"), unit(is_report=True)], 5),
        ([unit("done"), unit(is_report=True, is_bug=True)], 5),
        ([unit(), unit(is_report=True)], 4),
    ],
)
def test_the_worst_unit_is_the_exit_code(units, code):
    assert _run.exit_code(units) == code


def test_a_failed_unit_leaves_word_and_a_bug_goes_on(tmp_path):
    def fails():
        raise InputError("three volumes; five are needed.")

    def is_buggy():
        raise ZeroDivisionError

    assert _run.attempt("a", tmp_path, fails).state == "failed"
    assert _run.attempt("b", tmp_path, lambda: [tmp_path]).outputs == (str(tmp_path),)
    with pytest.raises(ZeroDivisionError):
        _run.attempt("c", tmp_path, is_buggy)
    a, b, c = _run.collect(["a", "b", "c"], tmp_path, tmp_path)
    assert (a.message, b.state) == ("three volumes; five are needed.", "done")
    assert (c.state, c.message) == (
        "failed",
        "it was not run, since another unit failed.",
    )


@pytest.mark.parametrize(
    ("text", "is_bug"), [(f"RuntimeError: {_run.KILLED}; out of memory?", False),
                         ("OSError: [Errno 28] No space left on device", False),
                         ("ValueError: three", True)],
)  # fmt: skip
def test_a_crash_file_tells_a_bug_from_a_killed_worker(tmp_path, text, is_bug):
    (tmp_path / "crash-20260101-000000-me-sub-01-uuid.txt").write_text(
        f"Node: sub-01\nTraceback:\n  File\n{text}\n\nWhen creating,\nno result."
    )
    (found,) = _run.collect(["sub-01"], tmp_path, tmp_path)
    assert found.is_bug is is_bug
    said = text if is_bug else text.partition(": ")[2]
    assert found.message.startswith(said)


def test_the_settings_can_be_read_back(config):
    with _run.recorded(config, "run.py in out participant") as run:
        run.add([unit()])
    text = (run.folder / "bidsclf.toml").read_text()
    assert from_plain(Config, tomllib.loads(text)) == config
    summary = store.read_json(run.folder / "summary.json")
    assert (summary["exit_code"], summary["command"]) == (
        4,
        "run.py in out participant",
    )
    assert "fMRIPrep" in (run.folder / "CITATION.md").read_text()


def test_an_error_is_in_the_summary_and_goes_on(config):
    with pytest.raises(NothingMatched), _run.recorded(config, "x") as run:
        raise NothingMatched("nobody")
    summary = store.read_json(run.folder / "summary.json")
    assert (summary["exit_code"], summary["error"]) == (3, "nobody")
    with pytest.raises(ZeroDivisionError), _run.recorded(config, "x") as run:
        raise ZeroDivisionError
    assert store.read_json(run.folder / "summary.json")["exit_code"] == 1
    (crash,) = run.folder.glob("crash-*.txt")
    assert "ZeroDivisionError" in crash.read_text()


def test_a_full_disk_is_no_bug(config):
    with pytest.raises(BidsclfError, match="Free space"), _run.recorded(config, "x"):
        raise OSError(28, "No space left on device")
    assert not list(config.output_dir.glob("logs/*/crash-*"))


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)]
)
def test_an_interrupted_run_has_a_summary_and_no_crash_file(config, error, code):
    with pytest.raises(error), _run.recorded(config, "x") as run:
        raise error
    assert store.read_json(run.folder / "summary.json")["exit_code"] == code
    assert not list(run.folder.glob("crash-*"))


def test_a_stage_is_published_whole_or_not_at_all(tmp_path):
    out = tmp_path / "out"
    (out / "a").mkdir(parents=True)
    (out / "a/old.tsv").write_text("old")
    with _staging.staged(out) as stage:
        (stage / "a").mkdir()
        files = [stage / "a" / name for name in ("old.tsv", "new.tsv", "gone.tsv")]
        files[0].write_text("new")
        files[1].write_text("new")
        with pytest.raises(FileNotFoundError):
            _staging.publish(stage, out, files)
    assert not (out / "a/new.tsv").exists()
    assert (out / "a/old.tsv").exists()
    assert not stage.exists()


def test_a_sweep_takes_dead_stages_only(tmp_path):
    with _staging.staged(tmp_path) as stage:
        dead = stage.with_name("dead")
        dead.mkdir()
        (dead / "half").write_text("")
        assert _staging.sweep(tmp_path) == 1
        assert stage.exists()
        assert not dead.exists()
