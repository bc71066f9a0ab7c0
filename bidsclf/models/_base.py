"""What crossval sees of a model, and how one is found by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bidsclf.errors import ConfigError
from bidsclf.options import did_you_mean, load, names

PACKAGE = "bidsclf.models"


class Classifier(Protocol):
    """The one contract of every model.

    ``x`` is whatever ``prepare`` returned, or a part of it: anything with
    ``len`` that takes an integer array, ``x[rows]``. All randomness comes from
    the ``seed`` given when the model was made.
    """

    def fit(self, x: Any, y: np.ndarray, valid: tuple[Any, np.ndarray] | None) -> Any:
        """Learn from training rows; ``valid`` is for early stopping only."""

    def predict_score(self, x: Any) -> np.ndarray:
        """Return the score of class 1 in [0, 1], float64 of shape (n,)."""

    def save(self, folder: Path) -> dict[str, Any]:
        """Write ``model.safetensors`` and return JSON values for model.json."""

    def load(self, folder: Path, settings: dict[str, Any]) -> Any:
        """Restore from ``save``; ``settings`` is what it returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One member of a family.

    Attributes
    ----------
    input : str
        What the cohort loads: 'timeseries', 'fisherz', 'partialcorrelation',
        'covariance', 'phenotype', 'motion' or 'site'.
    make : callable
        ``make(seed=0, device="cpu")`` returns an unfitted Classifier.
    prepare : callable or None
        ``prepare(x)``: work done once for all folds; it learns nothing.
    harmonize_at : {'input', 'embedding', None}
    """

    input: str
    make: Callable[..., Classifier]
    prepare: Callable[[Any], Sequence[Any]] | None = None
    harmonize_at: str | None = None


def variants() -> dict[str, Variant]:
    """Return every member of every family, sorted; imports the families."""
    found: dict[str, Variant] = {}
    for family in names(PACKAGE):
        found |= load(PACKAGE, family).VARIANTS
    return dict(sorted(found.items()))


def find(option: str) -> Variant:
    """Return the variant that ``--models`` names.

    Raises
    ------
    ConfigError
        The family or the member is unknown; the nearest one is proposed.
    """
    members = load(PACKAGE, option).VARIANTS
    if option not in members:
        raise ConfigError(
            f"no model {option!r}; there are: {', '.join(members)}."
            f"{did_you_mean(option, list(members))}"
        )
    return members[option]
