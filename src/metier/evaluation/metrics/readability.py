"""Readability: the US school grade needed to read a text, by the automated readability index.

Source: Smith & Senter 1967: 4.71 characters a word + 0.5 words a sentence - 21.43, with textstat's counts (extra
``metier[readability]``). Grades that count syllables need a dictionary that textstat downloads on first use; this one
does not. Counts are added up over the corpus. Neither direction is good in itself: with SARI it shows whether a
simplification is easier to read. From about -5 (a word or two) to over 20.
"""

from __future__ import annotations

import numpy as np

from metier.core.errors import MetierError
from metier.evaluation.scored import Floats, Scored, Texts, added_up, ratio


def score(texts: Texts) -> Scored:
    """Return the grade of each output, and of all outputs together; an output without words has grade 0.

    Raises:
        MetierError: textstat is not installed.
    """
    try:
        import textstat
    except ImportError as error:
        raise MetierError("textstat is not installed", hint="pip install 'metier[readability]'") from error
    counts = [
        (textstat.char_count(text), textstat.lexicon_count(text), textstat.sentence_count(text))
        if text.strip()
        else (0,) * 3
        for text in texts.predictions
    ]
    return added_up(np.array(counts, dtype=np.float64), _grade)


def _grade(sums: Floats) -> Floats:
    characters, words, sentences = sums[..., 0], sums[..., 1], sums[..., 2]
    grade: Floats = 4.71 * ratio(characters, words) + 0.5 * ratio(words, sentences) - 21.43
    return np.where(words > 0, grade, 0.0)
