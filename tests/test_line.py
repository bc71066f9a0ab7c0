"""The whole line from outside: simulate, participant, group, predict, kill, repeat."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
HIDDEN = (".bidsclf", "logs")


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "run.py", *map(str, words)],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def simulate(folder: Path, *words: object) -> Path:
    code = "import sys; from bidsclf.cli import data_main; sys.exit(data_main())"
    subprocess.run(
        [sys.executable, "-c", code, "simulate", folder, *map(str, words)],
        check=True, capture_output=True, timeout=600,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Sixteen people of two sites on a coarse grid."""
    folder = tmp_path_factory.mktemp("small") / "study"
    words = (
        "--n-subjects",
        16,
        "--n-sites",
        2,
        "--resolution-mm",
        8,
        "--n-volumes",
        90,
    )
    return simulate(folder, *words, "--resolution-mm", 8)


@pytest.fixture(scope="module")
def reference(small) -> Path:
    """What the participant level makes of them, undisturbed."""
    out = small.parent / "reference"
    done = run(small, out, "participant", "--nprocs", 2)
    assert done.returncode == 0, done.stderr
    return out


def results(out: Path) -> dict[str, bytes]:
    """Every result by name; reports and logs hold times, so they are left out."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.glob("sub-*/**/*"))
        if path.is_file() and not path.name.startswith(".")
    }


def partials(out: Path) -> list[Path]:
    return [path for path in out.rglob("*") if ".partial-" in path.name]


def units(out: Path) -> list[dict[str, object]]:
    newest = max(out.glob("logs/*/summary.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text(encoding="utf-8"))["units"]


def test_the_line_runs_to_a_report_and_scores_new_people(small, reference, tmp_path):
    done = run(small, reference, "group", "--n-folds", 4, "--n-bootstrap", 100)
    assert done.returncode == 0, done.stderr
    analysis = reference / "derivatives" / "main"
    predictions = pd.read_csv(analysis / "predictions.tsv", sep="\t")
    assert set(predictions.groupby("model").size()) == {16}
    assert predictions["score"].between(0, 1).all()
    assert (analysis / "report.html").stat().st_size > 10_000

    bundle = analysis / "models" / "fc-svm" / "final"
    refused = run(small, reference, "predict", "--model", bundle)
    assert refused.returncode != 0
    assert "this person (the same label" in refused.stderr

    study = simulate(tmp_path / "new", "--n-subjects", 4, "--n-sites", 2, "--seed", 9,
                     "--resolution-mm", 8, "--n-volumes", 90)  # fmt: skip
    out = tmp_path / "out"
    assert run(study, out, "participant").returncode == 0
    done = run(study, out, "predict", "--model", bundle)
    assert done.returncode == 0, done.stderr
    (scores,) = out.glob("derivatives/*/predictions.tsv")
    assert len(pd.read_csv(scores, sep="\t")) == 4


def test_a_harmonized_model_scores_one_new_person(small, reference, tmp_path):
    words = ("--analysis-id", "combat", "--harmonize", "combat", "--covariates", "age")
    done = run(small, reference, "group", "--n-folds", 3, "--models", "fc-svm",
               "--n-bootstrap", 100, *words)  # fmt: skip
    assert done.returncode == 0, done.stderr
    analysis = reference / "derivatives" / "combat"
    assert (analysis / "harmonization.html").exists()

    study = simulate(tmp_path / "new", "--n-subjects", 4, "--n-sites", 2, "--seed", 9,
                     "--resolution-mm", 8, "--n-volumes", 90)  # fmt: skip
    one, out = ("--participant-label", "001"), tmp_path / "out"
    assert run(study, out, "participant", *one).returncode == 0
    bundle = analysis / "models" / "fc-svm" / "final"
    done = run(study, out, "predict", "--model", bundle, *one)
    assert done.returncode == 0, done.stderr
    (scores,) = out.glob("derivatives/*/predictions.tsv")
    found = pd.read_csv(scores, sep="\t")
    assert found["participant_id"].tolist() == ["sub-001"]
    assert found["harmonized"].tolist() == ["site"]


def test_one_corrupt_run_fails_alone(small, tmp_path):
    study = tmp_path / "study"
    subprocess.run(["cp", "-r", small, study], check=True)
    (image,) = study.glob("derivatives/fmriprep/sub-002/func/*desc-preproc_bold.nii.gz")
    image.write_bytes(image.read_bytes()[:-2000])
    out = tmp_path / "out"
    done = run(study, out, "participant", "--participant-label", "001", "002")
    assert done.returncode == 4, done.stderr
    assert image.name in done.stderr
    assert {u["unit"][:7] for u in units(out) if u["state"] == "failed"} == {"sub-002"}
    assert list(out.glob("sub-001/func/*timeseries.tsv"))
    assert not list(out.glob("sub-002/func/*"))
    assert "cut off" in (out / "sub-002.html").read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("nprocs", ["1", "2"])
def test_a_scheduler_that_ends_a_job_finds_it_tidy(small, tmp_path, nprocs):
    out, scratch = tmp_path / "out", tmp_path / "tmp"
    scratch.mkdir()
    job = subprocess.Popen(
        [sys.executable, ROOT / "run.py", small, out, "participant",
         "--nprocs", nprocs],
        env=os.environ | {"TMPDIR": str(scratch)}, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    while job.poll() is None and not list(out.glob(".bidsclf/staging/*")):
        time.sleep(0.01)
    job.terminate()
    _, said = job.communicate(timeout=60)
    assert job.returncode == 143, said
    assert "terminated; run it again" in said
    (summary,) = out.glob("logs/*/summary.json")
    assert json.loads(summary.read_text(encoding="utf-8"))["exit_code"] == 143
    assert not list(summary.parent.glob("crash-*"))
    assert not list(scratch.glob("bidsclf-*"))
    assert not list(out.glob(".bidsclf/staging/*"))


@pytest.mark.slow
def test_eight_jobs_at_once_make_what_one_makes(small, reference, tmp_path):
    out = tmp_path / "out"
    labels = [f"{number:03d}" for number in range(1, 9)]
    jobs = [
        subprocess.Popen(
            [sys.executable, ROOT / "run.py", small, out, "participant",
             "--participant-label", label],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for label in labels
    ]  # fmt: skip
    ended = [(job.communicate(timeout=600), job.returncode) for job in jobs]
    assert [code for _, code in ended] == [0] * 8, ended
    expected = {
        name: text
        for name, text in results(reference).items()
        if name.partition("/")[0].removeprefix("sub-") in labels
    }
    assert results(out) == expected
    people = pd.read_csv(out / "participants.tsv", sep="\t")["participant_id"]
    assert set(people) >= {f"sub-{label}" for label in labels}
    assert not partials(out)


@pytest.mark.slow
def test_a_job_killed_twenty_times_leaves_nothing_half_written(
    small, reference, tmp_path
):
    expected = {
        name: text
        for name, text in results(reference).items()
        if name.startswith("sub-001/")
    }
    words = [sys.executable, ROOT / "run.py", small]
    tail = ["participant", "--participant-label", "001", "--nprocs", "2"]
    start = time.monotonic()
    whole = subprocess.run([*words, tmp_path / "whole", *tail], check=False)
    seconds = time.monotonic() - start
    assert whole.returncode == 0
    rng = random.Random(0)
    for attempt in range(20):
        out = tmp_path / f"out{attempt}"
        job = subprocess.Popen(
            [*words, out, *tail], start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        # nothing is written before the imports are over, a third of the time
        time.sleep(seconds * rng.uniform(0.3, 1.0))
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        left = results(out)
        assert left == {name: expected[name] for name in left}
        again = subprocess.run([*words, out, *tail], capture_output=True, check=False)
        assert again.returncode == 0, again.stderr
        assert results(out) == expected
        assert not partials(out)
        assert not list((out / ".bidsclf").glob("staging/*"))
