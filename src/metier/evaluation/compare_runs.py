"""Sets finished runs side by side: paired on rows where they share them, and over tasks. Knows no models."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from metier.core.records import Example, Interval, Verdict
from metier.evaluation.better import SPECIALIST, judge
from metier.evaluation.over_tasks import TaskAnswers, compare_task
from metier.evaluation.scored import Scored
from metier.evaluation.statistics import holm_of_known, mean_over_tasks, paired_bootstrap, randomisation_p

_SHOWN = 10


@dataclasses.dataclass(frozen=True, slots=True)
class RunAnswers:
    """What `compare_runs` must know of one run.

    Attributes:
        name: Names it in the table.
        model: The base model.
        training_pairs: How many pairs the specialist was trained on.
        task: The test rows and what every system answered.
    """

    name: str
    model: str
    training_pairs: int
    task: TaskAnswers


@dataclasses.dataclass(frozen=True, slots=True)
class RunLine:
    """One run in the table.

    Attributes:
        name: The run.
        task: Its task.
        model: Its base model.
        metric: What the scores are by.
        rows: Test rows.
        training_pairs: How many pairs its specialist was trained on.
        baseline: The best system without it, in words.
        before: That system's score.
        after: The specialist's.
        gain: The difference; None with one row.
        p_value: The largest single p-value of the systems that the verdict is about, corrected for the runs (Holm).
        verdict: What `better.judge` makes of the two.
    """

    name: str
    task: str
    model: str
    metric: str
    rows: int
    training_pairs: int
    baseline: str
    before: float
    after: float
    gain: Interval | None
    p_value: float | None
    verdict: Verdict | None


@dataclasses.dataclass(frozen=True, slots=True)
class Differing:
    """A row that two runs answered differently, with each one's score."""

    input: str
    reference: str
    first: str
    second: str
    first_score: float
    second_score: float


@dataclasses.dataclass(frozen=True, slots=True)
class Pairing:
    """Two runs' specialists on the same rows: what the second gains over the first.

    Attributes:
        first: One run.
        second: The other.
        rows: Test rows.
        gain: What the second gains over the first; None with one row.
        p_value: Of that gain, corrected for the number of pairings (Holm).
        wins: Rows on which the second scores higher.
        ties: Rows on which both score the same.
        losses: Rows on which the second scores lower.
        differing: The rows that differ most.
    """

    first: str
    second: str
    rows: int
    gain: Interval | None
    p_value: float | None
    wins: int
    ties: int
    losses: int
    differing: tuple[Differing, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class RunsCompared:
    """The whole comparison.

    Attributes:
        lines: One a run.
        pairings: Every two runs that have the same rows.
        wins: Runs whose specialist is significantly better than every system without it.
        ties: Runs where it is not shown either way.
        losses: Runs where it is significantly worse than the best system without it.
        mean: Mean gain over tasks, with an interval over tasks and rows; None with fewer than two tasks.
        mean_tasks: How many tasks that mean is over: the first run of each.
        notes: What the reader must know.
    """

    lines: tuple[RunLine, ...]
    pairings: tuple[Pairing, ...]
    wins: int
    ties: int
    losses: int
    mean: Interval | None
    mean_tasks: int
    notes: tuple[str, ...]


def compare_runs(runs: Sequence[RunAnswers], *, resamples: int = 10_000, seed: int = 0) -> RunsCompared:
    """Compare finished runs.

    Args:
        runs: At least one.
        resamples: Bootstrap replicates.
        seed: Seeds the resampling.
    """
    settings = {"resamples": resamples, "seed": seed}
    compared = [compare_task(run.task) for run in runs]
    corrected = holm_of_known([one.p_value for one in compared])
    lines = tuple(
        RunLine(
            name=run.name,
            task=run.task.name,
            model=run.model,
            metric=run.task.measure.metric,
            rows=len(run.task.rows),
            training_pairs=run.training_pairs,
            baseline=one.best.title,
            before=one.best.score,
            after=one.ours.corpus,
            gain=one.best.gain,
            p_value=p_value,
            verdict=judge(one.best.gain, p_value),
        )
        for run, one, p_value in zip(runs, compared, corrected, strict=True)
    )
    firsts = list({run.task.name: i for i, run in reversed(list(enumerate(runs)))}.values())[::-1]
    verdicts = [line.verdict for line in lines]
    notes = []
    if len({line.metric for line in lines}) > 1:
        notes.append("The runs have different metrics, so the mean over tasks adds points of different kinds.")
    if len(firsts) < len(runs):
        notes.append("Several runs have the same task; the mean over tasks takes the first of each.")
    return RunsCompared(
        lines=lines,
        pairings=_pairings(runs, [one.ours for one in compared], settings),
        wins=verdicts.count("better"),
        ties=verdicts.count("not shown to be better"),
        losses=verdicts.count("worse"),
        mean=mean_over_tasks([(compared[i].ours, compared[i].theirs) for i in firsts], **settings),
        mean_tasks=len(firsts),
        notes=tuple(notes),
    )


def _pairings(runs: Sequence[RunAnswers], scores: Sequence[Scored], settings: Mapping[str, int]) -> tuple[Pairing, ...]:
    """Return every two runs with the same rows and metric, set side by side."""
    same = [(i, k) for i, k in itertools.combinations(range(len(runs)), 2) if _alike(runs[i].task, runs[k].task)]
    p_values = holm_of_known([randomisation_p(scores[k], scores[i], **settings) for i, k in same])
    out = []
    for (i, k), p_value in zip(same, p_values, strict=True):
        difference = scores[k].rows - scores[i].rows
        out.append(
            Pairing(
                first=runs[i].name,
                second=runs[k].name,
                rows=len(difference),
                gain=paired_bootstrap(scores[k], scores[i], **settings),
                p_value=p_value,
                wins=int((difference > 0).sum()),
                ties=int((difference == 0).sum()),
                losses=int((difference < 0).sum()),
                differing=_differing(runs[i].task, runs[k].task, scores[i], scores[k]),
            )
        )
    return tuple(out)


def _alike(one: TaskAnswers, other: TaskAnswers) -> bool:
    return _asked(one.rows) == _asked(other.rows) and one.measure.metric == other.measure.metric


def _asked(rows: Sequence[Example]) -> list[tuple[str, tuple[str, ...]]]:
    return [(row.input, row.references) for row in rows]


def _differing(one: TaskAnswers, other: TaskAnswers, before: Scored, after: Scored) -> tuple[Differing, ...]:
    """Return the rows whose scores differ most."""
    difference = after.rows - before.rows
    order = sorted(range(len(difference)), key=lambda row: -abs(float(difference[row])))
    first, second = _specialist(one), _specialist(other)
    return tuple(
        Differing(
            one.rows[row].input,
            one.rows[row].output,
            first[row],
            second[row],
            float(before.rows[row]),
            float(after.rows[row]),
        )
        for row in order[:_SHOWN]
        if difference[row]
    )


def _specialist(task: TaskAnswers) -> tuple[str, ...]:
    return next(s.texts for s in task.systems if s.system == SPECIALIST)
