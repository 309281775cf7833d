"""The result as a terminal table and as one JSON object. Knows nothing of how scores came to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metier.core.codec import encode
from metier.evaluation.better import SPECIALIST
from metier.report.facts import RunFacts
from metier.report.sentences import advice, caveats, verdict_sentence
from metier.report.words import count, duration, interval_text, metric_title, number, p_value

if TYPE_CHECKING:
    from rich.table import Table


def result_table(facts: RunFacts) -> Table:
    """Return the table of systems by the first metric, what the specialist gains over each, and what each took.

    The other metrics are in the report: beside them a terminal has no room for the intervals.
    """
    from rich.markup import escape
    from rich.table import Table

    rows = count(facts.judged.rows, "test row") if facts.judged else "no test rows"
    table = Table(title=f"{facts.name}: {rows}", box=None, pad_edge=False, title_justify="left")
    table.add_column("system", no_wrap=True)
    table.add_column(metric_title(facts.metric), justify="right", no_wrap=True)
    table.add_column("specialist's gain [95%]", justify="right")
    table.add_column("p (uncorrected)", justify="right")
    table.add_column("learning", justify="right", no_wrap=True)
    table.add_column("answering", justify="right", no_wrap=True)
    learning = {row.system: row.learning_seconds for row in facts.judged.need.rows} if facts.judged else {}
    for s in facts.judged.systems if facts.judged else ():
        if not s.scores:
            table.add_row(escape(s.title), "", escape(s.note or "not available"), style="dim")
            continue
        table.add_row(
            escape(s.title),
            number(s.scores[facts.metric]) if facts.metric in s.scores else "",
            escape(interval_text(s.gain)) if s.gain else "",
            "" if s.p_value is None else p_value(s.p_value),
            duration(learning[s.system]) if learning.get(s.system) else "",
            "" if s.seconds is None else duration(s.seconds),
            style="bold" if s.system == SPECIALIST else None,
        )
    return table


def result_json(facts: RunFacts) -> dict[str, object]:
    """Return what ``--json`` prints: run folder, verdict, scores with intervals, counts, seconds by stage.

    ``recommended`` is the key of the system to use, the cheapest that is good enough; without a test it is ``base``.
    """
    advised = facts.judged.advised if facts.judged else None
    return {
        "run": facts.run_folder,
        "task": facts.name,
        "model": facts.model.name,
        "recipe": facts.recipe,
        "seed": facts.seed,
        "verdict": facts.verdict,
        "sentence": verdict_sentence(facts),
        "notes": list(caveats(facts)),
        "recommended": advised.system if advised else "base",
        "advice": advice(facts),
        "product": encode(facts.product),
        "metric": facts.metric,
        **_judged(facts),
        "held_out_scores": dict(facts.training.held_out_scores),
        "counts": {
            "test_rows": facts.judged.rows if facts.judged else 0,
            "training_pairs": facts.data.pairs,
            "pairs_by_origin": dict(facts.data.pairs_by_origin),
            "labels": dict(facts.data.label_counts),
            "synthesis": {step.stage: step.kept for step in facts.data.synthesis_funnel},
            "selection": {step.stage: step.kept for step in facts.data.selection_funnel},
        },
        "seconds": {stage.stage: round(stage.seconds, 1) for stage in facts.stages},
        "warnings": list(facts.warnings),
    }


def _judged(facts: RunFacts) -> dict[str, object]:
    """Return what the test said; the keys are there without a test too, and empty."""
    judged = facts.judged
    split = judged.split if judged else None
    return {
        "baseline": judged.baseline if judged else None,
        "gain": encode(judged.gain) if judged else None,
        "p_value": judged.p_value if judged else None,
        "p_value_corrected_for": judged.claims if judged else None,
        "ability": encode(split.ability) if split else None,
        "format": encode(split.format) if split else None,
        "seeds": {str(one.seed): one.score for one in judged.seeds} if judged else {},
        "seed_spread": judged.seed_spread if judged else None,
        "detectable": judged.detectable if judged else None,
        "rows_needed": judged.rows_needed if judged else None,
        "leaked_rows": judged.leaked_rows if judged else 0,
        "need": encode(judged.need.rows) if judged else [],
        "need_words": list(judged.need.words) if judged else [],
        "systems": {
            s.system: {
                "scores": dict(s.scores),
                "specialist_gain": encode(s.gain),
                "p_value_uncorrected": s.p_value,
                "note": s.note,
                "seconds": s.seconds,
            }
            for s in (judged.systems if judged else ())
        },
    }
