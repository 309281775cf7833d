"""F1 of the longest common subsequence of characters, which the SELF-GUIDE code calls "ROUGE-L".

It is not the usual ROUGE-L: it rewards shared letters, so two unrelated English sentences score far above zero. It is
here for comparison with that paper. Source: the authors' released code; the subsequence is computed bit-parallel (Hyyrö
2004). Range 0 to 100, higher is better.
"""

from __future__ import annotations

from metier.evaluation.scored import Scored, Texts, by_best_reference


def score(texts: Texts) -> Scored:
    """Return each row's score, and their mean; the best of several references counts."""
    return by_best_reference(texts, char_lcs_f1)


def char_lcs_f1(prediction: str, reference: str) -> float:
    """Return the score of one pair; one empty text scores 0, two score 100 (0 in the authors' code)."""
    if not prediction and not reference:
        return 100.0
    common = lcs_length(prediction, reference)
    return 200.0 * common / (len(prediction) + len(reference))


def lcs_length(first: str, second: str) -> int:
    """Return the length of the longest common subsequence of two texts.

    One machine word holds 64 cells of a row of the usual table, so this takes O(len(first) * len(second) / 64).
    """
    places: dict[str, int] = {}
    for i, character in enumerate(first):
        places[character] = places.get(character, 0) | 1 << i
    full = (1 << len(first)) - 1
    row = full
    for character in second:
        matches = row & places.get(character, 0)
        row = (row + matches | row - matches) & full
    return len(first) - row.bit_count()
