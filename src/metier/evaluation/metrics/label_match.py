"""Label match: exact match of the last label that occurs in the output, the rule of the SELF-GUIDE paper.

Source: Zhao et al. 2024 (arXiv 2407.12874); `metier.labels` says how a label is found. It forgives a model that wraps
its answer into a sentence. Range 0 or 100, higher is better.
"""

from __future__ import annotations

from collections.abc import Callable

from metier.evaluation.metrics.exact_match import normalise
from metier.labels import last_label


def make() -> Callable[[str, str, tuple[str, ...] | None], float]:
    """Return the scorer; without labels it is exact match."""

    def score(prediction: str, reference: str, labels: tuple[str, ...] | None) -> float:
        found = last_label(prediction, labels or (reference,))
        return 100.0 * (found is not None and normalise(found) == normalise(reference))

    return score
