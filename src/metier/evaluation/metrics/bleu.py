"""BLEU, chrF, iBLEU and self-similarity, from sacreBLEU's counts.

BLEU: Papineni et al. 2002; chrF: Popović 2015 (six character orders, beta 2); both as sacreBLEU computes a corpus with
its defaults (13a tokens, case kept, exponential smoothing; several references). Range 0 to 100, higher is better.
iBLEU (Sun & Zhou 2012) = 0.8 BLEU against the references - 0.2 BLEU against the source: a paraphrase should say the
same in other words. Range -20 to 80, higher is better. Self-similarity is BLEU against the source alone: 100 is a copy,
and neither direction is good in itself. A row's own score uses only the orders that its length allows (sentence BLEU).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metier.core.errors import MetierError
from metier.evaluation.scored import Floats, Scored, Texts, added_up, ratio

_ALPHA = 0.8
_ORDERS = 4
_BETA = 2


def bleu(texts: Texts) -> Scored:
    """Return sentence BLEU of each row, and corpus BLEU."""
    return _bleu(texts.predictions, texts.references)


def chrf(texts: Texts) -> Scored:
    """Return chrF of each row, and of the corpus."""
    from sacrebleu.metrics import CHRF

    # sacreBLEU's layout: one stream for each reference, with None where a row has fewer.
    stats = np.array(_statistics(CHRF(), texts.predictions, texts.references), dtype=np.float64)
    return added_up(stats, _chrf)


def ibleu(texts: Texts) -> Scored:
    """Return iBLEU of each row, and of the corpus."""
    to_reference, to_source = bleu(texts), self_similarity(texts)
    width = to_reference.stats.shape[1]

    def combine(sums: Floats) -> Floats:
        near, copied = to_reference.combine(sums[..., :width]), to_source.combine(sums[..., width:])
        return _ALPHA * near - (1 - _ALPHA) * copied

    rows = _ALPHA * to_reference.rows - (1 - _ALPHA) * to_source.rows
    return added_up(np.hstack([to_reference.stats, to_source.stats]), combine, rows=rows)


def self_similarity(texts: Texts) -> Scored:
    """Return BLEU against the source, of each row and of the corpus.

    Raises:
        MetierError: There are no sources.
    """
    if texts.sources is None:
        raise MetierError("self_similarity needs sources")
    return _bleu(texts.predictions, [[source] for source in texts.sources])


def _bleu(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Scored:
    from sacrebleu.metrics import BLEU

    metric = BLEU()
    stats = np.array(_statistics(metric, predictions, references), dtype=np.float64)
    lengths = [[int(n) for n in row[:2]] for row in stats]
    rows = [
        BLEU.compute_bleu(
            [int(n) for n in row[2 : 2 + _ORDERS]],
            [int(n) for n in row[2 + _ORDERS :]],
            *pair,
            smooth_method="exp",
            effective_order=True,
        ).score
        for row, pair in zip(stats, lengths, strict=True)
    ]
    return added_up(stats, _corpus_bleu, rows=np.array(rows))


def _statistics(metric: Any, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[list[float]]:
    """Return sacreBLEU's counts for each row."""
    most = max(len(row) for row in references)
    streams = [[row[i] if i < len(row) else None for row in references] for i in range(most)]
    counts: list[list[float]] = metric._extract_corpus_statistics(list(predictions), streams)
    return counts


def _corpus_bleu(sums: Floats) -> Floats:
    """Return BLEU from sums of (length, reference length, right by order, all by order), as sacreBLEU smooths it."""
    length, wanted = sums[..., 0], sums[..., 1]
    right, total = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
    # Exponential smoothing: the first order without a hit counts as half a hit, the next as a quarter …
    misses = np.cumsum((right == 0) & (total > 0), axis=-1)
    smoothed = np.where(right == 0, 0.5**misses, right)
    precision = ratio(smoothed, total)
    # Without a common word, or with fewer than four words in total, corpus BLEU is 0.
    none = (right.sum(axis=-1) == 0) | (total == 0).any(axis=-1)
    with np.errstate(divide="ignore"):
        mean = np.exp(np.log(np.where(precision > 0, precision, 1)).mean(axis=-1))
    brevity = np.exp(np.minimum(0.0, 1.0 - ratio(wanted, length, empty=np.inf)))
    return np.where(none, 0.0, 100.0 * brevity * mean)


def _chrf(sums: Floats) -> Floats:
    """Return chrF from sums of (characters of the output, of the reference, in both), by order."""
    counts = sums.reshape(*sums.shape[:-1], -1, 3)
    given, wanted, both = counts[..., 0], counts[..., 1], counts[..., 2]
    counted = (given > 0) & (wanted > 0)
    orders = counted.sum(axis=-1)
    precision = ratio(ratio(both, given).sum(axis=-1, where=counted), orders)
    recall = ratio(ratio(both, wanted).sum(axis=-1, where=counted), orders)
    return 100.0 * ratio((1 + _BETA**2) * precision * recall, _BETA**2 * precision + recall)
