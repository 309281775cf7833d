"""Sets finished runs side by side: paired on rows where they share them, and over tasks. Knows no models."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from metier.core.records import Interval, Verdict
from metier.evaluation.metrics import get_metric
from metier.evaluation.scored import Scored, Texts
from metier.evaluation.statistics import holm_of_known, mean_over_tasks, paired_bootstrap, randomisation_p, verdict
from metier.systems.registry import SPECIALIST, TITLES

_SHOWN = 10


@dataclasses.dataclass(frozen=True, slots=True)
class RunAnswers:
    """What `compare_runs` must know of one run.

    Attributes:
        name: Names it in the table.
        task: The task's name.
        model: The base model.
        metric: The task's first metric.
        labels: The task's labels.
        baseline: The system its verdict is about.
        training_pairs: What the specialist was trained on.
        inputs: The test inputs, ``[rows]``.
        references: For each, the right answers.
        answers: By system, a text for each row.
    """

    name: str
    task: str
    model: str
    metric: str
    labels: tuple[str, ...] | None
    baseline: str
    training_pairs: int
    inputs: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    answers: Mapping[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class RunLine:
    """One run in the table: its best other system, its specialist, and the gain."""

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
    """Two runs' specialists on the same rows: what the second gains over the first."""

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
        wins: Runs whose specialist is surely better than the best other system.
        ties: Runs where it is not shown either way.
        losses: Runs where it is surely worse.
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
    after = [_score(run, SPECIALIST) for run in runs]
    before = [_score(run, run.baseline) for run in runs]
    gains = [paired_bootstrap(a, b, **settings) for a, b in zip(after, before, strict=True)]
    p_values = holm_of_known([randomisation_p(a, b, **settings) for a, b in zip(after, before, strict=True)])
    verdicts = [verdict(gain) if gain else None for gain in gains]
    lines = tuple(
        RunLine(
            run.name,
            run.task,
            run.model,
            run.metric,
            len(run.inputs),
            run.training_pairs,
            TITLES.get(run.baseline, run.baseline),
            b.corpus,
            a.corpus,
            gain,
            p,
            said,
        )
        for run, a, b, gain, p, said in zip(runs, after, before, gains, p_values, verdicts, strict=True)
    )
    firsts = list({run.task: i for i, run in reversed(list(enumerate(runs)))}.values())[::-1]
    pairings = _pairings(runs, after, settings)
    notes = []
    if len({run.metric for run in runs}) > 1:
        notes.append("The runs have different metrics; the mean over tasks adds points of different kinds.")
    if len(firsts) < len(runs):
        notes.append("Several runs have the same task; the mean over tasks takes the first of each.")
    return RunsCompared(
        lines=lines,
        pairings=pairings,
        wins=verdicts.count("better"),
        ties=verdicts.count("not shown to be better"),
        losses=verdicts.count("worse"),
        mean=mean_over_tasks([(after[i], before[i]) for i in firsts], **settings),
        mean_tasks=len(firsts),
        notes=tuple(notes),
    )


def _score(run: RunAnswers, system: str) -> Scored:
    return get_metric(run.metric).score(Texts(run.answers[system], run.references, run.inputs, run.labels))


def _pairings(runs: Sequence[RunAnswers], scores: Sequence[Scored], settings: Mapping[str, int]) -> tuple[Pairing, ...]:
    same = [
        (i, k)
        for i, k in itertools.combinations(range(len(runs)), 2)
        if (runs[i].inputs, runs[i].references, runs[i].metric) == (runs[k].inputs, runs[k].references, runs[k].metric)
    ]
    p_values = holm_of_known([randomisation_p(scores[k], scores[i], **settings) for i, k in same])
    out = []
    for (i, k), p in zip(same, p_values, strict=True):
        difference = scores[k].rows - scores[i].rows
        order = sorted(range(len(difference)), key=lambda row: -abs(float(difference[row])))
        first, second = runs[i].answers[SPECIALIST], runs[k].answers[SPECIALIST]
        out.append(
            Pairing(
                runs[i].name,
                runs[k].name,
                len(difference),
                paired_bootstrap(scores[k], scores[i], **settings),
                p,
                int((difference > 0).sum()),
                int((difference == 0).sum()),
                int((difference < 0).sum()),
                tuple(
                    Differing(
                        runs[i].inputs[row],
                        runs[i].references[row][0],
                        first[row],
                        second[row],
                        float(scores[i].rows[row]),
                        float(scores[k].rows[row]),
                    )
                    for row in order[:_SHOWN]
                    if difference[row]
                ),
            )
        )
    return tuple(out)
