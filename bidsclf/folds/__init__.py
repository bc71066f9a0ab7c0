"""Who trains, who stops the training, who is tested: people, never rows."""

from bidsclf.folds.fold import PARTS, Fold, to_table
from bidsclf.folds.said import notes
from bidsclf.folds.schemes import make_folds, whole

__all__ = ["PARTS", "Fold", "make_folds", "notes", "to_table", "whole"]
