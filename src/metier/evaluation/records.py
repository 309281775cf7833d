"""What evaluation finds beside scores, as plain records that a report can read without a numerical library."""

from __future__ import annotations

import dataclasses
from typing import Literal

from metier.core.records import Interval, LabelFacts, NeedRow, ReliabilityBin

WORST_LOSS = 5.0
"""Times the tolerance: what the interval of a System that is good enough to ship may allow for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """What the gain of written answers over few-shot prompting is made of, in points of exact match.

    Attributes:
        ability: What scoring the labels gained: the model tells them apart better.
        format: What writing gained beyond that: the model says what it knew already.
    """

    ability: Interval
    format: Interval


@dataclasses.dataclass(frozen=True, slots=True)
class SeedScore:
    """The specialist of one training seed: its score by the first metric, and its gain over the best rival."""

    seed: int
    score: float
    gain: float


@dataclasses.dataclass(frozen=True, slots=True)
class ByLabel:
    """Where a classifier goes wrong.

    Attributes:
        confusion: Rows by right label and answered label, ``[labels, labels + 1]``; the last column: no label.
        labels: How each label fared, in the order of the task's labels.
        reliability: How confident the classifier was, and how often right; empty without probabilities.
        calibration_error: The expected calibration error, 0 to 1; None without probabilities.
    """

    confusion: tuple[tuple[int, ...], ...]
    labels: tuple[LabelFacts, ...]
    reliability: tuple[ReliabilityBin, ...] = ()
    calibration_error: float | None = None

    @property
    def never_predicted(self) -> tuple[str, ...]:
        """Labels that were never answered."""
        return tuple(fact.label for fact in self.labels if not fact.predicted)


@dataclasses.dataclass(frozen=True, slots=True)
class Need:
    """Whether a language model is needed, and whether tuning one is worth it.

    Attributes:
        rows: What each system gives and takes, in the order of the result table.
        words: What follows from that, in sentences.
        cheapest: Key of the cheapest system that is good enough; None where nothing was scored.
    """

    rows: tuple[NeedRow, ...] = ()
    words: tuple[str, ...] = ()
    cheapest: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Confidence:
    """How a classifier's probabilities are read.

    Attributes:
        temperature: What log-probabilities are divided by.
        brier: Mean squared error of the probabilities, cross-fitted, 0 to 2.
        calibration_error: Expected calibration error, cross-fitted, 0 to 1.
        rows: How many rows it was fitted on.
    """

    temperature: float
    brier: float
    calibration_error: float
    rows: int


@dataclasses.dataclass(frozen=True, slots=True)
class Threshold:
    """From which probability on a classifier answers.

    Attributes:
        accuracy: What was asked for, 0 to 1.
        threshold: Below it the classifier abstains; above 1 where no threshold was shown to be enough.
        answered: Share of the rows that are answered.
        right: Share of those that are right.
        lower: Its lower bound, with 95% confidence.
        state: ``firm``, or ``provisional`` where there were few rows.
    """

    accuracy: float
    threshold: float
    answered: float
    right: float
    lower: float
    state: Literal["firm", "provisional"]
