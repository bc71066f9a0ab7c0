"""Connectome models against scikit-learn's pipeline and nilearn's tangent space."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from nilearn.connectome import ConnectivityMeasure
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from bidsclf.errors import FitError, InputError
from bidsclf.models._base import find, prepared
from bidsclf.models._inner import inner_folds
from bidsclf.models._rows import canonical_order, inner_products
from bidsclf.models.fc import COSTS, logistic, svm

PEERS = {
    "fc-svm": SVC(kernel="linear", class_weight="balanced", tol=1e-8),
    "fc-logistic": LogisticRegression(
        class_weight="balanced", tol=1e-10, max_iter=100_000
    ),
}


def without_a_free_intercept(ours, theirs, y_train, machine):
    """Centre both where no support vector fixes libsvm's intercept."""
    if not isinstance(machine, SVC):
        return ours, theirs
    weight = len(y_train) / (2 * np.bincount(y_train)[y_train])
    bound = machine.C * weight[machine.support_]
    if (np.abs(machine.dual_coef_[0]) < 0.999 * bound).any():
        return ours, theirs
    return ours - ours.mean(), theirs - theirs.mean()


def rows(seed: int, n: int = 60, p: int = 200, shift: float = 0.15):
    rng = np.random.default_rng(seed)
    y = np.sort(rng.permutation(np.arange(n) % 3 > 0)).astype(int)
    x = rng.normal(size=(n, p)) + rng.normal(size=p) + shift * y[:, None]
    return x.astype(np.float32), y


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize(("p", "seed"), [(40, 0), (40, 1), (400, 0), (400, 2)])
def test_equals_the_scikit_learn_pipeline(name, p, seed):
    x, y = rows(seed, p=p)
    train, test = np.arange(0, 60, 2), np.arange(1, 60, 2)
    model = find(name).make(seed=3).fit(prepared(name, x)[train], y[train])
    order = train[canonical_order(x[train], y[train])]
    wide = x.astype(np.float64)
    scale = ((wide[train] - wide[train].mean(0)) ** 2).sum(1).mean()
    peer = make_pipeline(StandardScaler(with_std=False), PEERS[name])
    step = peer.steps[-1][0]
    search = GridSearchCV(
        peer,
        {f"{step}__C": [cost / scale for cost in COSTS]},
        cv=inner_folds(y[order], np.arange(len(order)), 3),
        scoring="roc_auc",
    ).fit(wide[order], y[order])
    np.testing.assert_allclose(
        model.inner_auc, search.cv_results_["mean_test_score"], rtol=1e-9
    )
    assert model.cost == pytest.approx(search.best_params_[f"{step}__C"], rel=1e-9)
    decided, expected = without_a_free_intercept(
        model.decide(prepared(name, x)[test]),
        search.decision_function(wide[test]),
        y[order],
        search.best_estimator_[-1],
    )
    np.testing.assert_allclose(
        decided,
        expected,
        rtol=1e-6,
        atol=1e-6 * np.abs(expected).max(),
    )


@settings(max_examples=10, deadline=None, phases=[Phase.generate])
@given(gain=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_a_cost_over_the_squared_norm_ignores_the_unit(gain, seed):
    x, y = rows(seed, n=30, p=30)
    kernel = inner_products(x - x.mean(axis=0))
    for solve in (svm, logistic):
        (dual, intercept), (other, same) = (
            solve(g * g * kernel, y, [1e-2 / g**2])[0] for g in (1.0, gain)
        )
        np.testing.assert_allclose(other * gain**2, dual, atol=1e-5)
        assert same == pytest.approx(intercept, abs=1e-5)


def test_tangent_equals_nilearn_on_training_rows():
    rng = np.random.default_rng(0)
    series = [rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6)) for _ in range(14)]
    measure = ConnectivityMeasure(kind="covariance", standardize=False)
    covariances = measure.fit_transform(series)
    y = np.tile([0, 1], 7)
    model = find("fc-svm-tangent").make()
    model.fit(covariances[:10].astype(np.float32), y[:10])
    peer = ConnectivityMeasure(kind="tangent", vectorize=True, standardize=False)
    vectors = peer.fit(series[:10]).transform(series) * np.sqrt(2)
    np.testing.assert_allclose(model.whitening, peer.whitening_, atol=1e-4)
    linear = SVC(kernel="linear", C=model.cost, class_weight="balanced", tol=1e-8)
    decided, expected = without_a_free_intercept(
        model.decide(covariances.astype(np.float32)),
        linear.fit(vectors[:10], y[:10]).decision_function(vectors),
        y[:10],
        linear,
    )
    np.testing.assert_allclose(decided, expected, atol=1e-3)


def test_the_intercept_is_libsvm_s_where_it_is_unique():
    x, y = rows(8, n=40, p=60)
    kernel = inner_products(x - x.mean(axis=0))
    for cost in (3 / kernel[0, 0], 30 / kernel[0, 0]):
        peer = SVC(C=cost, kernel="precomputed", class_weight="balanced", tol=1e-9)
        peer.fit(kernel, y)
        assert svm(kernel, y, [cost])[0][1] == pytest.approx(peer.intercept_[0], 1e-5)


def test_rows_of_a_person_stay_together_inside():
    rng = np.random.default_rng(1)
    people = rng.permutation(np.repeat(np.arange(20), 2)) + 100
    y = people % 2
    folds = inner_folds(y, people, seed=0)
    assert len(folds) == 5
    for train, test in folds:
        assert not set(people[train]) & set(people[test])
        assert sorted([*train, *test]) == list(range(40))
        assert set(y[test]) == {0, 1}


def test_a_copied_row_of_a_person_does_not_leak_into_the_choice():
    """Noise repeated twice a person is memorised only if the runs are split."""
    rng = np.random.default_rng(2)
    x = np.repeat(rng.normal(size=(40, 300)), 2, axis=0).astype(np.float32)
    y, people = np.repeat(np.tile([0, 1], 20), 2), np.repeat(np.arange(40), 2)
    kept = find("fc-svm").make().fit(prepared("fc-svm", x), y, people=people)
    split = find("fc-svm").make().fit(prepared("fc-svm", x), y)
    assert max(split.inner_auc) > 0.95
    assert max(kept.inner_auc) < 0.75


def test_edges_that_say_nothing_score_a_half():
    x, y = np.ones((20, 5), np.float32), np.tile([0, 1], 10)
    for name in PEERS:
        model = find(name).make().fit(prepared(name, x), y)
        np.testing.assert_allclose(model.predict_score(x), 0.5, atol=1e-6)


def test_unequal_classes_keep_a_threshold_that_finds_both():
    x, y = rows(4, n=90, p=300, shift=0.1)
    y = (np.arange(90) < 15).astype(int)
    x[:15] += 0.25
    for name in PEERS:
        model = find(name).make().fit(prepared(name, x)[::2], y[::2])
        decided = model.decide(prepared(name, x)[1::2])
        assert roc_auc_score(y[1::2], decided) > 0.9
        assert balanced_accuracy_score(y[1::2], decided > 0) > 0.6


def test_a_small_cost_cuts_midway_between_the_class_means():
    x, y = rows(7, n=30, p=50)
    kernel = inner_products(x - x.mean(axis=0))
    dual, intercept = svm(kernel, y, [1e-3 / np.trace(kernel)])[0]
    values = kernel @ dual + intercept
    assert values[y == 1].mean() == pytest.approx(-values[y == 0].mean(), rel=1e-3)
    means = np.array([x[y == label].mean(axis=0) for label in (0, 1)], np.float64)
    nearest = (x - means.mean(axis=0)) @ (means[1] - means[0])
    np.testing.assert_allclose(
        values / values.std(), nearest / nearest.std(), atol=0.05
    )


def test_says_which_rows_are_not_finite():
    x, _ = rows(5)
    x[7, 3] = np.nan
    for name, where in (("fc-svm", "features"), ("fc-svm-partial", "features")):
        with pytest.raises(InputError, match=rf"{where}: 1 of 60 rows .*\[7\]"):
            prepared(name, x)
    with pytest.raises(InputError, match=r"shape \(60, 200\); expected \(n, R, R\)"):
        prepared("fc-svm-tangent", x)
    flat = np.zeros((4, 3, 3), np.float32)
    with pytest.raises(InputError, match="eigenvalue 0; expected all above 0"):
        prepared("fc-svm-logeuclidean", flat)


def test_needs_two_rows_of_each_class():
    x, _ = rows(6, n=6)
    with pytest.raises(FitError, match=r"hold \[5, 1\] of classes"):
        find("fc-svm").make().fit(prepared("fc-svm", x), np.array([0, 0, 1, 0, 0, 0]))
