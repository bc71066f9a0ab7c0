"""What a fit leaves behind, and how it scores people: here, or anywhere later."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.crossval.members import NONE, Crossfitted
from bidsclf.crossval.rows import of_rows, split_traits
from bidsclf.errors import InputError
from bidsclf.evaluate.calibration import scaled
from bidsclf.harmonize._base import Harmonizer, with_policy
from bidsclf.models._base import Classifier
from bidsclf.models._harmonized import from_features, to_features


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A model with what stands before and after it.

    Attributes
    ----------
    model : Classifier
    harmonizer : Harmonizer or None
        Learned from the rows that the model learned from.
    covariates : tuple of str
        Columns that the harmonizer asks for, beside the site.
    temperature : float or None
        Makes probabilities of scores; None leaves them as they are.
    """

    model: Classifier
    harmonizer: Harmonizer | None = None
    covariates: tuple[str, ...] = ()
    temperature: float | None = None

    @property
    def models(self) -> tuple[Classifier, ...]:
        """The model, alone."""
        return (self.model,)

    @property
    def harmonizers(self) -> tuple[Harmonizer, ...]:
        """The harmonizer, if there is one."""
        return () if self.harmonizer is None else (self.harmonizer,)

    def with_policy(self, unseen: str | None) -> "Fitted":
        """Return a copy that treats unseen sites otherwise; None keeps the policy."""
        if self.harmonizer is None:
            return self
        return replace(self, harmonizer=with_policy(self.harmonizer, unseen))

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return scores after temperature scaling, shape as given."""
        return scores if self.temperature is None else scaled(scores, self.temperature)


AnyFitted = Fitted | Crossfitted


def score_people(
    fitted: AnyFitted,
    x: Any,
    rows: np.ndarray,
    n_people: int,
    traits: pd.DataFrame | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Harmonize and score people that the model has never seen.

    Parameters
    ----------
    fitted : Fitted or Crossfitted
    x : rows of features, of length n_rows
        What the variant's ``prepare`` returned.
    rows : int array of shape (n_rows,)
        The person of each row, below ``n_people``.
    n_people : int
    traits : DataFrame of shape (n_people, ...) or None
        ``site`` and the covariates of the harmonizer.

    Returns
    -------
    scores, probabilities : float64 arrays of shape (n_people,)
        The model's own, and calibrated; NaN for who has no row.
    harmonized : object array of shape (n_people,)
        'none', 'site', 'identity' or 'batch'.

    Raises
    ------
    InputError
        A site or a covariate is missing, or the harmonizer refuses a site.
    """
    harmonized = np.full(n_people, NONE, object)
    if isinstance(fitted, Crossfitted):
        scores = np.empty(0)
        if len(rows):
            known = split_traits(of_rows(_complete(traits, fitted.covariates), rows))
            scores, harmonized[rows] = fitted.score_rows(x, *known)
        means = person_means(scores, rows, n_people)
        return means, fitted.probabilities(means), harmonized
    if fitted.harmonizer is not None and len(rows):
        known = _complete(traits, fitted.covariates)
        sites, covariates = split_traits(of_rows(known, rows))
        features = fitted.harmonizer.apply(to_features(x), sites, covariates)
        x = from_features(x, features, has_products=False)
        harmonized[rows] = fitted.harmonizer.handling(sites)
    scores = predict_people(fitted.model, x, rows, n_people)
    return scores, fitted.probabilities(scores), harmonized


def predict_people(
    model: Classifier, x: Any, rows: np.ndarray, n_people: int
) -> np.ndarray:
    """Return the mean score of each person's rows, NaN for who has none.

    Parameters
    ----------
    model : Classifier
    x : rows of features, of length n_rows
        Harmonized already where the model asks for it.
    rows : int array of shape (n_rows,)
        The person of each row, below ``n_people``.
    n_people : int

    Returns
    -------
    scores : float64 array of shape (n_people,)
        Not calibrated.
    """
    scores = model.predict_score(x) if len(rows) else np.empty(0)
    return person_means(scores, rows, n_people)


def person_means(scores: np.ndarray, rows: np.ndarray, n_people: int) -> np.ndarray:
    """Return the mean over the rows of each person, NaN for who has none."""
    counts = np.bincount(rows, minlength=n_people)
    sums = np.bincount(rows, weights=scores, minlength=n_people)
    return np.divide(sums, counts, out=np.full(n_people, np.nan), where=counts > 0)


def _complete(traits: pd.DataFrame | None, covariates: tuple[str, ...]) -> pd.DataFrame:
    """Return the site and the covariates, or say which of them is not there."""
    here = pd.DataFrame() if traits is None else traits
    absent = [name for name in ("site", *covariates) if name not in here]
    if absent:
        raise InputError(
            f"the model harmonizes with site{''.join(f', {c}' for c in covariates)}"
            f" and there is no {', '.join(absent)}. Add it to participants.tsv."
        )
    return here[["site", *covariates]]
