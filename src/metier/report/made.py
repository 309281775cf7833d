"""How a specialist was made, as plain values: what it was trained on, where that came from, and the training itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from metier.core.records import Candidate, LossPoint, Origin


@dataclasses.dataclass(frozen=True, slots=True)
class FunnelStep:
    """One step of the data's way to the training set.

    Attributes:
        stage: The step in words (``written``, ``noise``, ``balance`` …).
        kept: Pairs left after it.
        dropped: How many it dropped, by reason.
    """

    stage: str
    kept: int
    dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def entered(self) -> int:
        """Pairs that came to the step."""
        return self.kept + sum(self.dropped.values())


@dataclasses.dataclass(frozen=True, slots=True)
class Data:
    """What the specialist was trained on.

    Attributes:
        pairs_by_origin: Training pairs (those held out from training included) by where they are from.
        label_counts: Training pairs by label; empty for free text.
        synthesis_funnel: From what the model wrote or answered to what passed every filter; empty where there was
            nothing.
        selection_funnel: The rows that could be chosen from, those of them that count as the task's (where that was
            asked), and those chosen; empty where all were taken.
        candidates: A sample of what the model wrote or answered, kept and dropped.
        real_inputs: Real inputs without answers that the model answered; they are in the funnel too.
        real_kept: Those of them that passed every filter.
        as_asked: Of the inputs that were written for a label and read again, the share that was read as that label;
            None where none was.
        asked_labels: How many labels inputs were written for.
    """

    pairs_by_origin: Mapping[Origin, int]
    label_counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    synthesis_funnel: tuple[FunnelStep, ...] = ()
    selection_funnel: tuple[FunnelStep, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    real_inputs: int = 0
    real_kept: int = 0
    as_asked: float | None = None
    asked_labels: int = 0

    @property
    def pairs(self) -> int:
        """All training pairs."""
        return sum(self.pairs_by_origin.values())

    @property
    def synthetic(self) -> int:
        """Training pairs whose answers, and mostly inputs too, the model wrote."""
        return self.pairs_by_origin.get("synthetic", 0)


@dataclasses.dataclass(frozen=True, slots=True)
class RenderedExample:
    """One training example as the model was given it: the prompt, and the answer it was trained on."""

    prompt: str
    answer: str


@dataclasses.dataclass(frozen=True, slots=True)
class Training:
    """How the specialist was tuned.

    Attributes:
        method: ``lora`` (an adapter) or ``full`` (all weights).
        loss: The loss curve, in order of steps.
        chosen_epoch: The epoch (from 1) whose weights were kept; None if it was not recorded.
        rendered_example: One training example as the model saw it.
        held_out_rows: Pairs held out from training that the specialist was tried on.
        held_out_scores: Its scores on them by metric. They say nothing about real rows.
    """

    method: Literal["lora", "full"]
    loss: tuple[LossPoint, ...] = ()
    chosen_epoch: int | None = None
    rendered_example: RenderedExample | None = None
    held_out_rows: int = 0
    held_out_scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
