"""The linear classifier on top of embeddings that some network has made."""

from typing import Self

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from bidsclf.errors import InputError
from bidsclf.models._rows import check_finite

COST = 1.0  # scikit-learn's default for standardised columns; not tuned
N_ITERATIONS = 1000
ROUNDING = 1e-6  # of float32 embeddings: a spread below it is rounding; ours
ARRAYS = ("mean", "scale", "weights", "intercept")


class LinearHead:
    """Logistic regression on standardised embeddings; both classes weigh the same.

    The penalty is fixed: nothing is tuned here.
    """

    def fit(self, embedded: np.ndarray, y: np.ndarray) -> Self:
        """Learn from training rows, which may repeat.

        Parameters
        ----------
        embedded : float array of shape (n_rows, d)
        y : int array of shape (n_rows,), 0 or 1

        Raises
        ------
        InputError
            A value is not finite, or a class is missing.
        """
        wide = self._checked(embedded)
        if len(np.unique(y)) != 2:
            raise InputError(
                f"{len(y)} rows, all of class {y[0] if len(y) else 'n/a'}; a linear"
                " head learns from both classes. Use fewer folds or more people."
            )
        self.mean, spread = wide.mean(axis=0), wide.std(axis=0)
        is_rounding = spread <= ROUNDING * np.abs(wide).max(axis=0)
        self.scale = np.where(is_rounding, 1.0, spread)
        learner = LogisticRegression(
            C=COST, class_weight="balanced", max_iter=N_ITERATIONS
        ).fit((wide - self.mean) / self.scale, y)
        self.weights, self.intercept = learner.coef_[0], learner.intercept_
        return self

    def decide(self, embedded: np.ndarray) -> np.ndarray:
        """Return the log odds of class 1, float64 of shape (n_rows,).

        Raises
        ------
        InputError
            A value is not finite, or the embeddings have another length.
        """
        wide = self._checked(embedded)
        if wide.shape[1] != len(self.mean):
            raise InputError(
                f"embeddings of {wide.shape[1]} numbers; the head learned from"
                f" {len(self.mean)}. Fit the model again."
            )
        standard = (wide - self.mean) / self.scale
        odds: np.ndarray = standard @ self.weights + self.intercept[0]
        return odds

    def score(self, embedded: np.ndarray) -> np.ndarray:
        """Return the score of class 1 in [0, 1], float64 of shape (n_rows,)."""
        return np.asarray(expit(self.decide(embedded)))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what was learned, by the names of ``ARRAYS``."""
        return {name: np.ascontiguousarray(getattr(self, name)) for name in ARRAYS}

    @classmethod
    def restore(cls, arrays: dict[str, np.ndarray]) -> Self:
        """Rebuild from ``arrays``; a name that is not there is a KeyError."""
        made = cls()
        for name in ARRAYS:
            setattr(made, name, arrays[name])
        return made

    @staticmethod
    def _checked(embedded: np.ndarray) -> np.ndarray:
        check_finite(embedded, "embeddings")
        return np.asarray(embedded, np.float64)
