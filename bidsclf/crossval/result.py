"""What the fit of one fold returns."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bidsclf.crossval.fitted import AnyFitted, Fitted
from bidsclf.harmonize._base import Harmonizer
from bidsclf.models._base import Classifier


@dataclass(frozen=True, slots=True, eq=False)
class FitResult:
    """A fitted model and what it says of the test people.

    Attributes
    ----------
    scores : float64 array of shape (n_test_people,)
        In the order of ``fold.test``; the mean over a person's rows.
    probabilities : float64 array of shape (n_test_people,)
        Scores calibrated by a temperature found on training people, which each
        fold has its own of: they rank people of one fold as scores do, people
        of several folds not quite.
    harmonized : object array of shape (n_test_people,)
        'none', 'site', 'identity' or 'batch'.
    fitted : Fitted or Crossfitted
        Model, harmonizer and temperature.
    notes : dict
        What the fit chose (C, epochs, …), as JSON values. With a harmonizer,
        'outside' counts test people with a number beyond its training range. Of a
        cross-fitted model 'members' holds the notes of each member.
    before : float64 array of shape (n_test_people,) or None
        Scores of the same networks with heads that no harmonizer stands before;
        None unless embeddings were harmonized.
    """

    scores: np.ndarray
    probabilities: np.ndarray
    harmonized: np.ndarray
    fitted: AnyFitted
    notes: dict[str, Any] = field(default_factory=dict)
    before: np.ndarray | None = None

    @property
    def model(self) -> Classifier:
        """The classifier; of a cross-fitted model that of the first member."""
        return self.fitted.models[0]

    @property
    def harmonizer(self) -> Harmonizer | None:
        """What harmonized the rows before the model saw them, if anything did."""
        return self.fitted.harmonizer if isinstance(self.fitted, Fitted) else None

    @property
    def temperature(self) -> float | None:
        """The temperature of the calibration, if it was found."""
        return self.fitted.temperature
