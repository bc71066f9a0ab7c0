"""fit_fold and bundles: who is learned from, whose score it is, what is kept."""

import json
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from bidsclf.crossval import (
    Recipe,
    fit_fold,
    load_bundle,
    permute_fold,
    predict_people,
    save_bundle,
    score_people,
)
from bidsclf.crossval.recipe import begun
from bidsclf.errors import BidsclfError, ConfigError, InputError
from bidsclf.folds import Fold
from bidsclf.models import _base
from bidsclf.models._base import Variant, find, prepared
from bidsclf.models._rows import take

Y = np.tile([0, 1], 10)
FOLD = Fold(2, 3, np.arange(4, 16), np.arange(16, 20), np.array([3, 0]))


class Spy:
    """A classifier that remembers what it was given; a row's score is its value."""

    def __init__(self, seed=0, device="cpu"):
        self.seed = seed

    def fit(self, x, y, valid=None, people=None):
        self.seen = (x.tolist(), y.tolist(), valid, people.tolist())
        return self

    def predict_score(self, x):
        return x.astype(float)

    def notes(self):
        return {"seed": self.seed}


@pytest.fixture(params=[False, True])
def spy(request, monkeypatch):
    variant = Variant(input="none", make=Spy, needs_valid=request.param)
    monkeypatch.setattr("bidsclf.crossval.fold.find", lambda name: variant)
    return variant


def test_learns_from_train_and_from_valid_unless_it_stops_early(spy):
    rows = np.repeat(np.arange(20), 2)
    x = np.arange(40) / 100
    x_train, y_train, valid, people = fit_fold(
        x, Y, rows, FOLD, Recipe(variant="spy")
    ).model.seen
    learned = np.arange(8, 32 if spy.needs_valid else 40)
    assert x_train == x[learned].tolist()
    assert y_train == Y[rows[learned]].tolist()
    assert people == rows[learned].tolist()
    if spy.needs_valid:
        np.testing.assert_array_equal(valid[0], x[32:])
        np.testing.assert_array_equal(valid[1], Y[rows[32:]])
    else:
        assert valid is None


def test_inner_folds_are_told_of_families_and_of_repeated_draws(spy):
    rows, families = np.repeat(np.arange(20), 2), np.arange(20) // 3
    fold = Fold(1, 1, np.array([4, 4, 7]), np.array([9, 9]), np.array([0]))
    traits = pd.DataFrame({"site": "A", "group": families})
    seen = fit_fold(
        np.arange(40) / 100, Y, rows, fold, Recipe(variant="spy"), traits=traits
    ).model.seen
    people = [4, 4, 4, 4, 7, 7] + ([] if spy.needs_valid else [9, 9, 9, 9])
    assert seen[1] == Y[people].tolist()
    assert seen[3] == families[people].tolist()


def test_a_model_without_held_out_rows_is_not_calibrated(spy):
    rows, x = np.arange(20), np.arange(20) / 20
    result = fit_fold(x, Y, rows, FOLD, Recipe(variant="spy"))
    assert result.temperature is None
    assert result.notes["temperature"] is None
    np.testing.assert_array_equal(result.probabilities, result.scores)


def test_permuted_labels_reach_every_fit_with_the_same_seed(spy):
    """Where a model has no faster way it is fitted again, valid part and all."""

    class Voter(Spy):
        made: ClassVar[list] = []

        def predict_score(self, x):
            self.made.append(self)
            valid = [] if self.seen[2] is None else self.seen[2][1].tolist()
            return x + sum(self.seen[1]) + 100 * sum(valid)

    made = replace(spy, make=Voter)
    rows, x = np.repeat(np.arange(20), 2), np.arange(40) / 100
    labels = np.array([Y, 1 - Y, np.sort(Y)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bidsclf.crossval.fold.find", lambda name: made)
        found = permute_fold(x, labels, rows, FOLD, Recipe(variant="spy"))
        recipe = Recipe(variant="spy")
        each = [fit_fold(x, y, rows, FOLD, recipe).scores for y in labels]
    np.testing.assert_allclose(found, each)
    assert len({one.seed for one in Voter.made}) == 1


def test_settings_and_source_reach_every_fit_once(monkeypatch):
    """A source person is learned from before anyone, once for all permutations."""

    class Taught(Spy):
        made: ClassVar[list] = []

        def __init__(self, seed=0, device="cpu", gain=1.0):
            super().__init__(seed)
            self.gain, self.taught = gain, []

        def learn_from(self, x):
            assert not hasattr(self, "seen")
            self.made.append(x)
            self.taught = x

        def fit(self, *given, **more):
            assert not hasattr(self, "seen")
            return super().fit(*given, **more)

        def predict_score(self, x):
            return self.gain * x + sum(self.taught) + sum(self.seen[1])

    variant = Variant(input="none", make=Taught, source=True)
    monkeypatch.setattr("bidsclf.crossval.fold.find", lambda name: variant)
    rows, x = np.arange(20), np.arange(20) / 100
    recipe = Recipe(variant="spy", settings={"gain": 2.0}, source=[0.25, 0.5])
    labels = np.array([Y, 1 - Y, np.sort(Y)])
    found = permute_fold(x, labels, rows, FOLD, recipe)
    assert len(Taught.made) == 1
    each = [fit_fold(x, y, rows, FOLD, recipe).scores for y in labels]
    np.testing.assert_allclose(found, each)
    np.testing.assert_allclose(each[0], 2 * x[FOLD.test] + 0.75 + 8)
    untaught = replace(variant, source=False)
    monkeypatch.setattr("bidsclf.crossval.fold.find", lambda name: untaught)
    assert fit_fold(x, Y, rows, FOLD, recipe).model.taught == []


def test_a_fit_is_told_its_name_and_where_it_may_keep_what_it_learned(tmp_path):
    recipe = Recipe(variant="meanmlp", checkpoint=tmp_path)
    model = begun(find("meanmlp"), recipe, FOLD)
    assert model.folder == tmp_path
    assert model.name == f"meanmlp, repeat {FOLD.repeat}, fold {FOLD.fold}"
    assert begun(find("meanmlp"), replace(recipe, checkpoint=None), FOLD).folder is None


def test_a_person_s_score_is_the_mean_of_the_rows_in_the_order_of_the_fold(spy):
    rows = np.array([0, 3, 3, *range(4, 20)])
    x = np.array([0.1, 0.2, 0.6, *np.zeros(16)])
    result = fit_fold(x, Y, rows, FOLD, Recipe(variant="spy"))
    np.testing.assert_allclose(result.scores, [0.4, 0.1])


def test_who_has_no_row_has_no_score():
    scores = predict_people(Spy(), np.array([0.5]), np.array([1]), 3)
    np.testing.assert_array_equal(scores, [np.nan, 0.5, np.nan])


def test_each_fit_has_a_seed_of_its_own():
    folds = [FOLD, Fold(1, 3, *[np.empty(0, int)] * 3), Fold(2, 1, *[np.arange(0)] * 3)]
    seeds = {
        Recipe(variant=name, seed=seed).seed_of(fold)
        for name in ("fc-svm", "fc-logistic")
        for seed in (0, 1)
        for fold in folds
    }
    assert len(seeds) == 12
    assert seeds == {seed for seed in seeds if 0 <= seed < 2**31}


def test_rows_and_features_of_other_lengths_are_refused():
    with pytest.raises(InputError, match="19 rows of features and 20 rows"):
        fit_fold(np.zeros(19), Y, np.arange(20), FOLD, Recipe(variant="fc-svm"))


def bundle(folder):
    x = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    x[:, 0] += 3 * Y
    result = fit_fold(
        prepared("fc-svm", x), Y, np.arange(20), FOLD, Recipe(variant="fc-svm")
    )
    context = {"labels": {"0": "control", "1": "autism"}, "training": ["sub-1"]}
    path = save_bundle(folder, result.fitted, variant="fc-svm", context=context)
    return x, result, path


def test_a_bundle_is_self_contained_and_replaces_the_one_before(tmp_path):
    x, result, path = bundle(tmp_path / "final")
    bundle(tmp_path / "final")
    fitted, described = load_bundle(tmp_path / "final")
    scores, told, harmonized = score_people(fitted, x[[3, 0]], np.arange(2), 2)
    np.testing.assert_array_equal(scores, result.scores)
    np.testing.assert_array_equal(told, result.probabilities)
    assert harmonized.tolist() == ["none", "none"]
    assert described == json.loads(path.read_text())
    assert described["context"]["labels"]["1"] == "autism"
    assert described["settings"] | {"temperature": result.temperature} == result.notes
    assert {"bidsclf", "numpy", "scikit-learn"} <= set(described["versions"])
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "model.json",
        "model.safetensors",
    ]


def test_a_bundle_is_made_again_with_its_settings(tmp_path, monkeypatch):
    _, result, path = bundle(tmp_path)
    made, plain = [], _base.find("fc-svm").make

    def make(**settings):
        made.append(settings)
        return plain()

    monkeypatch.setattr(
        "bidsclf.crossval.bundle.find", lambda name: Variant(input="none", make=make)
    )
    settings = {"layers": (60, 50), "rate": 0.1, "mask": True}
    save_bundle(
        tmp_path, result.fitted, variant="fc-svm", context={}, made_with=settings
    )
    load_bundle(tmp_path)
    assert made == [settings]
    described = json.loads(path.read_text())
    del described["made_with"]  # as older versions wrote it
    path.write_text(json.dumps(described))
    load_bundle(tmp_path)
    assert made[1] == {}


@pytest.mark.parametrize("lost", ["model.json", "model.safetensors"])
def test_half_a_bundle_is_refused(tmp_path, lost):
    bundle(tmp_path)
    (tmp_path / lost).unlink()
    with pytest.raises(InputError, match=rf"has no {lost}; .*--model"):
        load_bundle(tmp_path)


def test_a_damaged_or_foreign_bundle_is_refused(tmp_path):
    _, _, path = bundle(tmp_path)
    described = json.loads(path.read_text())
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="are not of one model"):
        load_bundle(tmp_path)
    path.write_text(json.dumps(described | {"variant": "fc-smv"}))
    with pytest.raises(ConfigError, match="Did you mean 'fc-svm'"):
        load_bundle(tmp_path)


def test_an_error_says_which_model_and_fold():
    x = np.zeros((20, 4), np.float32)
    with pytest.raises(BidsclfError, match=r"^fc-svm, repeat 2, fold 3: the training"):
        fit_fold(
            prepared("fc-svm", x), 0 * Y, np.arange(20), FOLD, Recipe(variant="fc-svm")
        )


def test_models_that_share_their_rows_share_a_folder():
    keys = {name: _base.prepare_key(name) for name in _base.variants()}
    assert keys["fc-svm"] == keys["fc-logistic"]
    assert keys["fc-svm-tangent"] != keys["fc-svm-logeuclidean"]
    assert keys["cnn3d"] == keys["cnnlstm"] != keys["meanmlp"]
    assert keys["cvae"] == keys["vae"] != keys["cnn3d"]
    assert len(set(keys.values())) == 10
    assert all(key.replace("-", "").isalnum() for key in keys.values())


def test_taking_rows_keeps_a_list_a_list():
    assert take(["a", "b", "c"], np.array([2, 0])) == ["c", "a"]
