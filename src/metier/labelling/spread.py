"""Rows that are unlike each other and unlike those at hand: a core set of their vectors (greedy k-centre).

Source: Sener & Savarese 2018 (arXiv 1708.00489), who choose the rows to be labelled in this way.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from metier.core.progress import Reporter
from metier.labelling.draw import CANDIDATES, Drawn
from metier.models.encoder import SentenceEncoder
from metier.models.locate import resolve_model
from metier.selection.kcenter import Budget, encode, k_center


def far_from(encoder: str, inputs: Sequence[str], drawn: Drawn, known: Sequence[str], reporter: Reporter) -> list[int]:
    """Return the candidates that lie farthest from known texts, the random rows and each other, the farthest first.

    Args:
        encoder: Name of the sentence encoder that makes their vectors.
        inputs: All rows.
        drawn: The random rows, the candidates, and how many of them to choose.
        known: Further texts to keep away from; of very many, some drawn at random.
        reporter: Where progress goes.

    Raises:
        MetierError: The encoder is not here and cannot be fetched, or cannot be loaded.
    """
    if not drawn.others:
        return []
    some = random.Random(0).sample(list(known), min(len(known), CANDIDATES))
    taken = [*some, *(inputs[i] for i in drawn.random)]
    texts = [inputs[i] for i in drawn.candidates]
    with reporter.track("vectors", len(taken) + len(texts), "rows") as update:
        vectors = SentenceEncoder(resolve_model(encoder).path).encode([*taken, *texts], update)
    codes = encode(vectors, largest=1.0)
    chosen = list(k_center(codes[len(taken) :], codes[: len(taken)], Budget(rows=drawn.others)).chosen)
    # Fewer, where all others have the vector of one that is taken or chosen.
    rest = [i for i in range(len(texts)) if i not in set(chosen)]
    return [drawn.candidates[i] for i in (*chosen, *rest[: drawn.others - len(chosen)])]
