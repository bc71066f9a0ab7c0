"""Metrics, intervals and tests, from a table of predictions."""
