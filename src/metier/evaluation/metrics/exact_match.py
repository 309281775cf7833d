"""Exact match as Super-NaturalInstructions scores it: equal after lower-casing, without punctuation and extra spaces.

Source: Wang et al. 2022 (arXiv 2204.07705), the collection's evaluation script. Range 0 or 100, higher is better; the
best of several references counts. One deviation: if that would make two of the task's labels equal ("A+" and "A-") or
one of them empty ("+"), punctuation counts, and if need be case; otherwise wrong answers would count as right.
"""

from __future__ import annotations

import string
from collections.abc import Callable

from metier.evaluation.scored import Scored, Texts, by_best_reference

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def score(texts: Texts) -> Scored:
    """Return each row's 0 or 100, and their mean."""
    form = normaliser(texts.labels)
    return by_best_reference(texts, lambda prediction, reference: 100.0 * (form(prediction) == form(reference)))


def normalise(text: str) -> str:
    """Return a text in lower case, without ASCII punctuation, with single spaces."""
    return _single_spaces(text.lower().translate(_NO_PUNCTUATION))


def normaliser(labels: tuple[str, ...] | None) -> Callable[[str], str]:
    """Return the normalisation for comparing answers: the most lenient one that keeps the labels distinct."""
    for forgiving in (normalise, _lower):
        forms = {forgiving(label) for label in labels or ()}
        if "" not in forms and len(forms) == len(labels or ()):
            return forgiving
    return _single_spaces


def _lower(text: str) -> str:
    return _single_spaces(text.lower())


def _single_spaces(text: str) -> str:
    return " ".join(text.split())
