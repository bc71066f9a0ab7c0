"""How well hidden Markov models of single regions explain a person's series."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from scipy.special import expit

from bidsclf.errors import ConfigError, FitError, InputError
from bidsclf.models._base import Variant
from bidsclf.models._gram import COSTS, Choice, choose, costs_of, learner
from bidsclf.models._hmm import Chains
from bidsclf.models._inner import inner_folds
from bidsclf.models._likelihoods import Likelihoods, longest_first
from bidsclf.models._rows import Series, canonical_order, check_classes
from bidsclf.models._sequences import is_constant
from bidsclf.models._svm import svm

STATES = (2, 3, 4, 5, 6)
N_ITER = 30  # EM steps at most; ours
TOL = 3e-5  # gain of a step a volume, in nats, below which a region stops; ours


class HMMClassifier:
    """A support vector machine on log-likelihoods of regions, a volume.

    Each region has a hidden Markov model with Gaussian signals, learned by EM from
    all people, or one a class. Training people are described by models that had
    not seen them or their family, of the inner folds; new people by models of all.
    The number of states and C are those of the best mean AUC of the inner folds, the
    fewer and the smaller of equals, on these same numbers: no fold is nested deeper.
    Pooled models see no label, so that these AUCs are honest but for the choice of
    the best. Models of classes that describe four inner parts were learned with
    labels of the fifth, which is then asked for its AUC: ``inner_auc`` and the choice
    are biased there, ``notes`` say so, and ``held_out`` is None, which leaves the
    score uncalibrated. No test row has any part in either.

    A region that is constant in all training people is left out; one that is
    constant in a person says nothing of that person: the training mean.

    Parameters
    ----------
    states : tuple of int
        Numbers of hidden states to choose from.
    per_class : bool
        One model a class: a region gives the mean of the two log-likelihoods and
        their difference (both, turned so that standardizing keeps the difference).
    n_iter : int
        EM steps at most; a fifth of them for a fold, which starts from a model of
        people it learns from. In single precision, likelihoods in double.
    tol : float
        EM stops at a region where a step gains less, in nats a volume.
    seed : int
        Of the inner folds; nothing else is drawn.

    References
    ----------
    The rival "HMM [11]" of seed 002's table; METHODS.md names it Jun et al. (2019),
    whose text is not at hand. The features, the start and the kernel machine are
    ours by METHODS.md.
    """

    def __init__(
        self,
        *,
        states: Sequence[int] = STATES,
        per_class: bool = False,
        n_iter: int = N_ITER,
        tol: float = TOL,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        if not states or min(states) < 1:
            raise ConfigError(f"states is {tuple(states)}; it takes numbers from 1 up.")
        if n_iter < 1:
            raise ConfigError(f"n_iter is {n_iter}; EM takes 1 step or more.")
        self.states, self.per_class = sorted(set(states)), per_class
        self.n_iter, self.tol, self.seed = n_iter, tol, seed
        self.inner: tuple[np.ndarray, np.ndarray] | None = None

    def fit(
        self,
        x: Series,
        y: np.ndarray,
        valid: tuple[Series, np.ndarray] | None = None,
        people: np.ndarray | None = None,
    ) -> "HMMClassifier":
        """Learn from all rows; ``valid`` is not used."""
        y = np.asarray(y, int)
        check_classes(y)
        people = np.arange(len(y)) if people is None else np.asarray(people)
        order = canonical_order(x, y)
        order = order[longest_first(x[order])]
        x, y, people = x[order], y[order], people[order]
        self.n_regions, self.regions = x.volumes.shape[1], _varying(x)
        self.n_dead = self.n_regions - len(self.regions)
        splits = inner_folds(y, people, self.seed)
        self.is_crossfitted = bool(splits)
        everyone = np.arange(len(y))
        how = self._likelihoods()
        splits = splits or [(everyone, everyone)]
        found, starts = how.cross_fit(x, y, splits, self.states)
        best, choice = self._choose(found, y, people)
        self.n_states = self.states[best]
        self.chains = how.learn_all(x, y, starts[best])
        self.cost, self.relative_cost = choice.cost, COSTS[choice.best]
        self.inner = choice.logits, choice.truth
        return self

    def _likelihoods(self) -> Likelihoods:
        return Likelihoods(
            regions=self.regions,
            per_class=self.per_class,
            n_iter=self.n_iter,
            tol=self.tol,
        )

    def _choose(
        self, found: np.ndarray, y: np.ndarray, people: np.ndarray
    ) -> tuple[int, Choice]:
        """Choose the number of states and C, and learn the machine."""
        tried = [self._try(features, y, people) for features in found]
        aucs = [max(choice.inner_auc) for choice, *_ in tried]
        self.inner_auc = dict(zip(map(str, self.states), aucs, strict=True))
        best = int(np.argmax(np.round(aucs, 12)))
        choice, self.weights, self.intercept, self.centre, self.spread = tried[best]
        return best, choice

    def _try(
        self, features: np.ndarray, y: np.ndarray, people: np.ndarray
    ) -> tuple[Choice, np.ndarray, float, np.ndarray, np.ndarray]:
        is_known = np.isfinite(features).any(axis=1)
        if not all(is_known[y == c].any() for c in (0, 1)):
            raise FitError(
                f"of classes 0 and 1, {[int(is_known[y == c].sum()) for c in (0, 1)]}"
                " training people have likelihoods by models that had not seen them."
                " Use fewer folds or more people."
            )
        features, y, people = features[is_known], y[is_known], people[is_known]
        count = np.isfinite(features).sum(axis=0).clip(min=1)
        centre = np.nansum(features, axis=0) / count
        spread = np.sqrt(np.nansum((features - centre) ** 2, axis=0) / count)
        spread = np.where(spread > 1e-12 * np.abs(centre).clip(min=1), spread, np.inf)
        rows = np.nan_to_num((features - centre) / spread)
        kernel = rows @ rows.T
        learned, costs = learner(svm, kernel), costs_of(kernel)
        choice = choose(learned, kernel, y, costs=costs, people=people, seed=self.seed)
        dual, intercept = learned(y, np.arange(len(y)), [choice.cost])[0]
        return choice, rows.T @ dual, float(intercept), centre, spread

    def held_out(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return decision values and truth of the rows that inner folds held out.

        None with ``per_class``, whose models knew labels of these rows.
        """
        if self.per_class or self.inner is None or not len(self.inner[1]):
            return None
        return self.inner

    def decide(self, x: Series) -> np.ndarray:
        """Return the signed decision values, float64 of shape (n,)."""
        if x.volumes.shape[1] != self.n_regions:
            raise InputError(
                f"series of {x.volumes.shape[1]} regions; the model was learned from"
                f" {self.n_regions}. Extract with the atlas of the model."
            )
        order = longest_first(x)
        values = self._likelihoods().describe(self.chains, x[order])
        rows = np.nan_to_num((values - self.centre) / self.spread)
        decided = np.empty(len(order))
        decided[order] = (rows * self.weights).sum(axis=1) + self.intercept
        return decided

    def predict_score(self, x: Series) -> np.ndarray:
        """Return the logistic function of the decision values, in [0, 1]."""
        return expit(self.decide(x))

    def notes(self) -> dict[str, Any]:
        """Return what the inner folds chose, as JSON values."""
        return {
            "n_states": self.n_states,
            "cost": self.cost,
            "relative_cost": self.relative_cost,
            "inner_auc": self.inner_auc,
            "is_inner_auc_biased": self.per_class,
            "is_crossfitted": self.is_crossfitted,
            "n_dead_regions": self.n_dead,
        }

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the hidden Markov models and the machine."""
        tensors = {
            "regions": self.regions,
            "weights": self.weights,
            "intercept": np.array([self.intercept]),
            "centre": self.centre,
            "spread": self.spread,
        }
        for name in Chains.__slots__:
            values = [getattr(chains, name) for chains in self.chains]
            tensors[name] = torch.stack(values).numpy()  # (classes or 1, R, …)
        save_file(tensors, folder / "model.safetensors")
        return self.notes() | {"n_regions": self.n_regions}

    def load(self, folder: Path, settings: dict[str, Any]) -> "HMMClassifier":
        """Restore a saved model."""
        tensors = load_file(folder / "model.safetensors")
        self.regions, self.weights = tensors["regions"], tensors["weights"]
        self.centre, self.spread = tensors["centre"], tensors["spread"]
        self.intercept = float(tensors["intercept"][0])
        parts = [torch.from_numpy(tensors[name]) for name in Chains.__slots__]
        self.chains = [Chains(*one) for one in zip(*parts, strict=True)]
        self.n_regions, self.n_dead = settings["n_regions"], settings["n_dead_regions"]
        self.n_states, self.inner_auc = settings["n_states"], settings["inner_auc"]
        self.cost, self.relative_cost = settings["cost"], settings["relative_cost"]
        self.is_crossfitted = settings["is_crossfitted"]
        self.per_class = len(self.chains) == 2
        return self


def _varying(x: Series) -> np.ndarray:
    """Return the columns that vary within a person."""
    regions = np.flatnonzero(~np.all([is_constant(one) for one in x], axis=0))
    if not len(regions):
        raise FitError(
            f"each of {x.volumes.shape[1]} regions is constant in every training"
            " person; a model of its time course needs one that varies."
        )
    return regions


VARIANTS = {
    "hmm": Variant(
        input="timeseries",
        prepare=Series.of,
        make=HMMClassifier,
        settings={
            "states": STATES,
            "per_class": False,
            "n_iter": N_ITER,
            "tol": TOL,
        },
        sees_order=True,
    )
}
