"""An effect in the image alone: every network of volumes finds it, and none without it.

In patients two spheres outside the atlas have a raised mean and a wave between them
(``bidsclf-data simulate --effect-kind volume``).
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
import torch

from bidsclf.evaluate.delong import Interval, delong_interval
from bidsclf.features._resize import axis_weights
from bidsclf.models._base import find, prepared, variants
from bidsclf.sources import _signals, _study
from bidsclf.sources._anatomy import Anatomy, load_anatomy
from bidsclf.sources._settings import StudyConfig
from bidsclf.sources._volumes import simulate_run

SIZE = 12  # cells along each axis; 34 is the default of --volume-size
STUDY = StudyConfig(
    effect_kind="volume", effect=2.0, n_subjects=320, n_sites=2, n_volumes=60,
    resolution_mm=8, seed=1,
)  # fmt: skip
SMALL = {  # for a CPU: narrower, with faster steps, than the defaults of --models
    "n_epochs": 20,
    "patience": 20,
    "learning_rate": 1e-3,
    "batch_size": 16,
    "dropout": 0.0,
    "width": 4,
    "n_steps": 8,
}
RECURRENT = SMALL | {"n_hidden": 16}
SLICES = RECURRENT | {"learning_rate": 3e-3, "width": 8, "stride": 2, "n_steps": 16}
SETTINGS = {"cnn3d": SMALL, "cnn4d": SMALL, "cnnlstm": SLICES | {"n_epochs": 12}}
MODELS = (
    *(f"resnet3d-{depth}-bi{cell}" for depth in "abcd" for cell in ("lstm", "gru")),
    "cnn3d",
    "cnn3d-gru",
    "cnn4d",
    "cnnlstm",
)
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks on several threads wait for each other."""
    torch.set_num_threads(1)


@cache
def anatomy() -> Anatomy:
    return load_anatomy(STUDY.resolution_mm, seed=STUDY.seed)


@cache
def images_of(config: StudyConfig) -> tuple[list[np.ndarray], np.ndarray]:
    """Images of everyone on a small grid, 1 the mean of brain and time; the labels."""
    brain, edges = anatomy(), ()
    sites = {site.name: site for site in _study.sites(config)}
    people, images = _study.people(config), []
    for number, person in people.iterrows():
        rng = np.random.default_rng([config.seed, number])
        is_patient = person["diagnosis"] == "patient"
        strength = _study.sphere_strength(config, is_patient=is_patient)
        traits = _signals.draw_traits(edges, len(brain.regions), shift=0, rng=rng)
        traits = replace(traits, spheres=strength)
        run = simulate_run(brain, edges, traits, sites[person["site"]], rng)
        images.append(small(run.volumes[1:] / run.volumes[1:].mean(), brain.mask))
    return images, (people["diagnosis"] == "patient").to_numpy(int)


def small(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return (T, SIZE, SIZE, SIZE) of (T, V): means of the brain in each cell."""
    weights = [
        axis_weights(n, SIZE, start=-0.5, step=n / SIZE).astype(np.float32)
        for n in mask.shape
    ]

    def resized(volumes: np.ndarray) -> np.ndarray:
        return np.einsum("ax,by,cz,txyz->tabc", *weights, volumes, optimize=True)

    whole = np.zeros((len(values), *mask.shape), np.float32)
    whole[:, mask] = values
    share = resized(mask[None].astype(np.float32))
    return np.where(share >= 0.5, resized(whole) / np.maximum(share, 0.5), 0)


def auc(model: str, config: StudyConfig, **others: Any) -> Interval:
    """Fit to the first half, a fourth of it to stop, and test the others."""
    images, y = images_of(config)
    rows, n_train = prepared(model, images), len(y) // 2
    learn, stop = np.arange(n_train * 3 // 4), np.arange(n_train * 3 // 4, n_train)
    test = np.arange(n_train, len(y))
    settings = SETTINGS.get(model, RECURRENT) | others
    fitted = find(model).make(seed=0, device="cpu", **settings)
    fitted.fit(rows[learn], y[learn], valid=(rows[stop], y[stop]))
    return delong_interval(y[test], fitted.predict_score(rows[test]))


def test_two_networks_find_the_spheres():
    fewer = replace(STUDY, n_subjects=128)
    for model in ("cnn3d-gru", "resnet3d-a-bilstm"):
        assert auc(model, fewer, n_epochs=10, batch_size=8).estimate >= 0.85, model


def test_without_spheres_a_network_finds_nothing():
    """One draw of people may lie outside 95 %; three standard errors hold it."""
    found = auc("cnn3d-gru", replace(STUDY, n_subjects=96, effect=0.0), n_epochs=5)
    assert abs(found.estimate - 0.5) < 3 * found.sd


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_network_of_volumes_finds_the_spheres(model):
    assert auc(model, STUDY).estimate >= 0.85


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_without_spheres_no_network_finds_any(model):
    """Of twelve intervals of 95 % one may miss .5; three standard errors hold it.

    Half the epochs of the others, for time.
    """
    n_epochs = SETTINGS.get(model, RECURRENT)["n_epochs"] // 2
    found = auc(model, replace(STUDY, effect=0.0), n_epochs=n_epochs)
    assert abs(found.estimate - 0.5) < 3 * found.sd


def test_all_networks_of_volumes_are_held_to_this():
    there = {name for name, one in variants().items() if one.input == "volume"}
    assert there == set(MODELS)


def test_regional_signals_do_not_hold_the_spheres():
    """The same people by their edges: the spheres lie outside of every region."""
    images = {}
    for effect in (0.0, 2.0):
        rng = np.random.default_rng(5)
        traits = _signals.draw_traits((), len(anatomy().regions), shift=0, rng=rng)
        (site, _), traits = _study.sites(STUDY), replace(traits, spheres=effect)
        run = simulate_run(anatomy(), (), traits, site, rng)
        images[effect] = run.volumes[:, anatomy().region >= 0]
    np.testing.assert_array_equal(images[0.0], images[2.0])


@pytest.mark.slow
def test_the_whole_line_keeps_the_spheres_and_harmonizes_embeddings(tmp_path):
    study, out = tmp_path / "study", tmp_path / "out"
    words = ["--effect-kind", "volume", "--effect", "2", "--n-subjects", "64",
             "--n-sites", "2", "--resolution-mm", "8", "--n-volumes", "60"]  # fmt: skip
    code = "import sys; from bidsclf.cli import data_main; sys.exit(data_main())"
    run = [sys.executable, ROOT / "run.py", study, out]
    small = ["n_epochs=10", "patience=10", "learning_rate=1e-3", "batch_size=8",
             "dropout=0", "width=4", "n_steps=8", "n_hidden=16"]  # fmt: skip
    models = ["cnn3d-gru", "resnet3d-a-bigru"]
    settings = [f"{model}:{word}" for model in models for word in small]
    for command in (
        [sys.executable, "-c", code, "simulate", study, *words],
        [*run, "participant", "--features", "volume", "--volume-size", str(SIZE)],
        [*run, "group", "--models", *models, "--n-folds", "2", "--harmonize", "combat",
         "--n-bootstrap", "100", "--model-settings", *settings],
    ):  # fmt: skip
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
    made = out / "derivatives" / "main"
    assert (made / "report.html").exists()
    table = pd.read_csv(made / "metrics.tsv", sep="\t")
    pooled = table.query("metric == 'auc' and scope == 'pooled' and method == 'delong'")
    assert (pooled.set_index("model").loc[models, "low"] > 0.6).all()
    embedding = pd.read_csv(made / "embedding.tsv", sep="\t")
    assert set(embedding["model"]) == set(models)
