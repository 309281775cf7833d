"""Writes the report: one HTML file that stands alone. Knows nothing of how a fact came to be.

All that a model or a data file said is untrusted text, so the template escapes everything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metier import storage
from metier.report import svg
from metier.report.facts import RunFacts
from metier.report.table import METRIC_TITLES, interval_text, verdict_sentence


def write_report(facts: RunFacts, path: Path) -> None:
    """Write the page, whole or not at all.

    Args:
        facts: What to say.
        path: The HTML file.
    """
    storage.write_text(path, render(facts))


def render(facts: RunFacts) -> str:
    """Return the page as text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("metier.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("template.html.j2").render(
        facts=facts,
        verdict=verdict_sentence(facts),
        titles=METRIC_TITLES,
        interval_text=interval_text,
        gains=svg.intervals(
            [(s.title, s.gain.value, s.gain.low, s.gain.high) for s in facts.systems if s.gain],
            f"points {METRIC_TITLES[facts.metric]}",
        ),
        funnel=svg.bars(
            [(step.stage.replace("_", " "), step.kept) for step in facts.funnel],
            "Pairs left after each filter",
        ),
        loss=svg.curves(
            [
                ("training loss", [(p.step, p.train) for p in facts.loss if p.train is not None]),
                ("hold-out loss", [(p.step, p.holdout) for p in facts.loss if p.holdout is not None]),
            ],
            "Loss by optimiser step",
        ),
        settings=_flat(facts.settings),
    )


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (dotted key, value) rows; examples are shown elsewhere."""
    rows: list[tuple[str, str]] = []
    for key, item in value.items():
        if isinstance(item, dict):
            rows += _flat(item, f"{prefix}{key}.")
        elif key not in ("examples", "instruction"):
            rows.append((f"{prefix}{key}", "" if item is None else str(item)))
    return rows
