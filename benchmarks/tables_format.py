"""How the tables of the pages show numbers, and where the result files are that they come from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SIGNIFICANT = 0.05

# One result file, or a part of it: what the JSON says, by key.
Record = Mapping[str, Any]


def read(name: str) -> Record:
    """Return a result file of ``benchmarks/results``."""
    found: Record = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def table(header: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> str:
    """Return a Markdown table.

    Args:
        header: The columns' titles.
        rows: The cells; every row has one for each title.
        text_columns: So many columns at the left hold text; the others are aligned to the right.

    Raises:
        ValueError: A row has too many or too few cells.
    """
    rule = "|" + "---|" * text_columns + "---:|" * (len(header) - text_columns)
    lines = ["| " + " | ".join(header) + " |", rule]
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"{len(row)} cells under {len(header)} titles: {row}")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def number(value: float | None, digits: int = 1) -> str:
    """Return a number, or nothing where there is none."""
    return "" if value is None else f"{value:.{digits}f}"


def gain(interval: Record | None) -> str:
    """Return a difference with its interval, such as ``+6.0 [+1.3, +11.3]``."""
    if interval is None:
        return ""
    value, low, high = (points(interval[key]) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def points(value: float) -> str:
    """Return a difference with its sign: one decimal, or one digit where a decimal would hide that it is not zero."""
    if not value:
        return "0.0"
    return f"{value:+.1g}" if abs(value) < 0.05 else f"{value:+.1f}"


def score(interval: Record) -> str:
    """Return a score with its interval, such as ``44.6 [40.2, 49.1]``."""
    return f"{interval['value']:.1f} [{interval['low']:.1f}, {interval['high']:.1f}]"


def p_value(value: float | None) -> str:
    """Return a p-value with three decimals."""
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def significant(interval: Record | None, p: float | None) -> bool:
    """Say whether a gain's interval is above zero and its p-value below 0.05; not where either was not kept."""
    return interval is not None and interval["low"] > 0 and p is not None and p < SIGNIFICANT
