"""Finds training pairs that nearly repeat a test row. Knows nothing about models or how pairs were made.

A test row proves little about a specialist that was trained on nearly the same input. Similarity is the Jaccard
similarity of word 3-grams: candidates are found by MinHash with locality-sensitive hashing (Broder 1997; datasketch),
then compared exactly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from metier.data.likeness import HASHES, folded, jaccard, sketch, word_grams


@dataclasses.dataclass(frozen=True, slots=True)
class Leak:
    """A training input that nearly repeats a test input.

    Attributes:
        row: Index of the test row, from 0.
        pair: Index among the training inputs, from 0.
        similarity: Jaccard similarity of their word 3-grams, 0 to 1.
        test_input: The test row's input.
        training_input: The training input.
    """

    row: int
    pair: int
    similarity: float
    test_input: str
    training_input: str


def find_leaks(training: Sequence[str], test: Sequence[str], *, similarity: float) -> list[Leak]:
    """Return all pairs of a test and a training input that are at least this similar, most similar first per test row.

    Args:
        training: The training inputs.
        test: The test inputs.
        similarity: The lowest Jaccard similarity that counts, 0 to 1.
    """
    from datasketch import MinHashLSH

    grams = [word_grams(folded(text)) for text in training]
    # A little below the threshold, so that pairs which the sketches underestimate are still compared.
    index = MinHashLSH(threshold=max(0.1, similarity - 0.2), num_perm=HASHES)
    for place, some in enumerate(grams):
        index.insert(place, sketch(some))
    leaks = []
    for row, text in enumerate(test):
        own = word_grams(folded(text))
        found = []
        for place in index.query(sketch(own)):
            alike = jaccard(own, grams[place])
            if alike >= similarity:
                found.append(Leak(row, int(place), alike, text, training[place]))
        leaks += sorted(found, key=lambda leak: (-leak.similarity, leak.pair))
    return leaks


def nearly_one_of(text: str, others: Sequence[str], *, similarity: float) -> int | None:
    """Return the place of the first of some texts that a text nearly repeats, compared one by one; None: of none.

    Args:
        text: The text.
        others: What it may repeat.
        similarity: The lowest Jaccard similarity that counts, 0 to 1.
    """
    own = word_grams(folded(text))
    found = (place for place, other in enumerate(others) if jaccard(own, word_grams(folded(other))) >= similarity)
    return next(found, None)
