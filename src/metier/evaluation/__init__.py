"""Evaluation: how good each system is, and whether one is significantly better. Knows nothing about training."""
