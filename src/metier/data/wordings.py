"""Asks training pairs in several wordings of one instruction, so that a specialist does not depend on a single one.

After Zhang et al. 2023 (arXiv 2305.13225): each task has several wordings, and one is drawn for each example. Knows
nothing about models.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

from metier.core.records import Example
from metier.core.storage import seed_of
from metier.tasks.task import Task


def in_wordings(task: Task, pairs: Sequence[Example], seed: int) -> list[Example]:
    """Return the pairs, each asked by the task's instruction or one of its wordings, drawn by the seed.

    Wordings are dealt like cards, so each is used equally often, give or take one. A pair with its own instruction
    keeps it; for a task without wordings the pairs are returned unchanged.
    """
    if not task.wordings:
        return list(pairs)
    rng = random.Random(seed_of(seed, "wordings", task.name))
    deck: list[str] = []
    asked = []
    for pair in pairs:
        if pair.instruction is not None:
            asked.append(pair)
            continue
        if not deck:
            deck = [task.instruction, *task.wordings]
            rng.shuffle(deck)
        asked.append(dataclasses.replace(pair, instruction=deck.pop()))
    return asked
