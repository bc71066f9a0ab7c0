"""Figures: arrays in, SVG text out; nothing is read from disk."""

from bidsclf.report.figures.models import confusion, folds, forest, roc
from bidsclf.report.figures.scan import carpet, coverage, matrix, motion
from bidsclf.report.figures.sites import predictability, site_map
from bidsclf.report.figures.spread import Curve, histogram, reliability, roc_band

__all__ = [
    "Curve",
    "carpet",
    "confusion",
    "coverage",
    "folds",
    "forest",
    "histogram",
    "matrix",
    "motion",
    "predictability",
    "reliability",
    "roc",
    "roc_band",
    "site_map",
]
