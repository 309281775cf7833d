"""The result as a terminal table, as a sentence, and as one JSON object. Knows nothing of how scores came to be."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from metier.records import Interval
from metier.report.facts import RunFacts

if TYPE_CHECKING:
    from rich.table import Table

METRIC_TITLES = {
    "exact_match": "exact match",
    "label_match": "label match",
    "rouge_l": "ROUGE-L",
    "char_lcs_f1": "char LCS F1",
}


def result_table(facts: RunFacts) -> Table:
    """Return the table of systems: scores, and what the specialist gains over each, with 95% intervals."""
    from rich.table import Table

    table = Table(title=f"{facts.name}: {facts.test_rows} test rows", box=None, pad_edge=False, title_justify="left")
    table.add_column("system", no_wrap=True)
    for metric in facts.metrics:
        table.add_column(METRIC_TITLES[metric], justify="right")
    table.add_column("specialist's gain [95%]", justify="right", no_wrap=True)
    table.add_column("seconds", justify="right")
    for s in facts.systems:
        table.add_row(
            s.title,
            *(f"{s.scores[m]:.1f}" for m in facts.metrics),
            interval_text(s.gain) if s.gain else "",
            f"{s.seconds:.0f}" if s.seconds is not None else "",
            style="bold" if s.system == "specialist" else None,
        )
    return table


def verdict_sentence(facts: RunFacts) -> str:
    """Return the verdict in one sentence; where there can be none, why."""
    metric = METRIC_TITLES[facts.metric]
    if facts.verdict is None or facts.gain is None:
        why = "there is no test set" if facts.test_source is None else "the test set is too small for an interval"
        return f"Whether the specialist is better cannot be known: {why}. Keep the base model until it is."
    over = next(s.title for s in facts.systems if s.system == facts.baseline)
    numbers = (
        f"{facts.gain.value:+.1f} points {metric} over the best of the other rows ({over}), "
        f"95% interval {facts.gain.low:+.1f} to {facts.gain.high:+.1f}, on {facts.test_rows} rows"
    )
    if facts.verdict == "better":
        return f"Better: {numbers}."
    return f"{facts.verdict.capitalize()}: {numbers}. Keep the base model."


def interval_text(interval: Interval) -> str:
    """Return a difference with its interval, such as ``+12.0 [+6.1, +18.4]``."""
    return f"{interval.value:+.1f} [{interval.low:+.1f}, {interval.high:+.1f}]"


def result_json(facts: RunFacts) -> dict[str, Any]:
    """Return what ``--json`` prints: run folder, verdict, scores with intervals, counts, seconds by stage."""
    return {
        "run": facts.run_folder,
        "task": facts.name,
        "model": facts.model.name,
        "recipe": facts.recipe,
        "seed": facts.seed,
        "verdict": facts.verdict,
        "recommended": "specialist" if facts.better else "base",
        "metric": facts.metric,
        "baseline": facts.baseline,
        "gain": dataclasses.asdict(facts.gain) if facts.gain else None,
        "systems": {
            s.system: {
                "scores": dict(s.scores),
                "specialist_gain": dataclasses.asdict(s.gain) if s.gain else None,
                "seconds": s.seconds,
            }
            for s in facts.systems
        },
        "counts": {
            "test_rows": facts.test_rows,
            "training_pairs": facts.kept_pairs,
            "funnel": {step.stage: step.kept for step in facts.funnel},
        },
        "seconds": {stage.stage: round(stage.seconds, 1) for stage in facts.stages},
        "warnings": list(facts.warnings),
    }
