"""Who is studied: people joined with their features, one row order for everything."""

from bidsclf.cohort.build import build_cohort, load_people
from bidsclf.cohort.source import source_of
from bidsclf.cohort.table import Cohort

__all__ = ["Cohort", "build_cohort", "load_people", "source_of"]
