"""run.py from outside: words in, exit code and messages out."""

import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from bidsclf import __version__, cli
from bidsclf.errors import FitError, InputError, NothingMatched, Terminated

ROOT = Path(__file__).parents[1]
HEAVY = (
    "nipype",
    "bids",
    "nilearn",
    "numpy",
    "pandas",
    "torch",
    "matplotlib",
    "sklearn",
    "neuroHarmonize",
)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *words],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def quickest(*words: str) -> float:
    times = []
    for _ in range(4):  # the machine may be busy: the best of a few
        start = time.perf_counter()
        assert run(*words).returncode == 0
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_answer_in_half_a_second(word):
    assert quickest(word) < 0.5


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["no", "no", "no"]])
def test_nothing_heavy_is_imported_to_answer(words):
    code = f"""
import sys
from bidsclf.cli import main
try:
    main({words!r})
except SystemExit:
    pass
print(sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "[]"


def test_the_version_is_the_package_s():
    assert run("--version").stdout == f"bidsclf {__version__}\n"


def test_usage_errors_leave_by_code_2_without_a_traceback(tmp_path):
    answer = run(str(tmp_path), "out", "grup", "--n-folds", "x")
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 2
    assert all(line.startswith("bidsclf: ") for line in answer.stderr.splitlines())


def test_no_words_at_all_say_what_is_expected():
    answer = run()
    assert answer.returncode == 2
    assert "bids_dir, output_dir, level missing" in answer.stderr


@pytest.fixture
def level(tmp_path, monkeypatch):
    """Return a function that runs a level whose work is the function given."""

    def call(work, *words):
        workflow = types.SimpleNamespace(run_participant=work)
        monkeypatch.setattr(cli, "import_module", lambda name: workflow)
        monkeypatch.setattr(cli.os, "environ", {})
        (tmp_path / "bids").mkdir(exist_ok=True)
        folders = [str(tmp_path / "bids"), str(tmp_path / "out")]
        return cli.main([*folders, "participant", *words])

    return call


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("participants.tsv is absent"), 3),
        (FitError("one class"), 4),
        (NothingMatched("nobody"), 3),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
    ],
)
def test_what_a_user_can_mend_has_its_code_and_no_traceback(level, capsys, error, code):
    def work(config, *, command):
        raise error

    assert level(work) == code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.startswith("bidsclf: ")


def test_a_bug_keeps_its_traceback(level, capsys):
    def work(config, *, command):
        raise ZeroDivisionError("ours")

    assert level(work) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 4, 5])
def test_the_workflow_s_code_is_the_app_s(level, code):
    assert level(lambda config, *, command: code) == code


def test_a_workflow_gets_its_settings_and_the_command(level):
    seen = {}

    def work(config, *, command):
        seen.update(config=config, command=command, environ=dict(cli.os.environ))
        return 0

    level(work, "--omp-nthreads", "3", "--task-id", "a b")
    assert seen["config"].selection.task_id == ("a", "b")
    assert seen["command"].startswith("run.py ")
    assert seen["command"].endswith("--task-id 'a b'")
    assert seen["environ"]["NO_ET"] == seen["environ"]["NIPYPE_NO_ET"] == "1"
    assert seen["environ"]["OMP_NUM_THREADS"] == "3"


def test_models_are_known_before_a_group_starts(tmp_path, capsys):
    words = [str(tmp_path), str(tmp_path / "out"), "group", "--models"]
    assert cli.main([*words, "fc-smv", "zzz"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "Did you mean 'fc-svm'?" in said[0]
    assert "'zzz'; there are: " in said[1]


def test_every_source_is_listed_by_its_file(capsys):
    with pytest.raises(SystemExit) as left:
        cli.data_main(["--help"])
    assert left.value.code == 0
    assert "simulate" in capsys.readouterr().out


def test_a_source_s_error_has_its_code(tmp_path, capsys):
    assert cli.data_main(["simulate", str(tmp_path / "o"), "--nprocs", "0"]) == 2
    assert capsys.readouterr().err.startswith("bidsclf: --nprocs is 0")
