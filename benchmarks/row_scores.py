"""Rows' scores in a result file: numbers with spaces between, which take little room and every mean can be made of."""

from __future__ import annotations

from collections.abc import Iterable


def written(rows: Iterable[float]) -> str:
    """Return scores as a result file holds them."""
    return " ".join(f"{row:.4g}" for row in rows)


def read(text: str) -> list[float]:
    """Return the scores that a result file holds."""
    return [float(row) for row in text.split()]
