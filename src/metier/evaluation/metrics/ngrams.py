"""Words and n-grams, as the metrics count them. Knows nothing about any particular metric."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence

ORDERS = 4


def ngram_counts(words: Sequence[str]) -> list[Counter[tuple[str, ...]]]:
    """Return how often each n-gram of 1 to 4 words occurs, one counter per length."""
    return [Counter(zip(*(words[i:] for i in range(n)), strict=False)) for n in range(1, ORDERS + 1)]


@functools.cache
def tokenizer_13a() -> Callable[[str], str]:
    """Return WMT's mteval-v13a tokeniser from sacreBLEU: words and punctuation separated by spaces."""
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenize: Callable[[str], str] = Tokenizer13a()
    return tokenize
