"""Is a language model needed, and is tuning one worth it? Answers from measured numbers. Knows nothing about models.

For every system: quality, learning time, latency, rows a second, size, and what a million rows cost at the prices the
user gave. Then a few sentences that follow from them. What systems cost is compared only among those that are good
enough: a fast prompt that answers wrongly is no alternative.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from metier.core.records import NeedRow, SystemAnswers, SystemKind, SystemScore
from metier.evaluation.better import SPECIALIST
from metier.evaluation.records import Need
from metier.tasks.settings import PriceSettings

# Points below the best system of a run up to which a system is good enough. Test sets of a few hundred rows cannot tell
# two systems apart that differ by so little, so the difference is no reason to pay for the more expensive one.
GOOD_ENOUGH = 2.0
_MILLION = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class PromptTokens:
    """The mean tokens of a few-shot prompt and of its answer: what an API would be paid for."""

    prompt: float
    answer: float


@dataclasses.dataclass(frozen=True, slots=True)
class Weighed:
    """One system of the table, with its kind."""

    row: NeedRow
    kind: SystemKind


def weigh(
    scores: Sequence[SystemScore],
    answers: Sequence[SystemAnswers],
    metric: str,
    *,
    prices: PriceSettings,
    few_shot: PromptTokens | None = None,
    ships: str | None = None,
) -> Need:
    """Return what every system gives and takes, and what follows from that.

    Args:
        scores: The result table; systems without a score are left out.
        answers: What the systems took, by key.
        metric: The task's first metric.
        prices: The user's.
        few_shot: What a few-shot prompt comes to; None: nothing is said about an API.
        ships: Key of the system that the run ends with, if it was chosen as the cheapest that is good enough: which to
            use, and why, is then said elsewhere. None: that is found and said here.
    """
    took = {a.system: a for a in answers}
    every = [Weighed(_row(s, took[s.system], metric, prices), s.kind) for s in scores if metric in s.scores]
    rows = tuple(one.row for one in every)
    # The tuned model asked in another way is a row to look at, but not a system that the run offers, unless it ships.
    table = [one for one in every if one.kind != "specialist" or one.row.system in (SPECIALIST, ships)]
    chosen = next((one for one in table if one.row.system == ships), None) or cheapest(table)
    if chosen is None:
        return Need(rows)
    ours = next((one.row for one in table if one.row.system == SPECIALIST), None)
    words = [] if ours is None else _pays_off(table, ours)
    if ours is not None and ships is None:
        words = [_choice(table, chosen.row, ours), *words]
    if ours is not None and few_shot is not None:
        words += _against_api(ours, few_shot, prices)
    return Need(rows, tuple(words), chosen.row.system)


def good_enough(table: Sequence[Weighed]) -> list[Weighed]:
    """Return the systems that lose at most `GOOD_ENOUGH` points to the best one."""
    best = max((one.row.score for one in table), default=0.0)
    return [one for one in table if one.row.score >= best - GOOD_ENOUGH]


def cheapest(table: Sequence[Weighed]) -> Weighed | None:
    """Return the cheapest of the systems that are good enough: by median latency, then bytes, then score."""
    return min(good_enough(table), key=_cost, default=None)


def api_cost_per_million(few_shot: PromptTokens, prices: PriceSettings) -> float | None:
    """Return what a million few-shot prompts would cost at an API's prices; None where they were not given."""
    if prices.api_input_million is None or prices.api_output_million is None:
        return None
    # A million rows times tokens a row, at a price for a million tokens.
    return few_shot.prompt * prices.api_input_million + few_shot.answer * prices.api_output_million


def _row(score: SystemScore, took: SystemAnswers, metric: str, prices: PriceSettings) -> NeedRow:
    speed = len(took.texts) / took.seconds if took.seconds else None
    hour = prices.machine_hour
    return NeedRow(
        system=score.system,
        title=score.title,
        score=score.scores[metric],
        gain=score.gain,
        learning_seconds=took.learning_seconds,
        p50=float(np.quantile(took.latencies, 0.5)) if took.latencies else None,
        p95=float(np.quantile(took.latencies, 0.95)) if took.latencies else None,
        rows_per_second=speed,
        size_bytes=took.size_bytes,
        cost_per_million=_MILLION / speed / 3600 * hour if speed and hour is not None else None,
    )


def _cost(one: Weighed) -> tuple[float, int, float]:
    if one.kind == "constant":  # it looks up one answer: nothing is loaded or computed
        return 0.0, 0, -one.row.score
    # A latency that was not measured is not taken for a short one.
    return one.row.p50 if one.row.p50 is not None else math.inf, one.row.size_bytes, -one.row.score


def _choice(table: Sequence[Weighed], chosen: NeedRow, ours: NeedRow) -> str:
    """Say which system to use: the cheapest of those that are good enough."""
    enough = good_enough(table)
    if [one.row.system for one in enough] == [SPECIALIST]:
        return (
            f"No other system comes within {GOOD_ENOUGH:g} points of the specialist ({ours.score:.1f}), "
            "so there is nothing cheaper to use in its place."
        )
    best = max(enough, key=lambda one: one.row.score).row
    if chosen.system == SPECIALIST:
        return (
            f"{len(enough)} systems score within {GOOD_ENOUGH:g} points of the best ({best.title}, {best.score:.1f}); "
            f"the specialist ({ours.score:.1f}) is the cheapest of them to run{_told(chosen)}."
        )
    kind = next(one.kind for one in table if one.row is chosen)
    advice = "no model is needed for rows like these" if kind == "constant" else "use it"
    if chosen is best:
        relation = "is the best system"
    else:
        relation = f"scores within {GOOD_ENOUGH:g} points of the best system ({best.title}, {best.score:.1f})"
    cost = "and nothing as good is cheaper to run" if len(enough) > 1 else "and no other comes near it"
    rest = "" if ours in (one.row for one in enough) else f" The specialist scores {ours.score:.1f}."
    return f"{chosen.title} ({chosen.score:.1f}) {relation}, {cost}{_told(chosen)}: {advice}.{rest}"


def _told(row: NeedRow) -> str:
    """Return what a row of a system takes, in brackets; nothing where it was not measured."""
    if row.p50 is None:
        return ""
    return f" ({row.p50:.1f} s a row)" if row.p50 >= 1 else f" ({1000 * row.p50:.3g} ms a row)"


def _pays_off(table: Sequence[Weighed], ours: NeedRow) -> list[str]:
    """Say after how many rows tuning has saved the time it took, beside the cheapest prompt that is good enough."""
    prompts = [one for one in table if one.kind == "prompted"]
    enough = good_enough(table)
    if not prompts or all(one.row is not ours for one in enough):
        return []
    usable = [one for one in prompts if one in enough]
    if not usable:
        best = max(prompts, key=lambda one: one.row.score).row
        return [
            f"No prompt is good enough to be used instead: the best of them, {best.title}, scores {best.score:.1f}."
        ]
    prompt = min(usable, key=_cost).row
    if not prompt.rows_per_second or not ours.rows_per_second:
        return []
    saved = 1 / prompt.rows_per_second - 1 / ours.rows_per_second
    if saved <= 0:
        return [
            f"{prompt.title} ({prompt.score:.1f}) is good enough and no slower per row than the specialist, so "
            "tuning never pays back in time."
        ]
    return [
        f"Tuning took {ours.learning_seconds:,.0f} s. Compared with {prompt.title} ({prompt.score:.1f}) on this "
        f"machine, it pays back in time after {ours.learning_seconds / saved:,.0f} rows."
    ]


def _against_api(ours: NeedRow, few_shot: PromptTokens, prices: PriceSettings) -> list[str]:
    api = api_cost_per_million(few_shot, prices)
    if api is None:
        return []
    said = [
        f"At your prices an API would cost {api:,.2f} {prices.currency} for a million rows with the few-shot prompt; "
        "how well its model answers was not measured."
    ]
    if ours.cost_per_million is not None and prices.machine_hour is not None:
        tuning = ours.learning_seconds / 3600 * prices.machine_hour
        saved = (api - ours.cost_per_million) / _MILLION
        if saved > 0:
            said.append(
                f"The specialist's tuning ({tuning:,.2f} {prices.currency}) is paid for after "
                f"{tuning / saved:,.0f} rows."
            )
        else:
            said.append(
                f"The specialist costs {ours.cost_per_million:,.2f} {prices.currency} for a million rows: "
                "the API is cheaper at any volume."
            )
    return said
