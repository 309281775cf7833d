"""Finds what a rewrite changes, so that training can give it more weight than what is copied.

In rewriting, most of an answer repeats its input, so a model mainly learns to copy. More weight on the loss of changed
tokens (edit-weighted likelihood: Junczys-Dowmunt et al. 2018, arXiv 1804.05940, section 4.3) teaches it to change what
needs changing. Knows nothing about tokenizers or models.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

Span = tuple[int, int]
_WORDS = re.compile(r"\w+|[^\w\s]")
_LEAST_ALIKE = 0.3  # below this the answer is not a rewrite of the input, and all of it would count as changed


def changed_spans(source: str, target: str) -> list[Span]:
    """Return where a target differs from its source: character spans of the target's words, in order.

    A deletion marks the word after it, or the position after the last word. A target that has little in common with its
    source is not a rewrite of it, and has no spans.
    """
    before = [match.group() for match in _WORDS.finditer(source)]
    places = [match.span() for match in _WORDS.finditer(target)]
    after = [target[begin:end] for begin, end in places]
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < _LEAST_ALIKE:
        return []
    end = (len(target), len(target) + 1)
    spans = []
    for kind, _, _, first, last in matcher.get_opcodes():
        if kind == "equal":
            continue
        follows = places[first] if first < len(places) else end
        spans.append(follows if first == last else (places[first][0], places[last - 1][1]))
    return spans


def weights(spans: Sequence[Span], tokens: Sequence[Span], weight: float) -> list[float]:
    """Return the weight of every token: ``weight`` where its characters lie in a changed span, else 1.

    Args:
        spans: The changed spans, from `changed_spans`.
        tokens: Each token's span of characters; the end token comes after the last character.
        weight: The weight of a changed token.
    """
    return [weight if any(begin < stop and start < end for start, stop in spans) else 1.0 for begin, end in tokens]
