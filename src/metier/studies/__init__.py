"""Variants of a run on the same rows."""
