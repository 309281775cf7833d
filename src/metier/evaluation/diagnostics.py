"""Where a classifier goes wrong: its confusion matrix, each label's scores, and whether its confidence can be believed.

Knows nothing about models. The counts are scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metier.core.records import LabelFacts, ReliabilityBin
from metier.evaluation.metrics.label_match import answered

_BINS = 10
_NONE = "\u0000none"


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


def reliability(shares: Sequence[float], right: Sequence[bool]) -> tuple[tuple[ReliabilityBin, ...], float]:
    """Return how often a classifier was right when it was so sure, and its expected calibration error.

    Ten bins of equal width (Guo et al. 2017, arXiv 1706.04599); empty ones are left out.

    Args:
        shares: The probability of each row's chosen label, 0 to 1.
        right: Whether it was the right one.
    """
    sure, hit = np.asarray(shares, np.float64), np.asarray(right, np.float64)
    places = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    bins, error = [], 0.0
    for place in range(_BINS):
        chosen = places == place
        if not chosen.any():
            continue
        confidence, accuracy = float(sure[chosen].mean()), float(hit[chosen].mean())
        count = int(chosen.sum())
        bins.append(ReliabilityBin(place / _BINS, (place + 1) / _BINS, count, confidence, accuracy))
        error += count / len(sure) * abs(confidence - accuracy)
    return tuple(bins), error
