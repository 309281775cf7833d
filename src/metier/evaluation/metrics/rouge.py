"""ROUGE-1, ROUGE-2 and ROUGE-L: F1 of shared words, word pairs, and the longest common subsequence of words.

Source: Lin 2004, by Google's rouge-score with stemming; the settings are those of Super-NaturalInstructions. Range 0 to
100, higher is better; the best of several references counts. Its words consist of a-z and 0-9 only, so texts in other
scripts score 0 even if they are equal, and so do two empty texts.
"""

from __future__ import annotations

from metier.evaluation.scored import Scored, Texts, by_best_reference


def rouge_1(texts: Texts) -> Scored:
    """Return ROUGE-1 of each row, and their mean."""
    return _rouge(texts, "rouge1")


def rouge_2(texts: Texts) -> Scored:
    """Return ROUGE-2 of each row, and their mean."""
    return _rouge(texts, "rouge2")


def rouge_l(texts: Texts) -> Scored:
    """Return ROUGE-L of each row, and their mean."""
    return _rouge(texts, "rougeL")


def _rouge(texts: Texts, kind: str) -> Scored:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([kind], use_stemmer=True)
    return by_best_reference(texts, lambda p, r: 100.0 * float(scorer.score(r, p)[kind].fmeasure))
