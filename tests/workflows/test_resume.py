"""An analysis that was killed in the middle of a training goes on inside it."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from bidsclf.config import AnalysisConfig, Config, FoldConfig, RunConfig
from bidsclf.models.meanmlp import MeanMLP
from bidsclf.workflows.group import run_group

pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")
STEPS = (2, 2, 5)  # an epoch of each fit: two folds, and the final model
N_STEPS = 4 * sum(STEPS)
FOLD, FINAL = 14, 28  # steps of the third epoch of the second and of the last fit
KEPT = {FOLD: 4 * 2 + 2 * 2, FINAL: 4 * 2 + 4 * 2 + 2 * 5}


def config_of(out, work):
    settings = ("n_epochs=4", "batch_size=8", "monitor=last")
    return Config(
        bids_dir=out,
        output_dir=out,
        level="group",
        folds=FoldConfig(n_folds=2),
        analysis=AnalysisConfig(
            models=("meanmlp",),
            settings=tuple(f"meanmlp:{word}" for word in settings),
            n_bootstrap=100,
            device="cpu",
        ),
        run=RunConfig(work_dir=work),
    )


def counted(monkeypatch, kill_at=None):
    """Count training steps; the one numbered ``kill_at`` gets a signal."""
    steps, real = [], MeanMLP.loss

    def loss(self, batch, y, weight):
        if self.training:
            steps.append(len(y))
            if len(steps) == kill_at:
                signal.raise_signal(signal.SIGINT)
        return real(self, batch, y, weight)

    monkeypatch.setattr(MeanMLP, "loss", loss)
    return steps


def results(out):
    """Return the bytes of predictions and bundles."""
    analysis = out / "derivatives" / "main"
    paths = [analysis / "predictions.tsv", *(analysis / "models").rglob("*.*")]
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


SCRIPT = """
import os, signal, sys
from pathlib import Path
from bidsclf.cli import main
from bidsclf.models.meanmlp import MeanMLP

steps, real = [], MeanMLP.loss
def loss(self, *more):
    if self.training:
        steps.append(1)
        if len(steps) == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *more)
MeanMLP.loss = loss
out, work = sys.argv[2:]
words = ("n_epochs=4", "batch_size=8", "monitor=last")
main([
    out, out, "group", "--models", "meanmlp", "--n-folds", "2", "--model-settings",
    *(f"meanmlp:{word}" for word in words), "--n-bootstrap", "100", "--device", "cpu",
    "-w", work,
])
"""


def interrupt(out, work, monkeypatch, step):
    with monkeypatch.context() as patch:
        counted(patch, step)
        with pytest.raises(KeyboardInterrupt):
            run_group(config_of(out, work))


def kill(out, work, monkeypatch, step):
    command = [sys.executable, "-c", SCRIPT, str(step), str(out), str(work)]
    ended = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("stop", "step"),
    [(interrupt, FINAL), pytest.param(kill, FOLD, marks=pytest.mark.slow)],
)
def test_a_killed_training_ends_as_if_it_had_not_been(
    people, tmp_path, monkeypatch, stop, step
):
    whole, work = tmp_path / "whole", tmp_path / "work"
    shutil.copytree(people, whole)
    with monkeypatch.context() as patch:
        steps = counted(patch)
        assert run_group(config_of(whole, tmp_path / "other")) == 0
    assert len(steps) == N_STEPS
    stop(people, work, monkeypatch, step)
    assert [p.name for p in work.glob("*/checkpoints/*/*")] == ["fit.safetensors"]
    steps = counted(monkeypatch)
    assert run_group(config_of(people, work)) == 0
    assert len(steps) == N_STEPS - KEPT[step]
    assert len(results(people)) == 1 + 3 * 2
    assert results(people) == results(whole)
    assert not list(work.glob("*/checkpoints/*"))
