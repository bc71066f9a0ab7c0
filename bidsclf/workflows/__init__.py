"""Nipype graphs; the only folder that knows nipype."""
