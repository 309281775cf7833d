"""Compares conditions of a study (budgets, strategies, controls), each trained with several seeds, on the same rows.

Knows nothing about how anything was trained. Intervals are over test rows and seeds together: both are drawn again, the
same rows for both sides of a difference (a percentile bootstrap of two levels, as there are too few seeds for more).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from metier.core.records import Interval
from metier.evaluation.scored import Scored
from metier.evaluation.statistics import percentile_interval

Floats = npt.NDArray[np.float64]
BASE = "no tuning"


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """What was trained, and how.

    Attributes:
        name: Unique in the study.
        strategy: How rows were chosen; empty for the base model.
        share: Of the pool; None for a control or the base model.
        rows: How many rows were trained on.
        tokens: What they come to.
        wordings: In how many wordings of the instruction the rows were asked; None where that was not varied.
    """

    name: str
    strategy: str
    share: float | None = None
    rows: int = 0
    tokens: int = 0
    wordings: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a condition came to, in points of the metric.

    Attributes:
        condition: Which.
        by_seed: The score of every seed.
        score: Of all seeds together, with its interval.
        over_random: The gain over as many rows at random, where that was run.
        over_related: The gain over all rows that count as the task's, where that was run.
        over_one: The gain over the same rows asked in one wording, where that was run.
    """

    condition: Condition
    by_seed: Mapping[int, float]
    score: Interval
    over_random: Interval | None = None
    over_related: Interval | None = None
    over_one: Interval | None = None


def outcomes(scored: Sequence[tuple[Condition, Mapping[int, Scored]]], *, resamples: int, seed: int) -> list[Outcome]:
    """Return what every condition came to.

    Args:
        scored: For each condition, the score of each seed's model on the same rows.
        resamples: Of the bootstrap.
        seed: Seeds it.
    """
    draws = {condition.name: _draws(by_seed, resamples, seed) for condition, by_seed in scored}
    values = {condition.name: _together(by_seed) for condition, by_seed in scored}
    names = {(c.strategy, c.share, c.wordings): c.name for c, _ in scored}
    found = []
    for condition, by_seed in scored:
        name = condition.name

        def over(rival: str | None, name: str = name) -> Interval | None:
            if rival is None or rival == name:
                return None
            return percentile_interval(values[name] - values[rival], draws[name] - draws[rival])

        share, wordings = condition.share, condition.wordings
        at_random = names.get(("random", share, wordings)) if share is not None else None
        one = names.get((condition.strategy, share, 1)) if wordings is not None else None
        related = next((c.name for c, _ in scored if c.strategy == "related"), None) if condition.strategy else None
        found.append(
            Outcome(
                condition,
                {s: one.corpus for s, one in by_seed.items()},
                percentile_interval(values[name], draws[name]),
                over(at_random),
                over(related),
                over(one),
            )
        )
    return found


def smallest_sufficient(found: Sequence[Outcome], strategy: str) -> Outcome | None:
    """Return the smallest budget of a strategy that is not shown to be worse than all related rows; None if all are.

    Also None where all related rows were not trained on.
    """
    own = [o for o in found if o.condition.strategy == strategy and o.condition.share is not None]
    reached = [o for o in own if o.over_related is not None and o.over_related.high >= 0]
    return min(reached, key=lambda o: o.condition.share or 0.0, default=None)


def _together(by_seed: Mapping[int, Scored]) -> float:
    first = next(iter(by_seed.values()))
    return float(first.combine(np.sum([one.stats.sum(axis=0) for one in by_seed.values()], axis=0)))


def _draws(by_seed: Mapping[int, Scored], resamples: int, seed: int) -> Floats:
    """Return the score of every resample; the same rows are drawn for every condition."""
    every = list(by_seed.values())
    rows = len(every[0].stats)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(rows, np.full(rows, 1 / rows), size=resamples).astype(np.float64)
    weights = rng.multinomial(len(every), np.full(len(every), 1 / len(every)), size=resamples).astype(np.float64)
    sums = sum(weights[:, [s]] * (counts @ one.stats) for s, one in enumerate(every))
    drawn: Floats = every[0].combine(np.asarray(sums))
    return drawn
