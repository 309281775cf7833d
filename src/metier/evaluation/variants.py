"""Compares the variants of a study, each scored on one task or several, with one training seed or several.

One definition for all studies: a study of selection varies how rows are chosen for one task, a study of a scenario
varies how the model for all its tasks is made. Intervals are over test rows and training seeds: rows are drawn again
within every task and seeds within every variant, the same draws for both sides of a difference (a percentile bootstrap
of two levels, as there are too few seeds for more). The tasks are the study's and stay. Knows nothing about training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from metier.core.errors import MetierError
from metier.core.records import Interval
from metier.evaluation.scored import Scored
from metier.evaluation.statistics import percentile_interval

Floats = npt.NDArray[np.float64]
BASE = "no tuning"
"""Names the variant that answers with the base model as it is, in every study."""
RELATED = "related"
"""Under this name a variant is compared with training on all rows that count as the task's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """What was measured of one variant.

    Attributes:
        name: Unique in the study.
        scores: By task and training seed, the score on that task's test rows, the same rows for all variants.
        facts: What it was trained on and took: rows, tokens, seconds, share of the pool.
        group: Which curve it belongs to, such as the strategy that chose its rows; empty where there is none.
        over: What else it is compared with: a name for the comparison, and the variant.
    """

    name: str
    scores: Mapping[str, Mapping[int, Scored]]
    facts: Mapping[str, float] = dataclasses.field(default_factory=dict)
    group: str = ""
    over: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """What one variant gains over another, on the tasks that both were tested on.

    Attributes:
        rival: The other variant.
        by_task: The difference on each task.
        mean: Over those tasks.
    """

    rival: str
    by_task: Mapping[str, Interval]
    mean: Interval


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a variant came to, in points of each task's metric.

    Attributes:
        name: The variant.
        group: Which curve it belongs to.
        facts: What it was trained on and took.
        by_seed: By task and training seed, the score.
        by_task: By task, the score of all seeds together, with its interval.
        mean: Over the tasks.
        over: What it gains over other variants, by the name of the comparison.
    """

    name: str
    group: str
    facts: Mapping[str, float]
    by_seed: Mapping[str, Mapping[str, float]]
    by_task: Mapping[str, Interval]
    mean: Interval
    over: Mapping[str, Difference]


def compare_variants(
    variants: Sequence[Variant], *, against: str | None = None, resamples: int = 2000, seed: int = 0
) -> tuple[Outcome, ...]:
    """Return what every variant came to, and what it gains over those that it is compared with.

    Args:
        variants: At least one.
        against: A variant that all others are compared with, under its own name; beside what each says itself.
        resamples: Of the bootstrap.
        seed: Seeds it.

    Raises:
        MetierError: Two variants were not tested on the same rows of a task, or one is compared with an unknown one.
    """
    _check(variants, against)
    drawn = {v.name: {task: _replicates(by, task, resamples, seed) for task, by in v.scores.items()} for v in variants}
    values = {v.name: {task: _together(by) for task, by in v.scores.items()} for v in variants}
    found = []
    for v in variants:
        rivals = {name: rival for name, rival in v.over.items() if rival != v.name}
        if against is not None and v.name != against:
            rivals[against] = against
        over = {
            name: _difference(rival, (values[v.name], values[rival]), (drawn[v.name], drawn[rival]))
            for name, rival in rivals.items()
        }
        own = drawn[v.name]
        found.append(
            Outcome(
                name=v.name,
                group=v.group,
                facts=v.facts,
                by_seed={t: {str(s): one.corpus for s, one in by.items()} for t, by in v.scores.items()},
                by_task={task: percentile_interval(values[v.name][task], own[task]) for task in own},
                mean=_mean(list(values[v.name].values()), list(own.values())),
                over={name: difference for name, difference in over.items() if difference is not None},
            )
        )
    return tuple(found)


def smallest_sufficient(found: Sequence[Outcome], group: str) -> Outcome | None:
    """Return the smallest budget of a group that is not shown to be worse than training on all related rows.

    None if every budget is shown to be worse, and where all related rows were not trained on. A budget is a variant
    whose facts have a ``share``; it must be compared under the name `RELATED`.
    """
    own = [o for o in found if o.group == group and "share" in o.facts and RELATED in o.over]
    reached = [o for o in own if o.over[RELATED].mean.high >= 0]
    return min(reached, key=lambda o: o.facts["share"], default=None)


def _difference(
    rival: str,
    values: tuple[Mapping[str, float], Mapping[str, float]],
    drawn: tuple[Mapping[str, Floats], Mapping[str, Floats]],
) -> Difference | None:
    """Return one variant's difference from another; None where no task was given to both."""
    shared = [task for task in values[0] if task in values[1]]
    if not shared:
        return None
    points = [values[0][task] - values[1][task] for task in shared]
    draws = [drawn[0][task] - drawn[1][task] for task in shared]
    by_task = {
        task: percentile_interval(*one) for task, one in zip(shared, zip(points, draws, strict=True), strict=True)
    }
    return Difference(rival, by_task, _mean(points, draws))


def _mean(values: Sequence[float], draws: Sequence[Floats]) -> Interval:
    return percentile_interval(float(np.mean(values)), np.mean(draws, axis=0))


def _together(by_seed: Mapping[int, Scored]) -> float:
    """Return the score of all seeds' answers taken together."""
    every = list(by_seed.values())
    return float(every[0].combine(np.sum([one.stats.sum(axis=0) for one in every], axis=0))) + _shift(every)


def _replicates(by_seed: Mapping[int, Scored], task: str, resamples: int, seed: int) -> Floats:
    """Return the score of every resample.

    The generators depend on the task and on the number of seeds alone, so the same rows are drawn for every variant,
    and the same seeds for every task of a variant and for every variant with as many.
    """
    every = list(by_seed.values())
    rows = len(every[0].stats)
    by_row = np.random.default_rng([seed, *task.encode()])
    counts = by_row.multinomial(rows, np.full(rows, 1 / rows), size=resamples).astype(np.float64)
    by_place = np.random.default_rng([seed, len(every)])
    weights = by_place.multinomial(len(every), np.full(len(every), 1 / len(every)), size=resamples).astype(np.float64)
    sums = sum(weights[:, [place]] * (counts @ one.stats) for place, one in enumerate(every))
    drawn: Floats = every[0].combine(np.asarray(sums)) + _shift(every)
    return drawn


def _shift(every: Sequence[Scored]) -> float:
    """Return what corpus scores are above what their sums say (GLEU's draws), which replicates are moved by."""
    return float(np.mean([one.corpus - float(one.combine(one.stats.sum(axis=0))) for one in every]))


def _check(variants: Sequence[Variant], against: str | None) -> None:
    names = {v.name for v in variants}
    for rival in [*(r for v in variants for r in v.over.values()), *([against] if against is not None else [])]:
        if rival not in names:
            raise MetierError(f"{rival!r} is not a variant of the study")
    rows: dict[str, int] = {}
    for v in variants:
        if not v.scores or not all(v.scores.values()):
            raise MetierError(f"{v.name}: it was not scored")
        for task, by_seed in v.scores.items():
            for one in by_seed.values():
                if rows.setdefault(task, len(one.stats)) != len(one.stats):
                    raise MetierError(f"{v.name}, {task}: not the same rows: {len(one.stats)} and {rows[task]}")
