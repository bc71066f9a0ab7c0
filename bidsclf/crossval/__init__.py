"""The one place where training rows meet a harmonizer and a model."""

from bidsclf.crossval.bundle import (
    DESCRIPTION,
    HARMONIZER,
    WEIGHTS,
    load_bundle,
    save_bundle,
)
from bidsclf.crossval.fitted import Fitted, predict_people, score_people
from bidsclf.crossval.fold import FitResult, fit_fold, permute_fold
from bidsclf.crossval.recipe import Recipe, is_harmonized

__all__ = [
    "DESCRIPTION",
    "HARMONIZER",
    "WEIGHTS",
    "FitResult",
    "Fitted",
    "Recipe",
    "fit_fold",
    "is_harmonized",
    "load_bundle",
    "permute_fold",
    "predict_people",
    "save_bundle",
    "score_people",
]
