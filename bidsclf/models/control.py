"""What age and sex, motion, or the site alone would say: the models to beat."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from bidsclf.errors import InputError
from bidsclf.models._base import Variant
from bidsclf.models._inner import inner_folds
from bidsclf.models._rows import canonical_order, check_classes, take

COST = 1.0  # scikit-learn's default; these few columns need no choice


class ControlClassifier:
    """Logistic regression on standardized numbers and one-hot categories.

    Classes weigh the same, as in every model here. A missing number is the
    median of the training rows; a missing or unseen category belongs to none.
    What is learned is learned from training rows.

    Parameters
    ----------
    numbers, categories : sequence of str
        Columns of the table.
    seed : int
        Of the inner folds, which serve calibration alone.
    """

    def __init__(
        self,
        numbers: Sequence[str] = (),
        categories: Sequence[str] = (),
        *,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.numbers, self.categories = list(numbers), list(categories)
        self.seed = seed
        self.held: tuple[np.ndarray, np.ndarray] | None = None

    def fit(
        self,
        x: pd.DataFrame,
        y: np.ndarray,
        valid: tuple[pd.DataFrame, np.ndarray] | None = None,
        people: np.ndarray | None = None,
    ) -> "ControlClassifier":
        """Learn from all rows; ``valid`` is not used."""
        y = np.asarray(y, int)
        check_classes(y)
        people = np.arange(len(y)) if people is None else np.asarray(people)
        order = canonical_order(x, y)
        x, y, people = take(x, order), y[order], people[order]
        self._hold_out(x, y, people)
        return self._learn(x, y)

    def held_out(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return logits of the rows of inner folds, and their truth."""
        return self.held

    def _hold_out(self, x: pd.DataFrame, y: np.ndarray, people: np.ndarray) -> None:
        logits = np.full(len(y), np.nan)
        for train, test in inner_folds(y, people, self.seed):
            inner = ControlClassifier(self.numbers, self.categories)
            inner._learn(take(x, train), y[train])
            logits[test] = inner.decide(take(x, test))
        known = np.isfinite(logits)
        self.held = (logits[known], y[known]) if known.any() else None

    def _learn(self, x: pd.DataFrame, y: np.ndarray) -> "ControlClassifier":
        known = self._numbers(x)
        seen = [known[np.isfinite(known[:, j]), j] for j in range(known.shape[1])]
        self.median = np.array([np.median(v) if len(v) else 0.0 for v in seen])
        filled = np.where(np.isfinite(known), known, self.median)
        self.mean, spread = filled.mean(axis=0), filled.std(axis=0)
        self.spread = np.where(spread > 1e-12 * np.abs(self.mean), spread, 1.0)
        self.levels = {
            name: sorted({word for word in _words(x[name]) if word})
            for name in self.categories
        }
        design = self._design(x)
        model = LogisticRegression(
            C=COST, class_weight="balanced", tol=1e-8, max_iter=10_000
        ).fit(design, y)
        self.weights, self.intercept = model.coef_[0], float(model.intercept_[0])
        return self

    def predict_score(self, x: pd.DataFrame) -> np.ndarray:
        """Return the probability of class 1, were both classes as frequent."""
        return expit(self.decide(x))

    def decide(self, x: pd.DataFrame) -> np.ndarray:
        """Return the log odds of class 1, float64 of shape (n,)."""
        return (self._design(x) * self.weights).sum(axis=1) + self.intercept

    def notes(self) -> dict[str, Any]:
        """Return the categories seen in training, as JSON values."""
        return {"levels": self.levels}

    def save(self, folder: Path) -> dict[str, Any]:
        """Write what was learned."""
        tensors = {
            "weights": self.weights,
            "intercept": np.array([self.intercept]),
            "median": self.median,
            "mean": self.mean,
            "spread": self.spread,
        }
        save_file(tensors, folder / "model.safetensors")
        return self.notes()

    def load(self, folder: Path, settings: dict[str, Any]) -> "ControlClassifier":
        """Restore a saved model."""
        tensors = load_file(folder / "model.safetensors")
        self.weights, self.median = tensors["weights"], tensors["median"]
        self.mean, self.spread = tensors["mean"], tensors["spread"]
        self.intercept, self.levels = float(tensors["intercept"][0]), settings["levels"]
        return self

    def _numbers(self, x: pd.DataFrame) -> np.ndarray:
        absent = [n for n in [*self.numbers, *self.categories] if n not in x]
        if absent:
            raise InputError(
                f"no column {', '.join(absent)} among {', '.join(x.columns)};"
                " this control needs it. Add it or leave the control out of --models."
            )
        columns = [pd.to_numeric(x[name], errors="coerce") for name in self.numbers]
        return np.array([c.to_numpy(np.float64) for c in columns]).reshape(-1, len(x)).T

    def _design(self, x: pd.DataFrame) -> np.ndarray:
        known = self._numbers(x)
        filled = np.where(np.isfinite(known), known, self.median)
        columns = list(((filled - self.mean) / self.spread).T)
        for name, levels in self.levels.items():
            words = _words(x[name])
            columns += [words == level for level in levels]
        # a constant column keeps the design two-dimensional where nothing is known
        return np.array([*columns, np.zeros(len(x))], np.float64).T


def _words(column: pd.Series) -> np.ndarray:
    """Return categories as text, '' for missing; 1, 1.0 and '1' are one category."""
    return np.array([_word(value) for value in column], object)


def _word(value: Any) -> str:
    if pd.isna(value):
        return ""
    text = str(value).strip()
    return text.removesuffix(".0") if text.removesuffix(".0").isdigit() else text


VARIANTS = {
    "control-phenotype": Variant(
        input="phenotype", make=partial(ControlClassifier, ("age",), ("sex",))
    ),
    "control-motion": Variant(
        input="motion", make=partial(ControlClassifier, ("mean_fd", "n_volumes"))
    ),
    "control-site": Variant(
        input="site", make=partial(ControlClassifier, (), ("site",))
    ),
}
