"""Which rows a person is asked about: half of them at random, and half that are worth most by some other measure.

Only the random half says how often something is right: the others were chosen. It is drawn first, from all rows, so it
does not depend on how the others are chosen; and a larger draw holds a smaller one's, so that more can be asked later.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections import Counter
from collections.abc import Mapping, Sequence

from metier.core.errors import UserError
from metier.core.storage import seed_of
from metier.report.words import count

CANDIDATES = 2000
"""Rows, drawn at random, among which the most valuable are sought: so the cost does not grow with the file."""
LEAST = 2
RANDOM, UNCERTAIN, VARIED = "random", "uncertain", "varied"
"""What a row may be drawn for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """An input that a person is asked about, and what it was drawn for; a row of a file may say nothing of that."""

    input: str
    part: str


@dataclasses.dataclass(frozen=True, slots=True)
class Drawn:
    """Places of rows.

    Attributes:
        random: Those drawn at random, in random order.
        candidates: Of the others, those among which to seek, in random order.
        others: How many of them to choose.
    """

    random: tuple[int, ...]
    candidates: tuple[int, ...]
    others: int


def draw(rows: int, several: int, seed: int) -> Drawn:
    """Draw the random half of the rows to ask about, and the candidates for the other.

    Where all rows are asked about, they all count as random: nothing was chosen.

    Args:
        rows: How many there are.
        several: How many to ask about, both halves together.
        seed: Seeds the draw.

    Raises:
        UserError: Fewer than two are asked for.
    """
    if several < LEAST:
        raise UserError(f"--rows: {several} are too few", hint=f"at least {LEAST}: half of them are random")
    order = list(range(rows))
    random.Random(seed_of(seed, "rows to answer")).shuffle(order)
    half = rows if several >= rows else (several + 1) // 2
    others = min(several, rows) - half
    return Drawn(tuple(order[:half]), tuple(order[half : half + max(CANDIDATES, others)]), others)


def questions(inputs: Sequence[str], drawn: Drawn, chosen: Sequence[int], part: str) -> list[Question]:
    """Return what to ask: random rows and chosen ones in turn, so that whoever stops early has answered both.

    Args:
        inputs: All rows.
        drawn: What was drawn of them.
        chosen: The places of the other half, the most valuable first.
        part: What those were chosen for.
    """
    pairs = itertools.zip_longest(
        (Question(inputs[i], RANDOM) for i in drawn.random), (Question(inputs[i], part) for i in chosen)
    )
    return [question for pair in pairs for question in pair if question is not None]


def answered_sentence(asked: Sequence[Question], answered: Sequence[Question]) -> str:
    """Return how many of the rows of each part have an answer."""
    of, there = Counter(q.part for q in asked), Counter(q.part for q in answered)
    told = [f"{there[part]} of {count(several, f'{part} row')}" for part, several in of.items()]
    return f"Answered: {', '.join(told)}."


def least_sure(drawn: Drawn, probabilities: Mapping[int, float | None]) -> list[int]:
    """Return the candidates whose answers are least probable, the least one first.

    Args:
        drawn: The candidates, and how many to choose.
        probabilities: By place, of the answer; None where the row could not be asked, and then it is not chosen.
    """
    asked = [(share, i) for i in drawn.candidates if (share := probabilities[i]) is not None]
    return [i for _, i in sorted(asked, key=lambda one: one[0])[: drawn.others]]
