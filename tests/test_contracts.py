"""What every model must hold; a new one is tested the moment its file exists."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from bidsclf.crossval import Recipe, fit_fold, load_bundle, save_bundle, score_people
from bidsclf.errors import FitError
from bidsclf.folds import Fold
from bidsclf.models._base import find, prepared, variants
from bidsclf.models._rows import take

N, N_REGIONS = 36, 5
Y = np.tile([0, 1], N // 2)
QUICK = {"learning_rate": 0.03, "batch_size": 8}
STACKED = QUICK | {"n_epochs": 30, "dropout": 0.0, "units": (8, 4)}
WINDOWED = {"learning_rate": 0.02, "n_epochs": 12, "per_person": 8, "n_hidden": 8}
IMAGES = {"learning_rate": 0.01, "batch_size": 8, "n_epochs": 12, "width": 4}
IMAGES |= {"dropout": 0.0, "patience": 12}
OVER_TIME = IMAGES | {"n_steps": 5, "n_hidden": 8}
MAPS = {"learning_rate": 0.01, "batch_size": 8, "n_epochs": 20, "width": 4}
MAPS |= {"n_hidden": 16}
LONGER = {"n_epochs": 40, "patience": 40}
SLOW = (  # networks that learn as the others of their file do
    "cvae-published",
    *(
        f"resnet3d-{kind}"
        for kind in (
            "a-bigru", "b-bilstm", "c-bilstm", "c-bigru", "d-bilstm", "d-bigru"
        )
    ),
)  # fmt: skip
SETTINGS = {  # small, so that the suite stays fast
    "dtl": QUICK | {"n_epochs": 60, "layers": (16, 8), "source_epochs": (10,)},
    "hmm": {"states": (2, 3), "n_iter": 10},
    "rsnlstm": STACKED,
    "rsnlstm-notebook": STACKED,
    "cnn3d": IMAGES | LONGER | {"n_steps": 5},
    "cnn3d-gru": OVER_TIME,
    "cnn4d": IMAGES | {"n_steps": 5},
    "cnnlstm": IMAGES | {"n_hidden": 8, "stride": 2},
    "cvae": MAPS | {"n_background": 4, "n_salient": 4},
    "cvae-published": MAPS | {"n_background": 4, "n_salient": 4},
    "vae": MAPS | {"n_latent": 8},
}
SETTINGS |= {f"lstm-{kind}": WINDOWED for kind in ("s", "d", "h", "dg")}
SETTINGS |= {
    f"resnet3d-{depth}-bi{cell}": OVER_TIME | (LONGER if depth in "cd" else {})
    for depth in "abcd"
    for cell in ("lstm", "gru")
}
FOLD = Fold(1, 1, np.arange(6, 28), np.arange(28, N), np.arange(6))
ALL = np.arange(N)


def series(seed: int = 0) -> list[np.ndarray]:
    """Regions 0 and 1 agree in class 1 only, and region 0 is pushed up."""
    rng, made = np.random.default_rng(seed), []
    for label in Y:
        one = rng.normal(size=(rng.integers(55, 65), N_REGIONS))
        if label:
            one[:, 1] = one[:, 0] + 0.3 * one[:, 1]
            one = np.where(one > 1, 3 * one, one)
        made.append(((one - one.mean(0)) / one.std(0)).astype(np.float32))
    return made


def images(seed: int = 0) -> list[np.ndarray]:
    """Class 1 has a bright corner, and another one that gets brighter with time."""
    rng, made = np.random.default_rng(seed), []
    for label in Y:
        one = 1 + rng.normal(size=(rng.integers(7, 9), 8, 6, 7)) / 4
        if label:
            one[:, :4, :3] += 1
            one[:, 4:, 3:] += np.linspace(-1, 1, len(one))[:, None, None, None]
        made.append(one.astype(np.float32))
    return made


def maps(seed: int = 0) -> list[np.ndarray]:
    """Class 1 has more in a corner."""
    rng = np.random.default_rng(seed)
    made = rng.random((N, 1, 8, 8, 8), np.float32)
    made[Y == 1, :, :5, :5, :5] += 1.5
    return list(made)


def _to_unit(matrix: np.ndarray) -> np.ndarray:
    root = np.sqrt(np.diag(matrix))
    return matrix / np.outer(root, root)


@cache
def toy(kind: str, seed: int = 0) -> object:
    """Rows that a model of this input can tell apart."""
    rng, upper = np.random.default_rng(seed), np.triu_indices(N_REGIONS, k=1)
    covariances = [np.cov(one.T) for one in series(seed)]
    edges = {
        "fisherz": lambda c: np.arctanh(0.99 * np.corrcoef(c)[upper]),
        "partialcorrelation": lambda c: -_to_unit(np.linalg.inv(c))[upper],
    }
    push = 2.0 * Y + rng.normal(size=N) / 4
    if kind in edges:
        return np.array([edges[kind](c) for c in covariances], np.float32)
    return {
        "timeseries": lambda: series(seed),
        "volume": lambda: images(seed),
        "graymatter": lambda: maps(seed),
        "covariance": lambda: np.array(covariances, np.float32),
        "phenotype": lambda: pd.DataFrame(
            {"age": 10 + push, "sex": np.where(rng.random(N) < 0.5, "F", "M")}
        ),
        "motion": lambda: pd.DataFrame({"mean_fd": push, "n_volumes": 180}),
        "site": lambda: pd.DataFrame({"site": np.where(Y, "A", "B")}),
    }[kind]()


def with_rows(loaded: object, rows: np.ndarray) -> object:
    """Return a copy whose given rows come from elsewhere and are extreme."""
    changed = [np.array(one) for one in loaded] if isinstance(loaded, list) else None
    if changed is not None:
        for row in rows:
            changed[row] = 9 * changed[row][::-1, ::-1]
        return changed
    if isinstance(loaded, pd.DataFrame):
        frame = loaded.copy()
        for name in frame:
            frame[name] = frame[name].astype(object)
            frame.loc[rows, name] = "X" if isinstance(frame[name][0], str) else 1e6
        return frame
    array = loaded.copy()
    array[rows] = array[rows] + (7 * np.eye(N_REGIONS) if array.ndim == 3 else 0.9)
    return array


def named() -> list:
    """Every model; those of ``SLOW`` are marked so."""
    marks = {name: pytest.mark.slow for name in SLOW}
    return [pytest.param(v, marks=marks.get(v, ())) for v in variants()]


@pytest.fixture(params=named())
def name(request):
    return request.param


def recipe(name, seed=0):
    return Recipe(variant=name, seed=seed, settings=SETTINGS.get(name, {}))


def fit(name, loaded, fold=FOLD, y=Y, seed=0):
    torch.set_num_threads(1)
    return fit_fold(prepared(name, loaded), y, ALL, fold, recipe(name, seed))


@cache
def fitted(name):
    return fit(name, toy(find(name).input))


def save(folder, name, result, context):
    made_with = SETTINGS.get(name, {})
    save_bundle(
        folder, result.fitted, variant=name, context=context, made_with=made_with
    )


def test_learns_a_separable_toy_with_scores_of_the_right_shape(name):
    result = fitted(name)
    assert result.scores.shape == (6,)
    assert result.scores.dtype == np.float64
    assert ((result.scores >= 0) & (result.scores <= 1)).all()
    assert ((result.scores > 0.5) == Y[FOLD.test]).all()


def test_the_same_seed_gives_the_same_numbers(name):
    first = fitted(name).scores
    torch.rand(3)
    np.random.rand(3)  # noqa: NPY002 - the global state that must not matter
    state = torch.get_rng_state()
    again = fit(name, toy(find(name).input)).scores
    np.testing.assert_array_equal(again, first)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_bundle_predicts_the_same_and_holds_no_pickle(name, tmp_path):
    loaded = toy(find(name).input)
    result = fitted(name)
    save(tmp_path, name, result, {"labels": {"0": "a"}})
    again, described = load_bundle(tmp_path)
    x = take(prepared(name, loaded), FOLD.test)
    scores, told, _ = score_people(again, x, np.arange(6), 6)
    np.testing.assert_array_equal(scores, result.scores)
    np.testing.assert_array_equal(told, result.probabilities)
    assert described["variant"] == name
    assert described["context"] == {"labels": {"0": "a"}}
    files = {path.name for path in Path(tmp_path).rglob("*")}
    assert files == {"model.json", "model.safetensors"}
    assert load_file(tmp_path / "model.safetensors")


def test_one_person_scores_as_in_a_crowd(name):
    loaded = toy(find(name).input)
    result = fitted(name)
    for row in FOLD.test:
        alone = prepared(name, take(loaded, np.array([row])))
        score = result.model.predict_score(alone)
        np.testing.assert_allclose(score, result.scores[[row]], rtol=1e-5, atol=1e-7)


def test_the_order_of_people_does_not_matter(name):
    """Labels are noisy here, so that the choices of a model hang by a thread."""
    rng = np.random.default_rng(5)
    order, y = rng.permutation(N), Y ^ (rng.random(N) < 0.3)
    loaded, place = toy(find(name).input), np.argsort(order)
    moved = Fold(1, 1, *(place[part] for part in (FOLD.train, FOLD.valid, FOLD.test)))
    here, there = (
        fit(name, loaded, y=y),
        fit(name, take(loaded, order), moved, y[order]),
    )
    np.testing.assert_allclose(there.scores, here.scores, rtol=1e-4, atol=1e-5)


def test_changing_test_rows_changes_no_fitted_number(name, tmp_path):
    loaded, other = toy(find(name).input), FOLD.test[1:]
    changed, y = with_rows(loaded, other), Y.copy()
    y[other] = 1 - y[other]
    first, second = fitted(name), fit(name, changed, y=y)
    assert first.notes == second.notes
    for place, result in (("a", first), ("b", second)):
        save(tmp_path / place, name, result, {})
    for file in ("model.json", "model.safetensors"):
        one, two = ((tmp_path / place / file).read_bytes() for place in "ab")
        assert one == two
    assert first.scores[0] == second.scores[0]


def test_rows_of_one_person_are_averaged(name):
    loaded = toy(find(name).input)
    twice = take(loaded, np.repeat(ALL, 2))
    rows = np.repeat(ALL, 2)
    result = fit_fold(prepared(name, twice), Y, rows, FOLD, recipe(name))
    each = result.model.predict_score(prepared(name, take(loaded, FOLD.test)))
    np.testing.assert_allclose(result.scores, each, rtol=1e-5, atol=1e-7)


def test_one_class_is_refused_with_the_place_and_the_counts(name):
    loaded = toy(find(name).input)
    with pytest.raises(FitError, match=rf"^{name}, repeat 1, fold 1: .*two classes"):
        fit(name, loaded, y=np.zeros(N, int))


def test_names_stay_distinct_where_a_dash_is_not_allowed():
    stripped = [name.replace("-", "") for name in variants()]
    assert len(set(stripped)) == len(stripped)
    assert all(word.isalnum() for word in stripped)
