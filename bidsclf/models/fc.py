"""Linear classifiers of functional connectivity, learned in the Gram matrix."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC

from bidsclf.errors import InputError
from bidsclf.models._base import Variant
from bidsclf.models._rows import (
    Edges,
    canonical_order,
    check_classes,
    check_finite,
    edges,
    take,
)
from bidsclf.models._spd import geometric_mean, log_vectors, map_eigenvalues

COSTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # over the mean squared norm; ours
INNER_FOLDS = 5
TOLERANCE = 1e-7  # of both solvers
MAX_R = 1 - 1e-7  # keeps arctanh finite; ours
Solution = tuple[np.ndarray, float]


class KernelClassifier:
    """Linear SVM or logistic regression with an L2 penalty and a free intercept.

    C is chosen by the mean AUC of inner folds of the training rows, the smaller
    of equals, from ``COSTS`` divided by the mean squared distance of a training
    row from their mean: from about the difference of the class means to the
    widest margin, whatever the unit and the number of edges. Classes weigh the
    same (ours): their shares in a case-control study are by design.

    The score is the logistic function of the decision value: 0.5 is the
    decision boundary, but a score is **not** a calibrated probability.

    Parameters
    ----------
    solve : callable
        ``solve(kernel, y, costs)`` returns (dual weights, intercept) a cost.
    tangent : bool
        Rows are covariances, seen from the geometric mean of the training rows.
        The inner folds share that mean, which knows no label.
    seed : int
        Of the inner folds.
    """

    def __init__(
        self,
        solve: Callable[..., list[Solution]],
        *,
        tangent: bool = False,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.solve, self.tangent, self.seed = solve, tangent, seed
        self.whitening: np.ndarray | None = None

    def fit(
        self,
        x: Any,
        y: np.ndarray,
        valid: tuple[Any, np.ndarray] | None = None,
        people: np.ndarray | None = None,
    ) -> "KernelClassifier":
        """Choose C, then learn from all rows; ``valid`` is not used."""
        y = np.asarray(y, int)
        check_classes(y)
        people = np.arange(len(y)) if people is None else np.asarray(people)
        order = canonical_order(x, y)
        x, y, people = take(x, order), y[order], people[order]
        if self.tangent:
            check_finite(x, "covariances")
            self.whitening = map_eigenvalues(_inverse_root, geometric_mean(x))
            x = edges(log_vectors(x, self.whitening))
        kernel = x.kernel()
        centred = _centred(kernel)
        scale = np.trace(centred) / len(y)
        costs = [cost / (scale if scale > 0 else 1.0) for cost in COSTS]
        self.inner_auc = _inner_auc(self, kernel, y, people, costs)
        best = int(np.argmax(self.inner_auc))
        self.cost, self.relative_cost = costs[best], COSTS[best]
        dual, intercept = self.solve(centred, y, [self.cost])[0]
        dual = dual - dual.mean()
        self.weights = _primal(x, dual)
        self.intercept = intercept - float((kernel @ dual).mean())
        return self

    def decide(self, x: Any) -> np.ndarray:
        """Return the signed decision values, float64 of shape (n,)."""
        if self.tangent:
            check_finite(x, "covariances")
            x = log_vectors(x, self.whitening)
        values = [np.dot(row.astype(np.float64), self.weights) for row in x]
        return np.array(values) + self.intercept

    def predict_score(self, x: Any) -> np.ndarray:
        """Return the logistic function of the decision values, in [0, 1]."""
        return expit(self.decide(x))

    def notes(self) -> dict[str, Any]:
        """Return what the inner folds chose, as JSON values."""
        return {
            "cost": self.cost,
            "relative_cost": self.relative_cost,
            "inner_auc": dict(zip(map(str, COSTS), self.inner_auc, strict=True)),
        }

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the weights; the settings are what ``notes`` says."""
        tensors = {"weights": self.weights, "intercept": np.array([self.intercept])}
        if self.whitening is not None:
            tensors["whitening"] = self.whitening
        save_file(tensors, folder / "model.safetensors")
        return self.notes()

    def load(self, folder: Path, settings: dict[str, Any]) -> "KernelClassifier":
        """Restore a saved model."""
        tensors = load_file(folder / "model.safetensors")
        self.weights = tensors["weights"]
        self.intercept = float(tensors["intercept"][0])
        self.whitening = tensors.get("whitening")
        self.cost, self.relative_cost = settings["cost"], settings["relative_cost"]
        self.inner_auc = list(settings["inner_auc"].values())
        return self


def svm(kernel: np.ndarray, y: np.ndarray, costs: list[float]) -> list[Solution]:
    """Solve the support vector machine for each cost.

    Parameters
    ----------
    kernel : float64 array of shape (n, n)
    y : int array of shape (n,), 0 or 1
    costs : list of float

    Returns
    -------
    solutions : list of (dual weights of shape (n,), intercept)
        Decision values are ``kernel @ dual + intercept``.
    """
    solutions = []
    for cost in costs:
        machine = SVC(
            C=cost, kernel="precomputed", class_weight="balanced", tol=TOLERANCE
        )
        machine.fit(kernel, y)
        dual = np.zeros(len(y))
        dual[machine.support_] = machine.dual_coef_[0]
        solutions.append((dual, _svm_intercept(kernel @ dual, y)))
    return solutions


def _svm_intercept(values: np.ndarray, y: np.ndarray) -> float:
    """Return, of the intercepts that minimise the hinge loss, the most central.

    For a small C every training row lies inside the margin, and a whole interval
    of intercepts is optimal; libsvm then takes an end of it, which may call
    everyone the same. Ours is the nearest to midway between the class means, as
    for the difference of means. Where the optimum is unique this is libsvm's.
    """
    weight = len(y) / (2 * np.bincount(y)[y])
    corners = np.where(y == 1, 1, -1) - values  # where a row enters the margin
    order = np.argsort(corners, kind="stable")
    slope = np.cumsum(weight[order]) - weight[y == 1].sum()
    low, high = (corners[order[np.argmax(slope > at)]] for at in (-1e-6, 1e-6))
    midway = -(values[y == 0].mean() + values[y == 1].mean()) / 2
    return float(np.clip(midway, low, high))


def logistic(kernel: np.ndarray, y: np.ndarray, costs: list[float]) -> list[Solution]:
    """Solve logistic regression for each cost; shapes as in ``svm``.

    The penalty is the same in any rotated frame, so the n coordinates along the
    kernel's eigenvectors stand for all edges, exactly.
    """
    values, vectors = np.linalg.eigh(kernel)
    keep = values > max(values[-1], 1e-300) * 1e-12
    values, vectors = values[keep], vectors[:, keep]
    if not keep.any():
        return [(np.zeros(len(y)), 0.0) for _ in costs]
    solutions = []
    for cost in costs:
        model = LogisticRegression(
            C=cost,
            class_weight="balanced",
            solver="newton-cholesky",
            tol=TOLERANCE,
            max_iter=200,
        ).fit(vectors * np.sqrt(values), y)
        dual = vectors @ (model.coef_[0] / np.sqrt(values))
        solutions.append((dual, float(model.intercept_[0])))
    return solutions


def inner_folds(
    y: np.ndarray, people: np.ndarray, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split training rows for the choice of C; rows of a person stay together."""
    _, first, member = np.unique(people, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[member]  # person by first row, whatever the id
    truth = y[np.sort(first)]
    n_folds = min(INNER_FOLDS, np.bincount(truth, minlength=2).min())
    if n_folds < 2:
        return []
    splitter = StratifiedKFold(int(n_folds), shuffle=True, random_state=seed)
    return [
        (np.flatnonzero(np.isin(rank, train)), np.flatnonzero(np.isin(rank, test)))
        for train, test in splitter.split(truth, truth)
    ]


def _inner_auc(
    model: KernelClassifier,
    kernel: np.ndarray,
    y: np.ndarray,
    people: np.ndarray,
    costs: list[float],
) -> list[float]:
    aucs = []
    for train, test in inner_folds(y, people, model.seed):
        solutions = model.solve(_centred(kernel[np.ix_(train, train)]), y[train], costs)
        across = kernel[np.ix_(test, train)]  # duals sum to 0: no need to centre
        aucs.append([roc_auc_score(y[test], across @ dual) for dual, _ in solutions])
    return np.mean(aucs, axis=0).tolist() if aucs else [0.5] * len(costs)


def _centred(kernel: np.ndarray) -> np.ndarray:
    """Return the inner products, of shape (n, n), about the mean of the rows."""
    column = kernel.mean(axis=0)
    return kernel - kernel.mean(axis=1, keepdims=True) - column + column.mean()


def _primal(x: Edges, dual: np.ndarray) -> np.ndarray:
    """Return the weight of every feature, row by row: no copy of the training rows."""
    weights = np.zeros(x.features.shape[1])
    for row, weight in zip(x, dual, strict=True):
        weights += weight * row.astype(np.float64)
    return weights


def _inverse_root(values: np.ndarray) -> np.ndarray:
    return 1 / np.sqrt(values)


def _partial_edges(x: np.ndarray) -> Edges:
    return edges(np.arctanh(np.clip(x, -MAX_R, MAX_R)))


def _log_edges(x: np.ndarray) -> Edges:
    check_finite(x, "covariances")
    return edges(log_vectors(x))


def _covariances(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float32)
    if x.ndim != 3 or x.shape[1] != x.shape[2]:
        raise InputError(f"covariances have shape {x.shape}; expected (n, R, R).")
    check_finite(x, "covariances")
    return x


_KINDS = {
    "": ("fisherz", edges),
    "-partial": ("partialcorrelation", _partial_edges),
    "-tangent": ("covariance", _covariances),
    "-logeuclidean": ("covariance", _log_edges),
}
VARIANTS = {
    f"fc-{solver.__name__}{kind}": Variant(
        input=loaded,
        prepare=prepare,
        make=partial(KernelClassifier, solver, tangent=kind == "-tangent"),
    )
    for solver in (svm, logistic)
    for kind, (loaded, prepare) in _KINDS.items()
}
