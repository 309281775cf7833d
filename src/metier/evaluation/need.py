"""Is a language model needed, and is tuning one worth it? Answers from measured numbers. Knows nothing about models.

For every system: quality, tuning time, latency, rows a second, size, and what a million rows cost at the prices the
user gave. Then a few sentences that follow from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from metier.core.records import NeedRow, SystemScore
from metier.systems.registry import KINDS, SPECIALIST
from metier.tasks.task import PriceSettings

_MILLION = 1_000_000
# By kind of system, the cheapest first: what follows if the specialist is not shown to beat it.
_WHY = {
    "constant": "no model is needed as things are",
    "classic": "use it",
    "prompted": "it needs no tuning: use it",
    "tuned": "it needs no synthetic data: use it",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What was measured, in seconds and bytes.

    Attributes:
        seconds: Of answering all rows in batches, by system.
        latencies: Of single rows, by system.
        tuning: Seconds before the first answer, by system.
        sizes: Bytes of weights or tables, by system.
        rows: How many rows were answered in batches.
        prompt_tokens: Mean tokens of a few-shot prompt.
        answer_tokens: Mean tokens of its answer.
    """

    seconds: Mapping[str, float]
    latencies: Mapping[str, Sequence[float]]
    tuning: Mapping[str, float]
    sizes: Mapping[str, int]
    rows: int
    prompt_tokens: float = 0.0
    answer_tokens: float = 0.0


def need_rows(systems: Sequence[SystemScore], metric: str, measured: Measured, prices: PriceSettings) -> list[NeedRow]:
    """Return the table, one row for each system that was had."""
    rows = []
    for s in systems:
        if metric not in s.scores:
            continue
        seconds = measured.seconds.get(s.system)
        alone = measured.latencies.get(s.system)
        speed = measured.rows / seconds if seconds else None
        hour = prices.machine_hour
        rows.append(
            NeedRow(
                system=s.system,
                title=s.title,
                score=s.scores[metric],
                gain=s.gain,
                tuning_seconds=measured.tuning.get(s.system, 0.0),
                p50=float(np.quantile(alone, 0.5)) if alone else None,
                p95=float(np.quantile(alone, 0.95)) if alone else None,
                rows_per_second=speed,
                size_bytes=measured.sizes.get(s.system, 0),
                cost_per_million=_MILLION / speed / 3600 * hour if speed and hour is not None else None,
            )
        )
    return rows


def api_cost_per_million(measured: Measured, prices: PriceSettings) -> float | None:
    """Return what a million few-shot prompts would cost at an API's prices; None where they were not given."""
    if prices.api_input_million is None or prices.api_output_million is None:
        return None
    # A million rows times tokens a row, at a price for a million tokens.
    return measured.prompt_tokens * prices.api_input_million + measured.answer_tokens * prices.api_output_million


def need_in_words(rows: Sequence[NeedRow], measured: Measured, prices: PriceSettings) -> list[str]:
    """Return sentences that follow from the table: what to use, and the volume at which tuning pays for itself."""
    ours = next((row for row in rows if row.system == SPECIALIST), None)
    if ours is None:
        return []
    said = [_choice(ours, rows), *_pays_off(ours, rows), *_against_api(ours, measured, prices)]
    return [sentence for sentence in said if sentence]


def _choice(ours: NeedRow, rows: Sequence[NeedRow]) -> str:
    """Name the best system that the specialist is not shown to beat; of equals the one of the cheapest kind."""
    rivals = [(row, row.gain) for row in rows if row.gain is not None]
    unbeaten = [(row, gain) for row, gain in rivals if gain.low <= 0]
    if not unbeaten:
        return f"The specialist ({ours.score:.1f}) is better than all {len(rivals)} other systems, each surely: use it."
    kinds = list(_WHY)
    best, gain = max(unbeaten, key=lambda pair: (pair[0].score, -kinds.index(KINDS[pair[0].system])))
    relation = "is better than the specialist" if gain.high < 0 else "is within the interval of the specialist"
    why = _WHY[KINDS[best.system]]
    return f"{best.title} ({best.score:.1f}) {relation} ({ours.score:.1f}){_faster(best, ours)}: {why}."


def _faster(other: NeedRow, ours: NeedRow) -> str:
    if other.p50 and ours.p50 and other.p50 < ours.p50:
        times = ours.p50 / other.p50
        return f" and {times:,.0f} times faster" if times >= 2 else ""
    return ""


def _pays_off(ours: NeedRow, rows: Sequence[NeedRow]) -> list[str]:
    few_shot = next((row for row in rows if row.system == "few_shot"), None)
    if few_shot is None or not few_shot.rows_per_second or not ours.rows_per_second:
        return []
    saved = 1 / few_shot.rows_per_second - 1 / ours.rows_per_second
    if saved <= 0:
        return [f"{few_shot.title} is no slower per row than the specialist, so tuning never pays back in time."]
    volume = ours.tuning_seconds / saved
    return [
        f"Tuning took {ours.tuning_seconds:,.0f} s; against {few_shot.title} on this machine it pays back in time "
        f"after {volume:,.0f} rows."
    ]


def _against_api(ours: NeedRow, measured: Measured, prices: PriceSettings) -> list[str]:
    api = api_cost_per_million(measured, prices)
    if api is None:
        return []
    told = [f"An API at your prices would take {api:,.2f} {prices.currency} for a million rows (few-shot prompts)."]
    if ours.cost_per_million is not None and prices.machine_hour is not None:
        tuning = ours.tuning_seconds / 3600 * prices.machine_hour
        saved = (api - ours.cost_per_million) / _MILLION
        if saved > 0:
            told.append(
                f"The specialist's tuning ({tuning:,.2f} {prices.currency}) is paid for after "
                f"{tuning / saved:,.0f} rows."
            )
        else:
            told.append(f"The specialist takes {ours.cost_per_million:,.2f}: the API is cheaper at any volume.")
    return told
