"""How much an output does: its length against the source's, and how often it is the source itself.

``length_ratio``: words of the outputs per 100 words of the sources, over the corpus. ``copied_rate``: share of outputs
that equal their source, ignoring spaces. Neither direction is good in itself; with another metric they reveal a system
that does nothing, or too much. Both start at 0; a copied rate is at most 100.
"""

from __future__ import annotations

import numpy as np

from metier.core.errors import MetierError
from metier.evaluation.scored import Floats, Scored, Texts, added_up, mean_of, ratio


def length_ratio(texts: Texts) -> Scored:
    """Return output words per 100 source words, by row and over the corpus."""
    counts = [[len(p.split()), len(s.split())] for p, s in zip(texts.predictions, _sources(texts), strict=True)]
    return added_up(np.array(counts, dtype=np.float64), _per_hundred)


def copied_rate(texts: Texts) -> Scored:
    """Return 100 for each row whose output is its source, and their share."""
    return mean_of([100.0 * (p.split() == s.split()) for p, s in zip(texts.predictions, _sources(texts), strict=True)])


def _sources(texts: Texts) -> list[str]:
    if texts.sources is None:
        raise MetierError("length_ratio and copied_rate need sources")
    return list(texts.sources)


def _per_hundred(sums: Floats) -> Floats:
    return 100.0 * ratio(sums[..., 0], sums[..., 1])
