"""The one place where training rows meet a harmonizer and a model."""

from bidsclf.crossval.bundle import (
    DESCRIPTION,
    HARMONIZER,
    WEIGHTS,
    load_bundle,
    names_of,
    save_bundle,
)
from bidsclf.crossval.dealing import LEAST, N_PARTS
from bidsclf.crossval.fitted import AnyFitted, Fitted, predict_people, score_people
from bidsclf.crossval.fold import fit_fold, permute_fold
from bidsclf.crossval.members import Crossfitted, Member
from bidsclf.crossval.recipe import Recipe, is_crossfitted, is_harmonized
from bidsclf.crossval.result import FitResult

__all__ = [
    "DESCRIPTION",
    "HARMONIZER",
    "LEAST",
    "N_PARTS",
    "WEIGHTS",
    "AnyFitted",
    "Crossfitted",
    "FitResult",
    "Fitted",
    "Member",
    "Recipe",
    "fit_fold",
    "is_crossfitted",
    "is_harmonized",
    "load_bundle",
    "names_of",
    "permute_fold",
    "predict_people",
    "save_bundle",
    "score_people",
]
