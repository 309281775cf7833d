"""Edits between source and output compared with those between source and reference, without linguistic tools.

An edit is a span of the source's words and its replacement, found by aligning words (13a tokens, case kept; difflib's
longest matching blocks). ``edit_f05`` is F0.5 over the edits of the corpus: precision counts twice as much as recall,
as is usual in correction (Ng et al. 2014); of several references each row takes the one with the best F0.5, as M2 and
ERRANT do. If nothing should change and nothing does, precision and recall are 1. ``edit_match`` is the share of rows
whose edits are exactly a reference's. Range 0 to 100, higher is better.

``over_editing`` is the share of a system's edits that touch no span that any reference edits, lower is better; a system
that does nothing has none.

ERRANT (`errant.py`) uses parts of speech to delimit edits, so its counts differ: the two are not comparable.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

import numpy as np

from metier.core.errors import MetierError
from metier.evaluation.metrics.ngrams import tokenizer_13a
from metier.evaluation.scored import Floats, Scored, Texts, added_up, mean_of, ratio

Edits = set[tuple[int, int, str]]
_WEIGHT = 0.5**2


def edit_f05(texts: Texts) -> Scored:
    """Return F0.5 over edits, of each row and of the corpus."""
    return f05_of(texts, edits_between)


def edit_match(texts: Texts) -> Scored:
    """Return whether each row's edits are exactly a reference's, and the share."""
    if texts.sources is None:
        raise MetierError("metrics over edits need sources")
    return mean_of(
        [
            100.0 * any(edits_between(source, p) == edits_between(source, r) for r in references)
            for source, p, references in zip(texts.sources, texts.predictions, texts.references, strict=True)
        ]
    )


def over_editing(texts: Texts) -> Scored:
    """Return how many of 100 edits of a system are at places that no reference changes.

    Raises:
        MetierError: There are no sources.
    """
    if texts.sources is None:
        raise MetierError("metrics over edits need sources")
    stats = []
    for source, prediction, references in zip(texts.sources, texts.predictions, texts.references, strict=True):
        done = edits_between(source, prediction)
        wanted = set().union(*(edits_between(source, reference) for reference in references))
        stats.append((sum(not any(_touch(edit, other) for other in wanted) for edit in done), len(done)))
    return added_up(np.array(stats, dtype=np.float64), _share)


def f05_of(texts: Texts, find: Callable[[str, str], Edits]) -> Scored:
    """Return F0.5 over the edits that a function finds between two texts.

    Raises:
        MetierError: There are no sources.
    """
    if texts.sources is None:
        raise MetierError("metrics over edits need sources")
    stats = [
        _best(find(source, prediction), [find(source, reference) for reference in references])
        for source, prediction, references in zip(texts.sources, texts.predictions, texts.references, strict=True)
    ]
    return added_up(np.array(stats, dtype=np.float64), _f05)


def edits_between(source: str, target: str) -> Edits:
    """Return the edits that turn a source's words into the target's: (begin, end, replacement)."""
    tokenize = tokenizer_13a()
    before, after = tokenize(source).split(), tokenize(target).split()
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return {
        (begin, end, " ".join(after[first:last]))
        for kind, begin, end, first, last in matcher.get_opcodes()
        if kind != "equal"
    }


def _best(done: Edits, wanted: Sequence[Edits]) -> tuple[int, int, int]:
    """Return (right, done, wanted) for the reference that scores best; among equals, the one with most right edits."""
    choices = [(len(done & edits), len(done), len(edits)) for edits in wanted]
    return max(choices, key=lambda counts: (float(_f05(np.array(counts, dtype=np.float64))), counts))


def _touch(one: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    """Whether two edits' spans overlap or meet; an insertion has a span of no words."""
    return one[0] <= other[1] and other[0] <= one[1]


def _share(sums: Floats) -> Floats:
    return 100.0 * ratio(sums[..., 0], sums[..., 1])


def _f05(sums: Floats) -> Floats:
    right, done, wanted = sums[..., 0], sums[..., 1], sums[..., 2]
    precision, recall = ratio(right, done, empty=1.0), ratio(right, wanted, empty=1.0)
    return 100.0 * ratio((1 + _WEIGHT) * precision * recall, _WEIGHT * precision + recall)
