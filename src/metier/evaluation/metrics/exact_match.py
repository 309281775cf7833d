"""Exact match as Super-NaturalInstructions scores it: equal after lower-casing, without punctuation and extra spaces.

Source: Wang et al. 2022 (arXiv 2204.07705), the collection's evaluation script. Range 0 or 100, higher is better.
"""

from __future__ import annotations

import string
from collections.abc import Callable

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Return a text in lower case, without ASCII punctuation, with single spaces."""
    return " ".join(text.lower().translate(_NO_PUNCTUATION).split())


def make() -> Callable[[str, str, tuple[str, ...] | None], float]:
    """Return the scorer."""
    return lambda prediction, reference, labels: 100.0 * (normalise(prediction) == normalise(reference))
