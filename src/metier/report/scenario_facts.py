"""The finished facts of a scenario, as plain values: one model, or several, for many tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from metier.data.mixture import MakeUp
from metier.data.packing import Packing
from metier.evaluation.over_tasks import ScenarioOutcome
from metier.evaluation.records import Need
from metier.report.facts import MachineFacts


@dataclasses.dataclass(frozen=True, slots=True)
class ScenarioFacts:
    """Everything a report says about one scenario. Each task has `facts.RunFacts` of its own.

    Attributes:
        name: The scenario's name.
        digest: Hash of its mixture and tasks.
        run_folder: Where it was run.
        model: The base model.
        adapters: Whether one model answers all tasks, or each has its own.
        tuning: ``lora`` (an adapter) or ``full`` (all weights).
        seed: Its seed.
        machine: Where it was made.
        outcome: What the specialist came to on each task that has a test.
        mixture: What was trained on, by task.
        packing: How the rows fill sequences.
        training_seconds: Of all training.
        writing_seconds: Of writing synthetic pairs for all tasks; part of what tuning costs.
        need: By task, what each system gives and takes, and what follows from that.
    """

    name: str
    digest: str
    run_folder: str
    model: str
    adapters: Literal["one", "each", "one_then_each"]
    tuning: Literal["lora", "full"]
    seed: int
    machine: MachineFacts
    outcome: ScenarioOutcome
    mixture: Mapping[str, MakeUp]
    packing: Packing
    training_seconds: float
    writing_seconds: float = 0.0
    need: Mapping[str, Need] = dataclasses.field(default_factory=dict)

    @property
    def all_hold(self) -> bool:
        """Whether the specialist is significantly better than every system without it on every task."""
        return bool(self.outcome.tasks) and all(task.holds for task in self.outcome.tasks)

    @property
    def learning_seconds(self) -> float:
        """All that was done before the first answer: writing and training."""
        return self.writing_seconds + self.training_seconds
