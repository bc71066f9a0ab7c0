"""No fitted number knows a test person, however people split and what harmonizes."""

import json
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from bidsclf.config import FoldConfig, HarmonizeConfig
from bidsclf.crossval import (
    Recipe,
    fit_fold,
    load_bundle,
    permute_fold,
    save_bundle,
    score_people,
)
from bidsclf.errors import InputError
from bidsclf.evaluate.calibration import temperature
from bidsclf.folds import Fold, make_folds
from bidsclf.models._base import find, prepared
from bidsclf.models._rows import take

N, N_REGIONS = 66, 6
METHODS = ("combat", "combat-gam", "covbat")
SCHEMES = {
    "kfold": (FoldConfig(n_folds=4), "refuse"),
    "loso-identity": (FoldConfig(scheme="loso"), "identity"),
    "loso-batch": (FoldConfig(scheme="loso"), "batch"),
    "bootstrap": (FoldConfig(scheme="bootstrap", n_repeats=1), "refuse"),
}
RNG = np.random.default_rng(3)
Y = RNG.permutation(np.arange(N) % 2)
SITE = np.array(list("ABC") * (N // 3), object)
TRAITS = pd.DataFrame(
    {
        "site": SITE,
        "age": RNG.uniform(6, 40, N) + 4 * (SITE == "B"),
        "sex": RNG.choice(["F", "M"], N),
    }
)
PEOPLE = pd.DataFrame(
    {"participant_id": [f"sub-{i:02d}" for i in range(N)], "y": Y, "site": SITE}
)
ALL = np.arange(N)


@cache
def loaded(kind: str) -> np.ndarray:
    """Features with an effect of site, of age and of the label."""
    rng = np.random.default_rng(1)
    shift = 0.4 * (SITE == "A") - 0.3 * (SITE == "C")
    made = []
    for at in range(N):
        series = rng.normal(size=(50, N_REGIONS)) * (1 + 0.2 * (SITE[at] == "B"))
        series[:, 1] += (0.7 * Y[at] + shift[at] + 0.01 * TRAITS["age"][at]) * series[
            :, 0
        ]
        made.append(series)
    if kind == "covariance":
        return np.array([np.cov(one.T) for one in made], np.float32)
    upper = np.triu_indices(N_REGIONS, k=1)
    return np.array([np.arctanh(np.corrcoef(o.T)[upper]) for o in made], np.float32)


@cache
def fold_of(scheme: str) -> Fold:
    return make_folds(PEOPLE, SCHEMES[scheme][0])[0]


def recipe_of(method: str, scheme: str, model: str) -> Recipe:
    how = HarmonizeConfig(method=method, unseen=SCHEMES[scheme][1])
    return Recipe(variant=model, harmonize=how)


CASES = [
    *product(METHODS, SCHEMES, ["fc-svm"]),
    ("combat", "kfold", "fc-svm-tangent"),
    ("covbat", "loso-batch", "fc-logistic-tangent"),
    ("combat", "bootstrap", "fc-logistic"),
]
cases = pytest.mark.parametrize(("method", "scheme", "model"), CASES)


def fit(method, scheme, model, **changed):
    """Fit one fold; ``changed`` replaces features, labels, traits or fold."""
    x = prepared(model, changed.get("x", loaded(find(model).input)))
    return fit_fold(
        x,
        changed.get("y", Y),
        ALL,
        changed.get("fold", fold_of(scheme)),
        recipe_of(method, scheme, model),
        traits=changed.get("traits", TRAITS),
    )


def written(folder, model, result) -> dict[str, bytes]:
    """Everything that was learned, as the bytes of a bundle."""
    save_bundle(folder, result.fitted, variant=model, context={})
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@cases
def test_no_fitted_number_knows_a_test_row_or_a_test_label(
    method, scheme, model, tmp_path
):
    fold, kind = fold_of(scheme), find(model).input
    here = fit(method, scheme, model)
    x, y, traits = loaded(kind).copy(), Y.copy(), TRAITS.copy()
    x[fold.test] = 3 * x[fold.test]
    y[fold.test] = 1 - y[fold.test]
    traits.loc[fold.test, "age"] += 200
    there = fit(method, scheme, model, x=x, y=y, traits=traits)
    assert not np.array_equal(here.scores, there.scores)
    one = written(tmp_path / "here", model, here)
    two = written(tmp_path / "there", model, there)
    assert set(one) == {"model.json", "model.safetensors", "harmonizer.safetensors"}
    assert one == two
    assert json.loads(one["model.json"])["temperature"] == here.temperature > 0


@cases
def test_no_fitted_number_knows_the_order_of_people(method, scheme, model, tmp_path):
    order = np.random.default_rng(5).permutation(N)
    place, fold = np.argsort(order), fold_of(scheme)
    parts = {part: place[getattr(fold, part)] for part in ("train", "valid", "test")}
    here = fit(method, scheme, model)
    there = fit(
        method,
        scheme,
        model,
        x=loaded(find(model).input)[order],
        y=Y[order],
        traits=TRAITS.iloc[order].reset_index(drop=True),
        fold=replace(fold, **parts),
    )
    one = written(tmp_path / "here", model, here)
    assert one == written(tmp_path / "there", model, there)
    np.testing.assert_allclose(there.scores, here.scores, rtol=1e-9, atol=1e-12)
    assert there.harmonized.tolist() == here.harmonized.tolist()


@pytest.mark.parametrize("method", METHODS)
def test_a_harmonizer_knows_every_training_row_and_no_label(method, tmp_path):
    fold = fold_of("kfold")
    here = written(tmp_path / "a", "fc-svm", fit(method, "kfold", "fc-svm"))
    y = Y.copy()
    y[fold.train[:4]] = 1 - y[fold.train[:4]]
    there = written(tmp_path / "b", "fc-svm", fit(method, "kfold", "fc-svm", y=y))
    assert here["harmonizer.safetensors"] == there["harmonizer.safetensors"]
    assert here["model.safetensors"] != there["model.safetensors"]
    x = loaded("fisherz").copy()
    x[fold.train[0]] += 0.1
    there = written(tmp_path / "c", "fc-svm", fit(method, "kfold", "fc-svm", x=x))
    assert here["harmonizer.safetensors"] != there["harmonizer.safetensors"]


@cases
def test_a_bundle_harmonizes_and_scores_one_new_person(method, scheme, model, tmp_path):
    here, fold = fit(method, scheme, model), fold_of(scheme)
    save_bundle(tmp_path, here.fitted, variant=model, context={})
    fitted, _ = load_bundle(tmp_path)
    rows = fold.test if scheme == "loso-batch" else fold.test[[1]]
    x = prepared(model, loaded(find(model).input)[rows])
    traits = TRAITS.iloc[rows].reset_index(drop=True)
    scores, told, how = score_people(fitted, x, np.arange(len(rows)), len(rows), traits)
    place = np.searchsorted(fold.test, rows)
    close = {"rtol": 1e-5, "atol": 1e-8}
    np.testing.assert_allclose(scores, here.scores[place], **close)
    np.testing.assert_allclose(told, here.probabilities[place], **close)
    policy = SCHEMES[scheme][1]
    assert set(how) == {"site" if policy == "refuse" else policy}
    assert how.tolist() == here.harmonized[place].tolist()


def test_covariances_stay_positive_definite_through_harmonization():
    result = fit("combat", "kfold", "fc-svm-tangent")
    assert np.isfinite(result.scores).all()
    plain = fit("none", "kfold", "fc-svm-tangent")
    assert not np.array_equal(plain.scores, result.scores)
    assert set(plain.harmonized) == {"none"}


def test_probabilities_are_calibrated_on_inner_folds_alone():
    result = fit("combat", "kfold", "fc-svm")
    expected = expit(logit(result.scores) / result.temperature)
    np.testing.assert_allclose(result.probabilities, expected, rtol=1e-12)
    assert ((result.probabilities > 0.5) == (result.scores > 0.5)).all()
    logits, truth = result.model.held_out()
    assert len(logits) == N - len(fold_of("kfold").test)
    assert result.temperature == pytest.approx(temperature(logits, truth), rel=1e-6)
    assert result.notes["temperature"] == result.temperature
    assert result.notes["harmonizer"]["sites"]["A"] > 10


@pytest.mark.parametrize("method", METHODS)
def test_test_people_beyond_the_training_range_are_counted(method):
    test = fold_of("kfold").test
    assert fit("none", "kfold", "fc-svm").notes.get("outside") is None
    traits = TRAITS.copy()
    traits.loc[test, "age"] = traits["age"].median()
    assert fit(method, "kfold", "fc-svm", traits=traits).notes["outside"] == 0
    traits.loc[test[:2], "age"] = [95, 1]
    assert fit(method, "kfold", "fc-svm", traits=traits).notes["outside"] == 2


def test_people_left_as_they_are_are_never_beyond_the_training_range():
    traits = TRAITS.copy()
    traits.loc[fold_of("loso-identity").test, "age"] = 95.0
    found = fit("combat", "loso-identity", "fc-svm", traits=traits)
    assert set(found.harmonized) == {"identity"}
    assert found.notes["outside"] == 0


@pytest.mark.parametrize("method", ["combat", "covbat"])
def test_covariates_are_not_needed(method, tmp_path):
    here = fit(method, "loso-batch", "fc-svm", traits=TRAITS[["site"]])
    assert np.isfinite(here.scores).all()
    save_bundle(tmp_path, here.fitted, variant="fc-svm", context={})
    assert load_bundle(tmp_path)[0].covariates == ()


def test_a_model_that_cannot_be_harmonized_runs_as_it_is():
    x = TRAITS[["age", "sex"]]
    one, two = (
        fit(method, "kfold", "control-phenotype", x=x) for method in ("none", "combat")
    )
    np.testing.assert_array_equal(one.scores, two.scores)
    assert set(two.harmonized) == {"none"}
    assert two.harmonizer is None
    assert "harmonizer" not in two.notes


def test_a_person_drawn_twice_counts_twice():
    """A copy of the person as another one is the oracle."""
    recipe = recipe_of("combat", "kfold", "fc-svm")
    train = np.sort(np.r_[fold_of("kfold").train, [0, 0, 0, 5]])
    test = np.setdiff1d(fold_of("kfold").test, [0, 5])
    fold = Fold(1, 1, train, np.arange(0), test)
    names, times = np.unique(train, return_counts=True)
    assert times.max() > 2
    x = loaded("fisherz")
    one = fit_fold(prepared("fc-svm", x), Y, ALL, fold, recipe, traits=TRAITS)
    people = np.concatenate([np.repeat(names, times), test])
    copies = replace(
        fold,
        train=np.arange(len(train)),
        test=np.arange(len(train), len(people)),
    )
    groups = TRAITS.iloc[people].assign(group=people).reset_index(drop=True)
    two = fit_fold(
        prepared("fc-svm", x[people]),
        Y[people],
        np.arange(len(people)),
        copies,
        recipe,
        traits=groups,
    )
    np.testing.assert_allclose(one.scores, two.scores, rtol=1e-9)
    assert one.notes["harmonizer"]["sites"] == two.notes["harmonizer"]["sites"]


@pytest.mark.parametrize(
    ("model", "method", "exact"),
    [
        ("fc-svm", "none", False),
        ("fc-svm", "combat", False),
        ("fc-logistic", "combat", False),
        ("fc-svm-tangent", "combat", False),
        ("control-phenotype", "none", True),
    ],
)
def test_the_true_labels_among_permuted_ones_score_as_the_fit_does(
    model, method, exact
):
    x = TRAITS[["age", "sex"]] if "control" in model else loaded(find(model).input)
    x, fold = prepared(model, x), fold_of("kfold")
    recipe = recipe_of(method, "kfold", model)
    other = np.random.default_rng(0).permutation(Y)
    scores = permute_fold(x, np.array([Y, other]), ALL, fold, recipe, traits=TRAITS)
    for labels, found in zip((Y, other), scores, strict=True):
        fitted = fit_fold(x, labels, ALL, fold, recipe, traits=TRAITS)
        gap = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-6, "atol": 1e-7}
        np.testing.assert_allclose(found, fitted.scores, **gap)


def test_runs_of_a_person_are_averaged_under_permutation():
    rows = np.repeat(ALL, 2)
    x, fold = prepared("fc-svm", loaded("fisherz")[rows]), fold_of("kfold")
    recipe = recipe_of("combat", "kfold", "fc-svm")
    found = permute_fold(x, Y[None], rows, fold, recipe, traits=TRAITS)
    fitted = fit_fold(x, Y, rows, fold, recipe, traits=TRAITS)
    np.testing.assert_allclose(found[0], fitted.scores, rtol=1e-6)


def test_an_unseen_site_is_refused_with_the_place():
    with pytest.raises(InputError, match=r"^fc-svm, repeat 1, fold 1: .*site 'A'"):
        fit_fold(
            prepared("fc-svm", loaded("fisherz")),
            Y,
            ALL,
            fold_of("loso-identity"),
            Recipe(variant="fc-svm", harmonize=HarmonizeConfig(method="combat")),
            traits=TRAITS,
        )


def test_harmonizing_without_sites_is_refused():
    with pytest.raises(InputError, match="needs the site of everyone"):
        fit("combat", "kfold", "fc-svm", traits=None)
    here = fit("combat", "kfold", "fc-svm").fitted
    x = prepared("fc-svm", take(loaded("fisherz"), np.arange(2)))
    with pytest.raises(InputError, match="with site, age, sex and there is no sex"):
        score_people(here, x, np.arange(2), 2, TRAITS[["site", "age"]][:2])


def test_half_a_harmonizing_bundle_is_refused(tmp_path):
    here = fit("combat", "kfold", "fc-svm")
    save_bundle(tmp_path, here.fitted, variant="fc-svm", context={})
    (tmp_path / "harmonizer.safetensors").write_bytes(b"not arrays")
    with pytest.raises(InputError, match=r"harmonizer\.safetensors are not of one"):
        load_bundle(tmp_path)
    (tmp_path / "harmonizer.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no harmonizer\.safetensors; "):
        load_bundle(tmp_path)
    plain = fit("none", "kfold", "fc-svm")
    save_bundle(tmp_path, here.fitted, variant="fc-svm", context={})
    written(tmp_path, "fc-svm", plain)
    assert not (tmp_path / "harmonizer.safetensors").exists()
    assert load_bundle(tmp_path)[0].harmonizer is None
