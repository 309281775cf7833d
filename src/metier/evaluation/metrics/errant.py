"""F0.5 by ERRANT: edits as they are usually counted in grammatical error correction (Bryant et al. 2017).

Needs the extra ``metier[errant]`` and a spaCy model of English, which ERRANT takes its parts of speech from. Scored as
its ``errant_compare`` does by default (spans and corrections, not types); of several references each row takes the one
with the best F0.5. Texts are expected to be tokenised. Range 0 to 100, higher is better.
"""

from __future__ import annotations

import functools
from typing import Any

from metier.core.errors import MetierError
from metier.evaluation.metrics.edits import Edits, f05_of
from metier.evaluation.scored import Scored, Texts


def score(texts: Texts) -> Scored:
    """Return F0.5 over ERRANT's edits, of each row and of the corpus.

    Raises:
        MetierError: ERRANT or its English model is not installed, or there are no sources.
    """
    annotator = _annotator()
    parse = functools.lru_cache(maxsize=4096)(annotator.parse)

    def find(source: str, target: str) -> Edits:
        # Types are not scored, so edits need not be classified.
        alignment = annotator.align(parse(" ".join(source.split())), parse(" ".join(target.split())))
        edits = annotator.merge(alignment)
        return {(e.o_start, e.o_end, e.c_str) for e in edits if e.o_str != e.c_str}

    return f05_of(texts, find)


def _annotator() -> Any:
    try:
        import errant
    except ImportError as error:
        raise MetierError(
            "errant is not installed", hint="pip install 'metier[errant]', then python -m spacy download en_core_web_sm"
        ) from error
    try:
        return errant.load("en")
    except OSError as error:
        raise MetierError(
            "errant's English model is not installed", hint="python -m spacy download en_core_web_sm"
        ) from error
