"""The records that flow from stage to stage. Knows nothing about anything else.

Every record is a frozen dataclass of plain values, so that it goes to JSON Lines and back unchanged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """One labelled pair: what the specialist is given, and what it should answer.

    Attributes:
        input: What is given.
        output: A right answer.
        others: Further right answers, where a data set has several.
        instruction: What to do with the input, where that is not the task's; empty for an input that says it itself.
    """

    input: str
    output: str
    others: tuple[str, ...] = ()
    instruction: str | None = None

    @property
    def references(self) -> tuple[str, ...]:
        """Every right answer, the first one first."""
        return (self.output, *self.others)


REAL = "real."
"""How the id of a candidate with a real input begins."""


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """One synthetic pair on its way to the training set, kept or dropped.

    Attributes:
        id: Unique within a run; says in which round and place it was made.
        input: The input the model wrote, or a real one without an answer.
        output: The answer chosen for it; empty until it is annotated.
        asked_label: The label (or output) the model was asked to write an input for, if any.
        dropped_by: Name of the filter that dropped it (``empty``, ``noise`` …); None while it is kept.
        reason: In words, why it was dropped.
        share: Share of the sampled answers that agree with ``output`` (or its probability among the labels).
        answers: The answers that were sampled for it, as the model wrote them.
    """

    id: str
    input: str
    output: str = ""
    asked_label: str | None = None
    dropped_by: str | None = None
    reason: str | None = None
    share: float | None = None
    answers: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether no filter has dropped it."""
        return self.dropped_by is None

    @property
    def real(self) -> bool:
        """Whether its input is a real one, and not written by the model."""
        return self.id.startswith(REAL)


@dataclasses.dataclass(frozen=True, slots=True)
class Prediction:
    """What one system answered for one test row.

    Attributes:
        row: Index of the row in the test set, from 0.
        system: Which system answered (``zero_shot``, ``few_shot``, ``specialist`` …).
        input: The row's input.
        reference: The row's right answer.
        raw: The system's output as it came.
        prediction: The output as it is scored.
        score: The row's score by the run's first metric, 0 to 100.
    """

    row: int
    system: str
    input: str
    reference: str
    raw: str
    prediction: str
    score: float


Verdict = Literal["better", "not shown to be better", "worse"]


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """A difference with its 95% interval, in points (0 to 100)."""

    value: float
    low: float
    high: float


SystemKind = Literal["constant", "prompted", "tuned", "classic", "specialist"]
"""constant: needs no model; prompted: the base model as it is; tuned: the base model tuned otherwise than by the run;
classic: no language model at test time; specialist: the run's own."""


@dataclasses.dataclass(frozen=True, slots=True)
class LossPoint:
    """The loss after an optimiser step (nats per trained token); None where it was not measured."""

    step: int
    epoch: float
    train: float | None = None
    holdout: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class SystemScore:
    """One row of the result table: a system, its scores, and what it cost.

    Attributes:
        system: Short key of the system (``majority``, ``zero_shot``, ``few_shot``, ``specialist`` …).
        title: The same in words for people.
        scores: Corpus score by metric name; empty where the system could not be had.
        gain: The specialist's paired gain over this system by the first metric (None on the specialist's row).
        seconds: Wall-clock seconds its predictions took; None if they were not timed.
        note: Why it is missing, or how to read it.
        kind: What kind of system it is.
        p_value: Of that gain by approximate randomisation, uncorrected.
    """

    system: str
    title: str
    scores: Mapping[str, float]
    gain: Interval | None = None
    seconds: float | None = None
    note: str | None = None
    kind: SystemKind = "prompted"
    p_value: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class NeedRow:
    """What one system gives and takes.

    Attributes:
        system: Its key.
        title: Its name for people.
        score: By the task's first metric.
        gain: The specialist's gain over it.
        learning_seconds: What had to be done before its first answer: synthesis, training; 0 for a prompted model.
        p50: Median seconds of a row answered alone; None if it was not measured.
        p95: The 95th percentile of the same.
        rows_per_second: Throughput in batches.
        size_bytes: What its weights or tables take, in memory and on disk.
        cost_per_million: Of a million rows in the user's currency; None without prices.
    """

    system: str
    title: str
    score: float
    gain: Interval | None
    learning_seconds: float
    p50: float | None
    p95: float | None
    rows_per_second: float | None
    size_bytes: int
    cost_per_million: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class LabelFacts:
    """How one label fared with the specialist, in percent: of its rows found, and of its uses right."""

    label: str
    rows: int
    predicted: int
    precision: float
    recall: float
    f1: float


@dataclasses.dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows that the specialist was about as sure of: how many, how sure on average, and how often right (0 to 1)."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """What a System answered, an entry for each input.

    Attributes:
        texts: The answers; empty where the input did not fit the model's context and was not asked.
        probabilities: ``[inputs, labels]``, in the order of the task's labels; None where the System has none. A row of
            zeros is an input that was not asked.
        unasked: How many inputs did not fit.
    """

    texts: tuple[str, ...]
    probabilities: tuple[tuple[float, ...], ...] | None = None
    unasked: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class SystemAnswers:
    """A System's answers to the test rows, and what they took.

    Attributes:
        system: Its key.
        title: Its name for people.
        kind: What kind of System it is.
        texts: Its answers, one a row.
        probabilities: As `Answers` has them.
        learning_seconds: What was done before its first answer: writing data, tuning; 0 for a prompt.
        seconds: Answering all rows in batches.
        latencies: Seconds of single rows, answered alone.
        size_bytes: Its weights or tables.
    """

    system: str
    title: str
    kind: SystemKind
    texts: tuple[str, ...]
    probabilities: tuple[tuple[float, ...], ...] | None = None
    learning_seconds: float = 0.0
    seconds: float | None = None
    latencies: tuple[float, ...] = ()
    size_bytes: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class MissingSystem:
    """A System that could not be had, and why."""

    system: str
    title: str
    kind: SystemKind
    why: str


Origin = Literal["example", "labelled", "synthetic", "pool", "generic"]
"""Where a training pair is from: the task's hand-written examples, its labelled rows, what the model wrote, rows chosen
from a pool, or generic instruction data."""
