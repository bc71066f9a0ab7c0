"""Figures: arrays in, SVG text out; nothing is read from disk."""

from bidsclf.report.figures.bars import bars
from bidsclf.report.figures.brain import brain, connectome
from bidsclf.report.figures.latent import Dot, Shown, changes, kinds, planes, traits
from bidsclf.report.figures.learning import Course, learning
from bidsclf.report.figures.models import confusion, folds, forest, roc
from bidsclf.report.figures.regions import over_volumes, robustness, shares, sizes
from bidsclf.report.figures.scan import carpet, coverage, matrix, motion
from bidsclf.report.figures.sites import predictability, site_map
from bidsclf.report.figures.slices import slices
from bidsclf.report.figures.spread import Curve, histogram, reliability, roc_band
from bidsclf.report.figures.volumes import greymatter, volumes

__all__ = [
    "Course",
    "Curve",
    "Dot",
    "Shown",
    "bars",
    "brain",
    "carpet",
    "changes",
    "confusion",
    "connectome",
    "coverage",
    "folds",
    "forest",
    "greymatter",
    "histogram",
    "kinds",
    "learning",
    "matrix",
    "motion",
    "over_volumes",
    "planes",
    "predictability",
    "reliability",
    "robustness",
    "roc",
    "roc_band",
    "shares",
    "site_map",
    "sizes",
    "slices",
    "traits",
    "volumes",
]
