"""ROUGE-L: F1 of the longest common subsequence of words, by Google's rouge-score with stemming.

Source: Lin 2004; the settings are those of Super-NaturalInstructions. Range 0 to 100, higher is better. Its words are
made of a-z and 0-9 alone, so texts in other scripts score 0 even where they are equal, and so do two empty ones.
"""

from __future__ import annotations

from collections.abc import Callable


def make() -> Callable[[str, str, tuple[str, ...] | None], float]:
    """Return the scorer."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return lambda prediction, reference, labels: 100.0 * scorer.score(reference, prediction)["rougeL"].fmeasure
