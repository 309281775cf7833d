"""Label match: exact match of the last label that occurs in the output, the rule of the SELF-GUIDE paper.

Source: Zhao et al. 2024 (arXiv 2407.12874); `metier.labels` says how a label is found. It forgives a model that wraps
its answer into a sentence; an output that as a whole is a label by exact match's normalisation is that label. Range 0
or 100, higher is better.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from metier.evaluation.metrics.exact_match import normaliser
from metier.labels import last_label


def make() -> Callable[[str, str, tuple[str, ...] | None], float]:
    """Return the scorer; without labels it is exact match."""
    normaliser_of = functools.cache(normaliser)

    def score(prediction: str, reference: str, labels: tuple[str, ...] | None) -> float:
        form = normaliser_of(labels)
        answer = form(prediction)
        if labels and answer not in map(form, labels):
            found = last_label(prediction, labels)
            if found is None:
                return 0.0
            answer = form(found)
        return 100.0 * (answer == form(reference))

    return score
