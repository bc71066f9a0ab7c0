"""Site effects, learned from training rows and removed from any row."""

from bidsclf.harmonize._base import Harmonizer, make, restore, with_policy

__all__ = ["Harmonizer", "make", "restore", "with_policy"]
