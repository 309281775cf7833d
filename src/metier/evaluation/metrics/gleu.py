"""GLEU for correction: BLEU with a penalty for words of the source that should have been changed.

Source: Napoles et al. 2015, in the update of 2016 (arXiv 1605.02592) and as JFLEG's script computes it: one of several
references is drawn for each row, 500 times, and the corpus scores of the draws are averaged. The draws are those of the
script under Python 3 (seeds 0, 101, 202 …), so the score is the same each time. Words are split at spaces: the texts
are expected to be tokenised already, and case counts. A corpus without one right run of four words scores 0. A row's
own score is the mean over its references, zero counts taken as 1. Range 0 to 100, higher is better.

When rows are resampled, a row's counts are the mean over its references: the limit of many draws.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from metier.core.errors import MetierError
from metier.evaluation.metrics.ngrams import ORDERS, ngram_counts
from metier.evaluation.scored import Floats, Scored, Texts, ratio

_DRAWS = 500

Ints = npt.NDArray[np.int64]


def score(texts: Texts) -> Scored:
    """Return GLEU of each row and of the corpus.

    Raises:
        MetierError: There are no sources.
    """
    if texts.sources is None:
        raise MetierError("gleu needs sources")
    many = max(len(references) for references in texts.references)
    stats = np.zeros((many, len(texts.predictions), 2 + 2 * ORDERS))
    for row, (source, prediction, references) in enumerate(
        zip(texts.sources, texts.predictions, texts.references, strict=True)
    ):
        for i, counts in enumerate(_counts(source, prediction, references)):
            stats[i, row] = counts
    sizes = np.array([len(references) for references in texts.references])
    there = (np.arange(many)[:, None] < sizes).astype(np.float64)  # [references, rows]
    rows = (_from_sums(np.where(stats == 0, 1.0, stats)) * there).sum(axis=0) / sizes
    expected = (stats * there[:, :, None]).sum(axis=0) / sizes[:, None]
    corpus = float(_from_sums(_drawn(stats, sizes)).mean())
    return Scored(rows, expected, _from_sums, corpus)


def _counts(source: str, prediction: str, references: Sequence[str]) -> list[list[int]]:
    """Return, for each reference: output length, reference length, then right and all runs for each order."""
    words = prediction.split()
    ours, theirs = ngram_counts(words), ngram_counts(source.split())
    out = []
    for reference in references:
        wanted_words = reference.split()
        row = [len(words), len(wanted_words)]
        for n, wanted in enumerate(ngram_counts(wanted_words)):
            right = wrong = 0
            for gram, count in ours[n].items():
                if gram in wanted:
                    right += min(count, wanted[gram])
                elif gram in theirs[n]:  # kept from the source, but not in this reference
                    wrong += min(count, theirs[n][gram])
            row += [max(0, right - wrong), max(0, len(words) - n)]
        out.append(row)
    return out


def _drawn(stats: Floats, sizes: Ints) -> Floats:
    """Return the corpus sums of every draw, ``[draws, k]``."""
    if stats.shape[0] == 1:
        only: Floats = stats[0].sum(axis=0)[None]
        return only
    rows = np.arange(stats.shape[1])
    sums: Floats = np.array([stats[_choices(draw * 101, sizes), rows].sum(axis=0) for draw in range(_DRAWS)])
    return sums


def _choices(seed: int, sizes: Ints) -> Ints:
    """Return what ``random.seed(seed)`` and then ``random.randint(0, size - 1)`` for each row would draw.

    Python takes a number below n from the top bits of a 32-bit word, and draws again while it is n or more. If all rows
    have the same number of references, this is done for all rows at once, with the same generator in numpy.
    """
    rng = random.Random(seed)
    many = int(sizes[0])
    if (sizes != many).any():
        return np.array([rng.randint(0, size - 1) for size in sizes.tolist()])
    words = np.random.MT19937()
    *key, place = rng.getstate()[1]
    words.state = {"bit_generator": "MT19937", "state": {"key": np.array(key, np.uint32), "pos": place}}
    drawn = np.empty(0, np.int64)
    while len(drawn) < len(sizes):
        some = (words.random_raw(2 * len(sizes)) >> (32 - many.bit_length())).astype(np.int64)
        drawn = np.concatenate([drawn, some[some < many]])
    return drawn[: len(sizes)]


def _from_sums(sums: Floats) -> Floats:
    length, wanted = sums[..., 0], sums[..., 1]
    right, total = sums[..., 2::2], sums[..., 3::2]
    whole = np.asarray((sums > 0).all(axis=-1))
    precision = np.where(whole[..., None], ratio(right, total), 1.0)
    brevity = np.minimum(0.0, 1.0 - ratio(wanted, length, empty=1.0))
    return np.where(whole, 100.0 * np.exp(brevity + np.log(precision).mean(axis=-1)), 0.0)
