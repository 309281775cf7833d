"""Whether an output still means what its source does: the cosine of their sentence vectors, times 100.

With all-MiniLM-L6-v2, mean-pooled (Reimers & Gurevych 2019); the mean over rows. A copy scores 100, so it cannot judge
a rewrite by itself: with iBLEU or SARI it shows how much meaning the change cost. Range about 0 to 100.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from metier.core.errors import MetierError
from metier.evaluation.scored import Scored, Texts, mean_of

if TYPE_CHECKING:
    from metier.models.encoder import SentenceEncoder

_ENCODER = "all-minilm-l6-v2"


def score(texts: Texts) -> Scored:
    """Return the similarity of each row's output to its source, and the mean.

    Raises:
        MetierError: There are no sources, or the encoder cannot be fetched.
    """
    if texts.sources is None:
        raise MetierError("meaning needs sources")
    encoder = _encoder()
    outputs, sources = encoder.encode(list(texts.predictions)), encoder.encode(list(texts.sources))
    return mean_of(100.0 * (outputs * sources).sum(axis=1))


@functools.cache
def _encoder() -> SentenceEncoder:
    from metier.models.encoder import SentenceEncoder
    from metier.models.locate import resolve_model

    return SentenceEncoder(resolve_model(_ENCODER).path, device="cpu")
