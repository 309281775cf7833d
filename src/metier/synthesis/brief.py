"""What synthesis is told: the job, its examples, and how to write data for it."""

from __future__ import annotations

from dataclasses import dataclass

from metier.core.records import Example
from metier.tasks.settings import SynthesisSettings


@dataclass(frozen=True, slots=True)
class Brief:
    """One job to write training data for.

    Attributes:
        instruction: What to do with an input.
        labels: The possible answers; None for free text.
        examples: The hand-written pairs.
        settings: How much to write, and what to keep of it.
        seed: Every random choice follows from it.
        unlabelled: Real inputs without answers, for ``backward``; real texts that are answers, for ``damage``.
    """

    instruction: str
    labels: tuple[str, ...] | None
    examples: tuple[Example, ...]
    settings: SynthesisSettings
    seed: int
    unlabelled: tuple[str, ...] = ()
