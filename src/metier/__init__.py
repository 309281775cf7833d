"""Metier: turn a small open language model into an expert at one job, and prove it."""

__version__ = "0.1.0"
