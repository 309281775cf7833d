"""Finds which label a text contains. Knows nothing about models or metrics.

Source: SELF-GUIDE's rule (Zhao et al. 2024, arXiv 2407.12874): the answer is the label that occurs last in the output.
Two deviations from the authors' plain substring search keep short labels from being found by accident:
an occurrence must not begin or end inside a word or number ("no" is not in "know", "1" is not in "10"), and of labels
that end at the same place the longest wins ("not positive" over "positive").
"""

from __future__ import annotations

import re
from collections.abc import Sequence


def last_label(text: str, labels: Sequence[str]) -> str | None:
    """Return the label that occurs last in a text, ignoring case; None if none occurs."""
    best: tuple[int, int, str] | None = None
    for label in labels:
        end = _last_end(text, label.strip())
        if end is not None and (best is None or (end, len(label)) > best[:2]):
            best = (end, len(label), label)
    return best[2] if best else None


def _last_end(text: str, label: str) -> int | None:
    pattern = re.escape(label)
    if label[:1].isalnum():
        pattern = rf"(?<!\w){pattern}"
    if label[-1:].isalnum():
        pattern = rf"{pattern}(?!\w)"
    matches = list(re.finditer(pattern, text, flags=re.IGNORECASE))
    return matches[-1].end() if matches else None
