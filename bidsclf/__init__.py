"""bidsclf: diagnoses from fMRIPrep derivatives, evaluated honestly."""

__version__ = "0.1.0"
