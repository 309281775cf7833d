"""How similar two texts are: the share of word 3-grams they have in common, and how many words one changes of another.

Jaccard similarity, and MinHash sketches (Broder 1997) for finding candidates among many texts. Knows nothing about
where texts come from.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasketch import MinHash

Grams = frozenset[tuple[str, ...]]
HASHES = 128


def folded(text: str) -> str:
    """Return a text in lower case with single spaces."""
    return " ".join(text.lower().split())


def word_grams(text: str) -> Grams:
    """Return the word 3-grams of a folded text; a shorter text is one gram, as is one without words."""
    words = re.findall(r"\w+", text) or [text]
    return frozenset(tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2)))


def jaccard(first: Grams, second: Grams) -> float:
    """Return the share of all grams that both sets contain, 0 to 1."""
    return len(first & second) / len(first | second)


def edit_rate(before: str, after: str) -> float:
    """Return the share of the words of two texts that have no counterpart in the other: 0 (the same) to 1."""
    return 1.0 - difflib.SequenceMatcher(None, before.split(), after.split(), autojunk=False).ratio()


def sketch(grams: Grams) -> MinHash:
    """Return the MinHash sketch of a set of grams, the same in every process."""
    from datasketch import MinHash

    hashed = MinHash(num_perm=HASHES, seed=1)
    hashed.update_batch([" ".join(gram).encode("utf-8", "surrogatepass") for gram in sorted(grams)])
    return hashed
