"""Asks training pairs in several wordings of one instruction, so that a specialist does not depend on a single one.

After Zhang et al. 2023 (arXiv 2305.13225), where each task has several wordings and one is drawn for each example.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

from metier.core.records import Example
from metier.core.storage import seed_of


def in_wordings(wordings: Sequence[str], pairs: Sequence[Example], seed: int, name: str) -> list[Example]:
    """Return the pairs, each asked in one of the wordings, drawn by the seed.

    Wordings are dealt like cards: each comes as often as any other, give or take one. A pair that has an instruction of
    its own keeps it.

    Args:
        wordings: The task's instruction, and other ways to say it.
        pairs: What is asked.
        seed: Seeds the draw.
        name: The task's name, which the draw depends on too.
    """
    rng = random.Random(seed_of(seed, "wordings", name))
    deck: list[str] = []
    asked = []
    for pair in pairs:
        if pair.instruction is not None:
            asked.append(pair)
            continue
        if not deck:
            deck = list(wordings)
            rng.shuffle(deck)
        asked.append(dataclasses.replace(pair, instruction=deck.pop()))
    return asked
