"""Where a classifier goes wrong: its confusion matrix, each label's scores, and whether its confidence can be believed.

Knows nothing about models. The counts are scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metier.core.records import LabelFacts, ReliabilityBin, SystemAnswers
from metier.evaluation.metrics.label_match import answered
from metier.evaluation.records import ByLabel

_BINS = 10
_NONE = "\u0000none"


def by_label(labels: tuple[str, ...], references: Sequence[str], answers: SystemAnswers) -> ByLabel:
    """Return where one system went wrong.

    Args:
        labels: The task's labels.
        references: The right answer of every row.
        answers: What the system answered; without probabilities nothing is said about its confidence.
    """
    bins, error = reliability(labels, references, answers.probabilities or ())
    return ByLabel(
        confusion(labels, references, answers.texts), label_facts(labels, references, answers.texts), bins, error
    )


def confusion(
    labels: tuple[str, ...], references: Sequence[str], predictions: Sequence[str]
) -> tuple[tuple[int, ...], ...]:
    """Return rows by right label and predicted label, ``[labels, labels + 1]``; the last column: no label."""
    from sklearn.metrics import confusion_matrix

    given = [answered(p, labels) or _NONE for p in predictions]
    matrix = confusion_matrix(list(references), given, labels=[*labels, _NONE])
    return tuple(tuple(int(n) for n in row) for row in matrix[:-1])


def label_facts(
    labels: tuple[str, ...], references: Sequence[str], predictions: Sequence[str]
) -> tuple[LabelFacts, ...]:
    """Return each label's precision, recall and F1, in percent; a label never predicted has a precision of 0."""
    from sklearn.metrics import precision_recall_fscore_support

    given = [answered(p, labels) or _NONE for p in predictions]
    table = precision_recall_fscore_support(list(references), given, labels=list(labels), zero_division=0)
    return tuple(
        LabelFacts(label, int(n), given.count(label), 100 * float(p), 100 * float(r), 100 * float(f))
        for label, p, r, f, n in zip(labels, *table, strict=True)
    )


def reliability(
    labels: tuple[str, ...], references: Sequence[str], probabilities: Sequence[Sequence[float]]
) -> tuple[tuple[ReliabilityBin, ...], float | None]:
    """Return how often a classifier was right when it was so confident, and its expected calibration error.

    Ten bins of equal width (Guo et al. 2017, arXiv 1706.04599); empty ones are left out.

    Args:
        labels: The task's labels.
        references: The right answer of every row.
        probabilities: ``[rows, labels]``; a row of zeros was not asked and is left out. Empty: nothing is said.
    """
    known = zip(probabilities, references, strict=True) if probabilities else ()
    asked = [(row, right) for row, right in known if any(row)]
    if not asked:
        return (), None
    shares = np.asarray([row for row, _ in asked], np.float64)
    confidence = shares.max(axis=1)
    hit = np.asarray([labels[i] == right for i, (_, right) in zip(shares.argmax(axis=1), asked, strict=True)], float)
    places = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    bins, error = [], 0.0
    for place in range(_BINS):
        chosen = places == place
        if not chosen.any():
            continue
        mean, accuracy = float(confidence[chosen].mean()), float(hit[chosen].mean())
        count = int(chosen.sum())
        bins.append(ReliabilityBin(place / _BINS, (place + 1) / _BINS, count, mean, accuracy))
        error += count / len(hit) * abs(mean - accuracy)
    return tuple(bins), error
