"""Volumes: the brain on a small grid that is the same for everyone."""
