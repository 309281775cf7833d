"""Synthesis: a model writes, filters and answers its own training data. Knows nothing about training."""
