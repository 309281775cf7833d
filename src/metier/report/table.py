"""The result as a terminal table, a sentence, and one JSON object. Knows nothing of how scores came to be."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from metier.report.facts import RunFacts
from metier.report.words import count, duration, interval_text, metric_title, number, p_value, verdict_sentence

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["result_json", "result_table", "verdict_sentence"]


def result_table(facts: RunFacts) -> Table:
    """Return the table of systems by the first metric, and what the specialist gains over each, with 95% intervals.

    The other metrics are in the report: beside them a terminal has no room for the intervals.
    """
    from rich.markup import escape
    from rich.table import Table

    rows = count(facts.test_rows, "test row") if facts.systems else "no test rows"
    table = Table(title=f"{facts.name}: {rows}", box=None, pad_edge=False, title_justify="left")
    table.add_column("system", no_wrap=True)
    table.add_column(metric_title(facts.metric), justify="right", no_wrap=True)
    table.add_column("specialist's gain [95%]", justify="right")
    table.add_column("p", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for s in facts.systems:
        if not s.scores:
            table.add_row(escape(s.title), "", escape(s.note or "not had"), style="dim")
            continue
        table.add_row(
            escape(s.title),
            number(s.scores[facts.metric]) if facts.metric in s.scores else "",
            escape(interval_text(s.gain)) if s.gain else "",
            "" if s.p_value is None else p_value(s.p_value),
            "" if s.seconds is None else duration(s.seconds),
            style="bold" if s.system == "specialist" else None,
        )
    return table


def result_json(facts: RunFacts) -> dict[str, Any]:
    """Return what ``--json`` prints: run folder, verdict, scores with intervals, counts, seconds by stage."""
    return {
        "run": facts.run_folder,
        "task": facts.name,
        "model": facts.model.name,
        "recipe": facts.recipe,
        "seed": facts.seed,
        "verdict": facts.verdict,
        "sentence": verdict_sentence(facts),
        "recommended": "specialist" if facts.better else "base",
        "metric": facts.metric,
        "baseline": facts.baseline,
        "gain": dataclasses.asdict(facts.gain) if facts.gain else None,
        "ability": dataclasses.asdict(facts.ability) if facts.ability else None,
        "format": dataclasses.asdict(facts.format) if facts.format else None,
        "seeds": dict(facts.seed_scores),
        "seed_spread": facts.seed_spread,
        "rows_needed": facts.rows_needed,
        "synthetic_scores": dict(facts.synthetic_scores),
        "leaked_rows": facts.leaked_rows,
        "need": [dataclasses.asdict(row) for row in facts.need],
        "need_words": list(facts.need_words),
        "systems": {
            s.system: {
                "scores": dict(s.scores),
                "specialist_gain": dataclasses.asdict(s.gain) if s.gain else None,
                "p_value": s.p_value,
                "note": s.note,
                "seconds": s.seconds,
            }
            for s in facts.systems
        },
        "counts": {
            "test_rows": facts.test_rows,
            "training_pairs": facts.kept_pairs,
            "labels": dict(facts.label_counts),
            "funnel": {step.stage: step.kept for step in facts.funnel},
        },
        "seconds": {stage.stage: round(stage.seconds, 1) for stage in facts.stages},
        "warnings": list(facts.warnings),
    }
