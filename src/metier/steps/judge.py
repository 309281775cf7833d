"""The judging step: every System's answers to the same rows scored and compared. Asks no model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from metier.core.records import Example, MissingSystem, Prediction, SystemAnswers
from metier.core.step import Done, Work, once
from metier.data.leakage import Leak, find_leaks
from metier.data.mixture import MixedRow
from metier.evaluation.compare import Comparison, compare
from metier.evaluation.measure import Measure
from metier.steps.context import Context
from metier.steps.gather import TaskRows
from metier.steps.measures import measure_of


@dataclasses.dataclass(frozen=True, slots=True)
class JudgeInputs:
    """All that a comparison depends on.

    Attributes:
        measure: How answers are scored.
        rows: The test rows.
        systems: What every System answered, without what it took.
        missing: Systems that could not be had.
        more_seeds: By training seed, what further specialists answered.
        leakage: Training inputs that are nearly test inputs.
    """

    measure: Measure
    rows: tuple[Example, ...]
    systems: tuple[SystemAnswers, ...]
    missing: tuple[MissingSystem, ...]
    more_seeds: Mapping[str, tuple[str, ...]]
    leakage: tuple[Leak, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """A comparison, with the rows it was made on.

    Attributes:
        rows: The test rows.
        predictions: What every System answered to each.
        leakage: Training inputs that are nearly test inputs.
        comparison: What came of it; its own predictions are left out, as they are here.
    """

    rows: tuple[Example, ...]
    predictions: tuple[Prediction, ...]
    leakage: tuple[Leak, ...]
    comparison: Comparison


def judge(
    c: Context,
    rows: TaskRows,
    systems: Sequence[SystemAnswers],
    missing: Sequence[MissingSystem],
    more_seeds: Mapping[int, Sequence[str]],
    trained_on: Sequence[MixedRow],
) -> Done[Judged]:
    """Score and compare what every System answered.

    Args:
        c: The run's context.
        rows: The task and its test rows.
        systems: What was answered.
        missing: Systems that could not be had.
        more_seeds: By training seed, what further specialists answered.
        trained_on: The rows of the mixture, to find leaks by.
    """
    inputs = JudgeInputs(
        measure=measure_of(rows.task),
        rows=rows.tested,
        # Times differ between equal runs, so they are not part of the comparison.
        systems=tuple(
            SystemAnswers(s.system, s.title, s.kind, s.texts, s.probabilities, size_bytes=s.size_bytes) for s in systems
        ),
        missing=tuple(missing),
        more_seeds={str(seed): tuple(texts) for seed, texts in more_seeds.items()},
        leakage=_leaks(rows, trained_on),
    )
    done = once(c.of(rows.task.name), "evaluation", inputs, _judge)
    if done.before:
        c.reporter.say("evaluation: done before")
    return done


def _leaks(rows: TaskRows, trained_on: Sequence[MixedRow]) -> tuple[Leak, ...]:
    training = [*(e.input for e in rows.examples), *(row.input for row in trained_on if row.origin != "example")]
    similarity = rows.task.evaluation.leakage_similarity
    return tuple(find_leaks(training, [row.input for row in rows.tested], similarity=similarity))


def _judge(inputs: JudgeInputs, work: Work) -> Judged:
    comparison = compare(
        inputs.measure,
        inputs.rows,
        inputs.systems,
        missing=inputs.missing,
        more_seeds={int(seed): texts for seed, texts in inputs.more_seeds.items()},
        leaked=sorted({leak.row for leak in inputs.leakage}),
    )
    return Judged(inputs.rows, comparison.predictions, inputs.leakage, dataclasses.replace(comparison, predictions=()))
