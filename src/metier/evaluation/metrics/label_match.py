"""Label match: exact match of the last label that occurs in the output, the rule of the SELF-GUIDE paper.

Source: Zhao et al. 2024 (arXiv 2407.12874); `metier.data.labels` says how a label is found. An answer within a sentence
is accepted; an output that is a label as a whole, by exact match's normalisation, counts as that label. Range 0 or 100,
higher is better. Without labels it is exact match.
"""

from __future__ import annotations

from metier.data.labels import last_label
from metier.evaluation.metrics.exact_match import normaliser
from metier.evaluation.scored import Scored, Texts, by_best_reference


def score(texts: Texts) -> Scored:
    """Return each row's 0 or 100, and their mean."""
    form, labels = normaliser(texts.labels), texts.labels

    def matches(prediction: str, reference: str) -> float:
        answer = (answered(prediction, labels) or "") if labels else prediction
        return 100.0 * (form(answer) == form(reference))

    return by_best_reference(texts, matches)


def answered(prediction: str, labels: tuple[str, ...]) -> str | None:
    """Return the label that an output gives, or None if it gives none."""
    form = normaliser(labels)
    whole = form(prediction)
    return next((label for label in labels if form(label) == whole), None) or last_label(prediction, labels)
