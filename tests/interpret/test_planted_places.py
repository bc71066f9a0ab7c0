"""Maps are largest where an effect was planted, of networks that learned it."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bidsclf.interpret.maps import average_person, gradient_map, occlusion_map
from bidsclf.models._base import find
from bidsclf.models._volumes import Volumes

SIDE, N_STEPS, N_PEOPLE = 16, 4, 60
AT = np.indices((SIDE,) * 3)
BRAIN = sum((AT[axis] - 7.5) ** 2 for axis in range(3)) < 7.5**2
PLACE = sum((AT[axis] - at) ** 2 for axis, at in enumerate((11, 6, 9))) < 9
TRAIN, VALID, TEST = np.arange(36), np.arange(36, 44), np.arange(44, N_PEOPLE)
SETTINGS = {
    "n_steps": N_STEPS, "batch_size": 8, "n_epochs": 40, "patience": 40,
    "learning_rate": 3e-3,
}  # fmt: skip


@pytest.fixture(scope="module")
def scans() -> Volumes:
    """Every second person has a higher level and a wave in one place."""
    rng, made = np.random.default_rng(0), []
    for person in range(N_PEOPLE):
        level = 1 + 0.05 * rng.normal(size=BRAIN.shape)
        scan = level + 0.05 * rng.normal(size=(N_STEPS, *BRAIN.shape))
        if person % 2:
            phase = np.pi / 2 * np.arange(N_STEPS) + rng.uniform(0, 2 * np.pi)
            scan[:, PLACE] += 0.15 + 0.1 * np.sin(phase)[:, None]
        made.append((scan * BRAIN).astype(np.float32))
    return Volumes.of(made)


def place_of(values):
    return np.unravel_index(values.argmax(), values.shape)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        pytest.param("cnn3d", {"width": 4}, id="cnn3d"),
        pytest.param(
            "resnet3d-a-bilstm",
            {"width": 8, "n_hidden": 16, "dropout": 0.1},
            id="resnet3d-a-bilstm",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_maps_peak_where_the_effect_was_planted(scans, name, own):
    y = np.arange(N_PEOPLE) % 2
    model = find(name).make(seed=0, **SETTINGS, **own)
    model.fit(scans[TRAIN], y[TRAIN], (scans[VALID], y[VALID]))
    assert roc_auc_score(y[TEST], model.decide(scans[TEST])) >= 0.9
    average = average_person(scans[TRAIN])
    for make in (gradient_map, occlusion_map):
        found = make(model, scans[TEST], average=average)
        assert PLACE[place_of(found.size)], make.__name__
        ratio = found.size[PLACE].mean() / found.size[BRAIN].mean()
        assert ratio > 1.5, (make.__name__, ratio)
        assert not found.size[~BRAIN].any()
    patients = occlusion_map(model, scans[TEST[y[TEST] == 1]], average=average)
    assert patients.signed[PLACE].mean() > 0  # without it they look like the others
