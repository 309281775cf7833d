"""Samples answers to be voted on, no more than the vote needs. Knows nothing about tasks or what a vote is for.

SELF-GUIDE samples 20 answers and lets the first 10 that pass its filters vote. Most votes are decided long before: an
answer that leads by more votes than are left cannot be overtaken. Answers are sampled in waves, and an input whose vote
is decided is not asked again; the winner is the same as in the whole vote, since each sample has its own random stream.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence

from metier.engines.base import Engine, GenerationRequest


@dataclasses.dataclass(frozen=True, slots=True)
class VoteRule:
    """What a vote needs.

    Attributes:
        keep: How many answers that pass take part, the first ones.
        agreement: Least share of them that must agree.
        read: From a sampled text to the answer as it is voted on.
        passes: Whether an answer takes part.
    """

    keep: int
    agreement: float
    read: Callable[[str], str]
    passes: Callable[[str], bool]


def sample_until_decided(asked: Sequence[GenerationRequest], rule: VoteRule, engine: Engine) -> list[list[str]]:
    """Return for each request as many of its samples, in order, as its vote needed; at most ``request.samples``."""
    got: list[list[str]] = [[] for _ in asked]
    open_ones = list(range(len(asked)))
    while open_ones:
        wave = [
            dataclasses.replace(asked[i], first_sample=len(got[i]), samples=_wave(got[i], rule, asked[i].samples))
            for i in open_ones
        ]
        for i, generation in zip(open_ones, engine.generate(wave), strict=True):
            got[i] += generation.texts
        open_ones = [i for i in open_ones if len(got[i]) < asked[i].samples and not decided(got[i], rule)]
    return got


def decided(texts: Sequence[str], rule: VoteRule) -> bool:
    """Return whether no further sample can change who wins the vote, or that there is a winner."""
    passed = [a for a in map(rule.read, texts) if rule.passes(a)][: rule.keep]
    left = rule.keep - len(passed)
    if left == 0:
        return True
    ranked = Counter(passed).most_common(2)
    first = ranked[0][1] if ranked else 0
    second = ranked[1][1] if len(ranked) > 1 else 0
    # Ties go to the shortest answer, so the lead must be too large even for a tie.
    return first > second + left and first >= rule.agreement * rule.keep


def _wave(texts: Sequence[str], rule: VoteRule, most: int) -> int:
    """Return how many samples to draw next: first the fewest that decide a unanimous vote, then those still missing."""
    if not texts:
        wanted = max(rule.keep // 2 + 1, math.ceil(rule.agreement * rule.keep))
    else:
        wanted = rule.keep - sum(rule.passes(rule.read(text)) for text in texts)
    return min(max(1, wanted), most - len(texts))
