"""Evaluation: how good each system is, and how surely one is better. Knows nothing about training."""
