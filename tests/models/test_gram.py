"""Support vector machines and their nulls in Gram space, against libsvm and fits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from bidsclf.errors import FitError
from bidsclf.models import _svm
from bidsclf.models._base import find, prepared, variants
from bidsclf.models._gram import COSTS, auc, centred, costs_of
from bidsclf.models._inner import inner_folds
from bidsclf.models._rows import canonical_order, edges, inner_products, take
from bidsclf.models._svm import active_set, frame, intercept_of, svm

NAMES = [name for name in variants() if name.startswith("fc-")]


def wide(seed: int, n: int = 60, p: int = 300, shift: float = 0.1):
    """Return rows along a few strong directions, as edges are, and labels."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 5 > 1).astype(int)
    strong = 2 * rng.normal(size=(n, 4)) @ rng.normal(size=(4, p))
    x = strong + rng.normal(size=(n, p)) + shift * y[:, None]
    return x.astype(np.float32), y


def framed(x: np.ndarray):
    """Return the kernel about the mean and the frame of rows that may repeat."""
    _, first, of = np.unique(x, axis=0, return_index=True, return_inverse=True)
    kernel = centred(inner_products(x))
    return kernel, frame(kernel[np.ix_(first, first)], of.ravel())


def peer(kernel, y, cost):
    """Return libsvm's decision values but for the intercept; it keeps float32."""
    machine = SVC(C=cost, kernel="precomputed", class_weight="balanced", tol=1e-10)
    return machine.fit(kernel, y).decision_function(kernel) - machine.intercept_


def gap(kernel, y, cost, solution):
    """Return how far the loss is from its least, relative, by weak duality."""
    dual, intercept = solution
    sign, weight = np.where(y == 1, 1, -1), len(y) / (2 * np.bincount(y)[y])
    assert abs(dual.sum()) < 1e-12
    assert (sign * dual > -1e-12).all()
    assert (sign * dual < cost * weight * (1 + 1e-8)).all()
    hinge = np.maximum(0, 1 - sign * (kernel @ dual + intercept))
    norm = dual @ kernel @ dual / 2
    loss = norm + cost * (weight * hinge).sum()
    return (loss - ((sign * dual).sum() - norm)) / loss


@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(4))
def test_active_sets_agree_with_libsvm_at_every_cost(seed, shift):
    x, y = wide(seed, shift=shift)
    kernel, shared = framed(x)
    rows = np.random.default_rng(seed).permutation(60)[:45]
    costs, part = costs_of(kernel), kernel[np.ix_(rows, rows)]
    solutions = active_set(shared, y, rows, costs)
    for cost, ours, theirs in zip(
        costs, solutions, svm(part, y[rows], costs), strict=True
    ):
        assert gap(part, y[rows], cost, ours) < 1e-7
        values = part @ ours[0]
        np.testing.assert_allclose(values, peer(part, y[rows], cost), atol=2e-5)
        assert ours[1] == pytest.approx(theirs[1], abs=1e-5)


def test_where_nobody_stands_on_a_margin_the_intercept_is_central():
    """One far row a class weighs nothing, the near ones are all at their bound."""
    along = np.r_[10.0, np.full(9, 0.1), -20.0, np.full(9, -0.1)]
    x = np.hstack([along[:, None], 0.2 * np.eye(20)]).astype(np.float32)
    y = np.repeat([1, 0], 10)
    kernel = inner_products(x)
    shared = frame(centred(kernel), np.arange(20))
    dual, intercept = active_set(shared, y, np.arange(20), [0.5])[0]
    np.testing.assert_allclose(np.abs(dual), 0.5 * (np.abs(along) < 1), atol=1e-12)
    values = shared.kernel @ dual
    assert intercept == pytest.approx(intercept_of(values, y), abs=1e-9)
    assert gap(centred(kernel), y, 0.5, (dual, intercept)) < 1e-9


def test_active_sets_need_libsvm_seldom(monkeypatch):
    monkeypatch.setattr(_svm, "svm", None)  # would fail if it were called
    for seed in range(20):
        x, y = wide(seed)
        kernel, shared = framed(x)
        assert len(active_set(shared, y, np.arange(60), costs_of(kernel))) == 7


def test_sets_that_do_not_settle_are_left_to_libsvm(monkeypatch):
    x, y = wide(1)
    kernel, shared = framed(x)
    costs = costs_of(kernel)
    costs = [costs[0] / 1000, *costs]  # the first needs no search
    monkeypatch.setattr(_svm, "MAX_STEPS", 1)
    found = active_set(shared, y, np.arange(60), costs)
    assert [len(dual) for dual, _ in found] == [60] * 8
    for cost, (dual, _) in zip(costs, found, strict=True):
        np.testing.assert_allclose(kernel @ dual, peer(kernel, y, cost), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999))
def test_repeated_rows_with_either_label_agree_with_libsvm(seed):
    x, y = wide(seed, n=30)
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.integers(0, 30, 40))
    x, y = x[drawn], np.where(rng.random(40) < 0.2, 1 - y[drawn], y[drawn])
    kernel, shared = framed(x)
    rows = np.flatnonzero(rng.random(40) < 0.85)
    costs, part = costs_of(kernel), kernel[np.ix_(rows, rows)]
    for cost, (dual, _) in zip(costs, active_set(shared, y, rows, costs), strict=True):
        expected = peer(part, y[rows], cost)
        np.testing.assert_allclose(part @ dual, expected, atol=2e-5)


def test_known_solutions_spare_libsvm_and_equal_it():
    x, y = wide(5, shift=0.5)
    kernel = centred(inner_products(x))
    for cost, (dual, _) in zip(
        costs_of(kernel), svm(kernel, y, costs_of(kernel)), strict=True
    ):
        np.testing.assert_allclose(kernel @ dual, peer(kernel, y, cost), atol=1e-5)


def test_rows_in_fewer_dimensions_have_no_frame():
    x, _ = wide(6, n=60, p=40)
    assert framed(x)[1] is None


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2))
def test_auc_is_scikit_learn_s_with_ties(pairs):
    truth, values = np.array(pairs, float).T
    if 0 < truth.sum() < len(truth):
        expected = roc_auc_score(truth, values)
        assert auc(truth.astype(int), values) == pytest.approx(expected, abs=1e-12)


def loaded(name: str, seed: int, n: int):
    """Return what a model takes: edges, or covariances of regions."""
    if find(name).input != "covariance":
        return np.clip(wide(seed, n)[0] / 10, -0.99, 0.99)
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, 60, 8)) @ rng.normal(size=(8, 8))
    return np.array([np.cov(one.T) for one in mixed], np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_null_scores_equal_fits_to_the_same_labels(name):
    n = 48
    x, y = prepared(name, loaded(name, 7, n)), wide(7, n)[1]
    rng = np.random.default_rng(7)
    learn, test = np.split(rng.permutation(n), [38])
    labels = np.array([y, *(rng.permutation(y) for _ in range(3))], np.int8)
    people = rng.permutation(n) // 2
    found = find(name).make(seed=4).null_scores(x, learn, test, labels, people)
    assert found.shape == (4, len(test))
    assert found.dtype == np.float64
    for scores, own in zip(found, labels, strict=True):
        model = find(name).make(seed=4)
        model.fit(take(x, learn), own[learn], people=people[learn])
        expected = model.predict_score(take(x, test))
        np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["fc-svm", "fc-logistic"])
def test_null_scores_of_a_bootstrap_equal_fits(name):
    x, y = prepared(name, wide(8)[0]), wide(8)[1]
    rng = np.random.default_rng(8)
    learn = rng.integers(0, 50, 50)
    test = np.setdiff1d(np.arange(60), learn)
    labels = np.array([rng.permutation(y) for _ in range(4)])
    people = np.arange(60)
    found = find(name).make(seed=1).null_scores(x, learn, test, labels, people)
    for scores, own in zip(found, labels, strict=True):
        model = find(name).make(seed=1)
        model.fit(take(x, learn), own[learn], people=learn)
        np.testing.assert_allclose(
            scores, model.predict_score(take(x, test)), atol=1e-6
        )


def test_twins_with_the_same_edges_and_other_labels_equal_a_fit():
    """As two people of a public study, whose scans are one and the same."""
    x, y = wide(9)
    x[1] = x[0]
    rows, rng = prepared("fc-svm", x), np.random.default_rng(9)
    labels = np.array([rng.permutation(y) for _ in range(6)])
    labels[:3, :2], labels[3:, :2] = [0, 1], [1, 0]
    learn, test, people = np.arange(50), np.arange(50, 60), np.arange(60)
    found = find("fc-svm").make().null_scores(rows, learn, test, labels, people)
    for scores, own in zip(found, labels, strict=True):
        model = find("fc-svm").make().fit(rows[learn], own[learn], people=learn)
        np.testing.assert_allclose(scores, model.predict_score(rows[test]), atol=1e-6)


@pytest.mark.parametrize("seed", [11, 32, 50])
def test_several_such_twins_choose_the_same_cost_as_a_fit(seed):
    """Their decision values tie in one sum and differ by 1e-16 in another."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, 5)).astype(np.float32)
    x[1:8:2] = x[0:8:2]
    labels = (rng.random((6, 40)) < 0.5).astype(int)
    labels[:, 1:8:2] = 1 - labels[:, 0:8:2]
    rows, learn, test, people = (
        edges(x),
        np.arange(30),
        np.arange(30, 40),
        np.arange(40),
    )
    found = find("fc-svm").make(seed=5).null_scores(rows, learn, test, labels, people)
    for scores, own in zip(found, labels, strict=True):
        model = find("fc-svm").make(seed=5)
        model.fit(take(rows, learn), own[learn], people=learn)
        expected = model.predict_score(take(rows, test))
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_null_scores_do_not_see_labels_of_test_rows():
    x, y = prepared("fc-svm", wide(10)[0]), wide(10)[1]
    learn, test, people = np.arange(45), np.arange(45, 60), np.arange(60)
    other = y.copy()
    other[test] = 1 - other[test]
    one, same = (
        find("fc-svm").make().null_scores(x, learn, test, np.array([y, other]), people)
    )
    np.testing.assert_array_equal(one, same)


def test_null_scores_refuse_labels_of_one_class():
    x, y = prepared("fc-svm", wide(11)[0]), wide(11)[1]
    learn, test, people = np.arange(45), np.arange(45, 60), np.arange(60)
    with pytest.raises(FitError, match=r"hold \[45, 0\] of classes"):
        find("fc-svm").make().null_scores(x, learn, test, 0 * y[None], people)


@pytest.mark.parametrize("name", ["fc-svm", "fc-logistic"])
def test_held_out_logits_are_those_of_fits_without_the_rows(name):
    x, y = wide(12)
    rows = prepared(name, x)
    model = find(name).make(seed=2).fit(rows, y)
    order = canonical_order(rows, y)
    logits, truths = [], []
    for train, test in inner_folds(y[order], np.arange(60), 2):
        inside, ahead = (x[order[part]].astype(np.float64) for part in (train, test))
        middle = inside.mean(axis=0)
        kernel = (inside - middle) @ (inside - middle).T
        dual, intercept = model.solve(kernel, y[order[train]], [model.cost])[0]
        logits.append((ahead - middle) @ (inside - middle).T @ dual + intercept)
        truths.append(y[order[test]])
    found = model.held_out()
    np.testing.assert_allclose(found[0], np.concatenate(logits), atol=1e-6)
    np.testing.assert_array_equal(found[1], np.concatenate(truths))


def test_too_few_people_hold_none_out():
    x, _ = wide(13, n=4)
    model = (
        find("fc-svm")
        .make()
        .fit(
            prepared("fc-svm", x), np.array([0, 0, 1, 1]), people=np.array([0, 0, 1, 1])
        )
    )
    assert model.held_out() is None
    assert model.inner_auc == [0.5] * len(COSTS)
