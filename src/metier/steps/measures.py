"""How a task's answers are measured, from its settings."""

from __future__ import annotations

from metier.evaluation.measure import Measure
from metier.tasks.task import Task


def measure_of(task: Task) -> Measure:
    """Return how a task's answers are measured."""
    return Measure(task.main_metric, task.labels, task.evaluation.resamples, task.seed)
