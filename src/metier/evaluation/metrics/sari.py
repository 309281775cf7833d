"""SARI for rewriting: how well a system chose the words to add, to keep and to delete.

Source: Xu et al. 2016, in the corrected form of EASSE (Alva-Manchego et al. 2019): all three texts get the same 13a
tokens, lower-cased by default; deletion too is scored by F1; counts are added up over the corpus, F1 is computed for
n-grams of 1 to 4 words, and averaged over these orders and the three operations. With several references, an addition
is right if any of them has it, and keeping or deleting counts by how many of them do so. Range 0 to 100, higher is
better. A row's own score is the same formula on its own counts.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from metier.core.errors import MetierError
from metier.evaluation.metrics.ngrams import ORDERS, ngram_counts, tokenizer_13a
from metier.evaluation.scored import Floats, Scored, Texts, added_up, ratio

_OPERATIONS = 3  # add, keep, delete


def score(texts: Texts) -> Scored:
    """Return SARI of each row and of the corpus, lower-cased."""
    return sari(texts, cased=False)


def sari(texts: Texts, *, cased: bool) -> Scored:
    """Return SARI of each row and of the corpus.

    Raises:
        MetierError: There are no sources.
    """
    if texts.sources is None:
        raise MetierError("sari needs sources")
    tokenize = tokenizer_13a()

    def counts(text: str) -> list[Counter[tuple[str, ...]]]:
        return ngram_counts(tokenize(text if cased else text.lower()).split())

    stats = [
        _row(counts(source), counts(prediction), [counts(reference) for reference in references])
        for source, prediction, references in zip(texts.sources, texts.predictions, texts.references, strict=True)
    ]
    return added_up(np.array(stats, dtype=np.float64), _from_sums)


def _row(
    source: list[Counter[tuple[str, ...]]],
    output: list[Counter[tuple[str, ...]]],
    references: list[list[Counter[tuple[str, ...]]]],
) -> list[int]:
    """Return (right, done, wanted) for each order and operation, ``[orders * 3 * 3]``."""
    out: list[int] = []
    many = len(references)
    for n in range(ORDERS):
        wanted: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            wanted.update(reference[n])
        src, sys = source[n], output[n]
        added, to_add = sys.keys() - src.keys(), wanted.keys() - src.keys()
        out += (len(added & to_add), len(added), len(to_add))
        kept = keep = kept_right = gone = go = gone_right = 0
        for gram, count in src.items():  # a source gram counts once a reference
            by_system, by_references = many * min(count, sys[gram]), min(many * count, wanted[gram])
            kept += by_system
            keep += by_references
            kept_right += min(by_system, by_references)
            gone += many * count - by_system
            go += many * count - by_references
            gone_right += many * count - max(by_system, by_references)
        out += (kept_right, kept, keep, gone_right, gone, go)
    return out


def _from_sums(sums: Floats) -> Floats:
    counts = sums.reshape(*sums.shape[:-1], ORDERS * _OPERATIONS, 3)
    f1 = ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2])
    sari: Floats = 100.0 * f1.mean(axis=-1)
    return sari
