"""Linear classifiers of functional connectivity, learned in the Gram matrix."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from bidsclf.errors import InputError
from bidsclf.models._base import Variant
from bidsclf.models._gram import COSTS, choose, costs_of, learner, null_scores
from bidsclf.models._rows import (
    Edges,
    canonical_order,
    check_classes,
    check_finite,
    edges,
    inner_products,
    row_digests,
    take,
)
from bidsclf.models._spd import geometric_mean, log_vectors, map_eigenvalues
from bidsclf.models._svm import TOLERANCE, Solution, svm

MAX_R = 1 - 1e-7  # keeps arctanh finite; ours


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
        self.inner: tuple[np.ndarray, np.ndarray] | None = None

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
        learn = learner(self.solve, kernel)
        costs = costs_of(kernel)
        choice = choose(learn, kernel, y, costs=costs, people=people, seed=self.seed)
        self.inner_auc, self.inner = choice.inner_auc, (choice.logits, choice.truth)
        self.cost, self.relative_cost = choice.cost, COSTS[choice.best]
        dual, self.intercept = learn(y, np.arange(len(y)), [self.cost])[0]
        self.weights = _primal(x, dual)
        return self

    def held_out(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return decision values and truth of the rows that inner folds held out.

        At the chosen C, in the order of the inner folds; None where the training
        rows were too few for inner folds, or the model was loaded.
        """
        return self.inner if self.inner is not None and len(self.inner[1]) else None

    def null_scores(
        self,
        x: Any,
        learn: np.ndarray,
        test: np.ndarray,
        labels: np.ndarray,
        people: np.ndarray,
    ) -> np.ndarray:
        """Return the scores after a fit to each of many vectors of labels.

        Equal to ``fit`` and ``predict_score``, from the inner products alone.

        Parameters
        ----------
        x : rows that the model takes, of length n
        learn, test : int arrays of shape (n_learned,) and (n_test,)
            Rows of ``x``; those learned from may repeat.
        labels : int array of shape (m, n), 0 or 1
        people : int array of shape (n,)

        Returns
        -------
        scores : float64 array of shape (m, n_test)
        """
        digests = row_digests(take(x, learn))
        gram = self._gram(x, learn[np.argsort(digests, kind="stable")], learn, test)
        return null_scores(
            self.solve, gram, digests, labels[:, learn], people[learn], self.seed
        )

    def _gram(
        self, x: Any, sorted_rows: np.ndarray, learn: np.ndarray, test: np.ndarray
    ) -> np.ndarray:
        """Return the inner products of the learned rows, then the test rows."""
        rows = np.concatenate([learn, test])
        if not self.tangent:
            return take(x, rows).kernel()
        check_finite(take(x, rows), "covariances")
        mean = geometric_mean(take(x, sorted_rows))
        vectors = log_vectors(take(x, rows), map_eigenvalues(_inverse_root, mean))
        return inner_products(np.asarray(vectors, np.float32))

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
        harmonize_at="input",
        explained=("pattern",),
    )
    for solver in (svm, logistic)
    for kind, (loaded, prepare) in _KINDS.items()
}
