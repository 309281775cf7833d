"""Exact match as Super-NaturalInstructions scores it: equal after lower-casing, without punctuation and extra spaces.

Source: Wang et al. 2022 (arXiv 2204.07705), the collection's evaluation script. Range 0 or 100, higher is better; of
several references the best counts. One deviation: where that would make two of the task's labels the same ("A+" and
"A-"), or one of them nothing ("+"), punctuation counts, and then case too; otherwise every answer would be right.
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
    """Return the normalisation to compare answers by: the one that forgives most and still tells the labels apart."""
    for forgiving in (normalise, _lower):
        forms = {forgiving(label) for label in labels or ()}
        if "" not in forms and len(forms) == len(labels or ()):
            return forgiving
    return _single_spaces


def _lower(text: str) -> str:
    return _single_spaces(text.lower())


def _single_spaces(text: str) -> str:
    return " ".join(text.split())
