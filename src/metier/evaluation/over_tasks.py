"""Compares systems over the tasks of a scenario: each task by its own metric, and the mean over all. Knows no models.

Corrected together (Holm): a scenario claims that its model is better on every task than the prompted model and than the
input itself, so all of these comparisons are one family.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from metier.core.records import Example, Interval
from metier.evaluation.metrics import get_metric
from metier.evaluation.scored import Scored, Texts
from metier.evaluation.statistics import (
    holm_of_known,
    mean_over_tasks,
    paired_bootstrap,
    percentile_interval,
    randomisation_p,
)
from metier.systems.registry import KINDS, SPECIALIST, SPECIALIST_UNSEEN, TITLES

Floats = npt.NDArray[np.float64]
_LEVEL = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class TaskAnswers:
    """One task's test rows, and what every system answered.

    Attributes:
        name: The task's name.
        metric: Its first metric.
        labels: Its labels, if it has some.
        rows: The test rows.
        answers: By system, a text for each row.
    """

    name: str
    metric: str
    labels: tuple[str, ...] | None
    rows: tuple[Example, ...]
    answers: Mapping[str, Sequence[str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Rival:
    """What the specialist is compared with on one task.

    Attributes:
        system: Its key.
        title: Its name for people.
        score: By the task's metric.
        gain: The specialist's over it; None with one row.
        p_value: Of that gain, corrected for all comparisons of the scenario.
    """

    system: str
    title: str
    score: float
    gain: Interval | None
    p_value: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What the scenario's model came to on one task.

    Attributes:
        name: The task.
        metric: What the scores are by.
        rows: How many test rows.
        specialist: Its score.
        base: The prompted model, by the best of its prompts.
        constant: The copied input, or the commonest label.
        cheap: The best system without a language model, if there is one.
        unseen: The specialist's score when asked in wordings that it was not trained on.
        holds: Whether it is surely better than both, all comparisons of the scenario counted.
    """

    name: str
    metric: str
    rows: int
    specialist: float
    base: Rival | None
    constant: Rival
    cheap: Rival | None
    unseen: float | None
    holds: bool


@dataclasses.dataclass(frozen=True, slots=True)
class ScenarioOutcome:
    """What the scenario's model came to: on each task, and its mean gain over the prompted model."""

    tasks: tuple[TaskOutcome, ...]
    mean_gain: Interval | None


@dataclasses.dataclass(frozen=True, slots=True)
class VariantOutcome:
    """What one way of training came to over the tasks.

    Attributes:
        name: The variant.
        scores: By task, the score; a task it was not tested on is left out.
        mean: Over the tasks, with its interval.
        gains: By task, over the variant that all are held against.
        mean_gain: The mean of these.
        facts: What was trained: rows, tokens, seconds.
    """

    name: str
    scores: Mapping[str, float]
    mean: Interval
    gains: Mapping[str, Interval]
    mean_gain: Interval | None
    facts: Mapping[str, float] = dataclasses.field(default_factory=dict)


def compare_tasks(tasks: Sequence[TaskAnswers], *, resamples: int = 10_000, seed: int = 0) -> ScenarioOutcome:
    """Return what the specialist came to on every task, beside the best of each kind of system."""
    settings = {"resamples": resamples, "seed": seed}
    scores = [{system: score_task(task, texts) for system, texts in task.answers.items()} for task in tasks]
    rivals = [_rivals(scored) for scored in scores]
    p_values = iter(
        holm_of_known(
            [
                randomisation_p(scored[SPECIALIST], scored[system], **settings)
                for scored, chosen in zip(scores, rivals, strict=True)
                for system in chosen.values()
            ]
        )
    )
    found = []
    for task, scored, chosen in zip(tasks, scores, rivals, strict=True):
        ours = scored[SPECIALIST]
        made = {
            kind: Rival(
                system,
                TITLES[system],
                scored[system].corpus,
                paired_bootstrap(ours, scored[system], **settings),
                next(p_values),
            )
            for kind, system in chosen.items()
        }
        unseen = scored.get(SPECIALIST_UNSEEN)
        to_beat = [made[kind] for kind in ("prompted", "constant") if kind in made]
        found.append(
            TaskOutcome(
                name=task.name,
                metric=task.metric,
                rows=len(task.rows),
                specialist=ours.corpus,
                base=made.get("prompted"),
                constant=made["constant"],
                cheap=made.get("classic"),
                unseen=unseen.corpus if unseen else None,
                holds=all(_surely_better(rival) for rival in to_beat),
            )
        )
    pairs = [
        (scored[SPECIALIST], scored[chosen["prompted"]])
        for scored, chosen in zip(scores, rivals, strict=True)
        if "prompted" in chosen
    ]
    return ScenarioOutcome(tuple(found), mean_over_tasks(pairs, **settings))


def compare_variants(
    variants: Sequence[tuple[str, Mapping[str, Scored], Mapping[str, float]]],
    *,
    against: str,
    resamples: int = 2000,
    seed: int = 0,
) -> list[VariantOutcome]:
    """Return what every variant came to, and its difference from one of them, on the tasks that both were tested on.

    Rows are drawn again within every task, the same ones for all variants; the tasks are the scenario's and stay.

    Args:
        variants: For each its name, its score on every task, and facts of its training.
        against: The variant that all are held against.
        resamples: Of the bootstrap.
        seed: Seeds it.
    """
    drawn = {
        name: {task: _draws(score, resamples, seed, task) for task, score in by_task.items()}
        for name, by_task, _ in variants
    }
    values = {name: {task: score.corpus for task, score in by_task.items()} for name, by_task, _ in variants}
    found = []
    for name, by_task, facts in variants:
        own, other = drawn[name], drawn[against]
        shared = [task for task in by_task if task in other] if name != against else []
        gains = {
            task: percentile_interval(values[name][task] - values[against][task], own[task] - other[task])
            for task in shared
        }
        found.append(
            VariantOutcome(
                name=name,
                scores=values[name],
                mean=_mean(list(values[name].values()), list(own.values())),
                gains=gains,
                mean_gain=_mean([g.value for g in gains.values()], [own[t] - other[t] for t in shared])
                if shared
                else None,
                facts=facts,
            )
        )
    return found


def score_task(task: TaskAnswers, texts: Sequence[str]) -> Scored:
    """Return one system's score on a task, by the task's metric."""
    given = Texts(texts, [row.references for row in task.rows], [row.input for row in task.rows], task.labels)
    return get_metric(task.metric).score(given)


def _mean(values: Sequence[float], draws: Sequence[Floats]) -> Interval:
    return percentile_interval(float(np.mean(values)), np.mean(draws, axis=0))


def _rivals(scored: Mapping[str, Scored]) -> dict[str, str]:
    """Return the best system of each kind; of equals the first, which is the plainer one."""
    found = {}
    for kind in ("prompted", "constant", "classic"):
        own = [system for system in scored if KINDS[system] == kind]
        if own:
            found[kind] = max(own, key=lambda system: scored[system].corpus)
    return found


def _surely_better(rival: Rival) -> bool:
    return rival.gain is not None and rival.gain.low > 0 and rival.p_value is not None and rival.p_value < _LEVEL


def _draws(score: Scored, resamples: int, seed: int, task: str) -> Floats:
    rows = len(score.stats)
    rng = np.random.default_rng([seed, *task.encode()])
    counts = rng.multinomial(rows, np.full(rows, 1 / rows), size=resamples).astype(np.float64)
    drawn: Floats = score.combine(counts @ score.stats)
    return drawn
