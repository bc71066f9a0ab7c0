"""Effects whose place is known: models that see order find it, edges cannot.

The static effect lies on correlations, the dynamic one in temporal order alone.
"""

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bidsclf.evaluate.delong import Interval, delong_interval
from bidsclf.features._atlas import load_atlas
from bidsclf.models._base import find, prepared
from bidsclf.sources import _signals, _study
from bidsclf.sources._settings import StudyConfig

ROOT = Path(__file__).parents[1]
TIMES_S = (1.7, 2.0, 2.3, 2.6)  # sites differ in their repetition time
NOISE = 0.3  # of a region's mean, in standard deviations of its own sources
QUICK = {"n_epochs": 4, "per_person": 20}


@cache
def regions() -> tuple[str, ...]:
    return load_atlas("aal").regions


def series_of(config: StudyConfig, number: int) -> np.ndarray:
    """The series of a person, without an image in between; odd numbers are patients."""
    is_patient, rng = bool(number % 2), np.random.default_rng([config.seed, number])
    edges, shift = _study.edges(), _study.edge_shift(config, is_patient=is_patient)
    traits = _signals.draw_traits(edges, len(regions()), shift=shift, rng=rng)
    wave = _study.wave_direction(config, is_patient=is_patient)
    series = _signals.neural(
        regions(),
        edges,
        replace(traits, wave=wave),
        n_volumes=config.n_volumes,
        tr_s=TIMES_S[number // 2 % len(TIMES_S)],
        rng=rng,
    )
    noise = NOISE * rng.normal(size=series.shape)
    return (series + noise).astype(np.float32)


def auc(model: str, config: StudyConfig, n_train: int, **settings: Any) -> Interval:
    """Fit to the first people, a fourth of them to stop, and test the others."""
    loaded: Any = [series_of(config, number) for number in range(config.n_subjects)]
    variant, y = find(model), np.arange(config.n_subjects) % 2
    if variant.input == "fisherz":
        pairs = np.triu_indices(len(regions()), k=1)
        loaded = np.stack([np.arctanh(np.corrcoef(x.T)[pairs]) for x in loaded])
    rows = prepared(model, loaded)
    train, test = np.arange(n_train), np.arange(n_train, config.n_subjects)
    fitted = variant.make(seed=0, device="cpu", **settings)
    if variant.needs_valid:
        learn, stop = train[: -n_train // 4], train[-n_train // 4 :]
        fitted.fit(rows[learn], y[learn], valid=(rows[stop], y[stop]))
    else:
        fitted.fit(rows[train], y[train])
    return delong_interval(y[test], fitted.predict_score(rows[test]))


DYNAMIC = StudyConfig(effect_kind="dynamic", n_subjects=150, n_volumes=80)


def test_order_in_time_is_learned_by_an_lstm_and_not_from_edges():
    found = auc("lstm-d", DYNAMIC, 50, **QUICK)
    assert found.low > 0.8
    edges = auc("fc-svm", DYNAMIC, 50)
    assert edges.low < 0.5 < edges.high


def test_without_an_effect_nobody_finds_one():
    """One draw of people may lie outside 95 %; three standard errors hold it."""
    nothing = replace(DYNAMIC, effect=0.0)
    found = auc("lstm-d", nothing, 50, **QUICK | {"n_epochs": 2})
    assert abs(found.estimate - 0.5) < 3 * found.sd


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lstm-s", "lstm-h", "lstm-dg"])
def test_every_lstm_learns_order_in_time(model):
    assert auc(model, DYNAMIC, 50, **QUICK).low > 0.8


@pytest.mark.slow
def test_a_static_effect_is_found_from_edges_and_by_an_lstm():
    """Edges hold it as it is; an LSTM has to find it, and needs more people."""
    static = StudyConfig(effect=1.5, n_subjects=300, n_volumes=90)
    assert auc("fc-svm", static, 200).low > 0.9
    for model in ("lstm-s", "lstm-d", "lstm-dg"):
        found = auc(model, static, 200, n_epochs=4, monitor="auc")
        assert found.low > 0.5, model


@pytest.mark.slow
def test_the_whole_line_keeps_a_dynamic_effect(tmp_path):
    study, out = tmp_path / "study", tmp_path / "out"
    words = ["--effect-kind", "dynamic", "--n-subjects", "40", "--n-sites", "2",
             "--resolution-mm", "8", "--n-volumes", "90"]  # fmt: skip
    code = "import sys; from bidsclf.cli import data_main; sys.exit(data_main())"
    run = [sys.executable, ROOT / "run.py", study, out]
    models = ["--models", "lstm-dg", "fc-svm", "--n-folds", "4"]
    less = ["--n-bootstrap", "100"]
    for command in (
        [sys.executable, "-c", code, "simulate", study, *words],
        [*run, "participant"],
        [*run, "group", *models, *less],
    ):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
    table = pd.read_csv(out / "derivatives" / "main" / "metrics.tsv", sep="\t")
    pooled = table.query("metric == 'auc' and scope == 'pooled' and method == 'delong'")
    pooled = pooled.set_index("model")
    assert pooled.loc["lstm-dg", "low"] > 0.8
    assert pooled.loc["fc-svm", "low"] < 0.5 < pooled.loc["fc-svm", "high"]
