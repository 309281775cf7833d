"""Exact match as Super-NaturalInstructions scores it: equal after lower-casing, without punctuation and extra spaces.

Source: Wang et al. 2022 (arXiv 2204.07705), the collection's evaluation script. Range 0 or 100, higher is better.
One deviation: where that would make two of the task's labels the same ("A+" and "A-"), or one of them nothing ("+"),
punctuation counts, and then case too; otherwise every answer to such a task would be right.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Callable

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


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


def make() -> Callable[[str, str, tuple[str, ...] | None], float]:
    """Return the scorer."""
    normaliser_of = functools.cache(normaliser)

    def score(prediction: str, reference: str, labels: tuple[str, ...] | None) -> float:
        form = normaliser_of(labels)
        return 100.0 * (form(prediction) == form(reference))

    return score


def _lower(text: str) -> str:
    return _single_spaces(text.lower())


def _single_spaces(text: str) -> str:
    return " ".join(text.split())
