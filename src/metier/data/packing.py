"""How a mixture's rows would fill sequences of a length: what packing would save, and what padding costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from metier.data.mixture import MixedRow


@dataclasses.dataclass(frozen=True, slots=True)
class Packing:
    """How the rows would fill sequences of a length: what packing would save, and what padding costs.

    Attributes:
        rows: Rows.
        tokens: Their tokens.
        longest: Tokens of the longest.
        length: Tokens of one sequence.
        sequences: Sequences needed when rows are packed, first fit, longest first.
        padding: Share of tokens that are padding when batches are made of rows of like length.
    """

    rows: int
    tokens: int
    longest: int
    length: int
    sequences: int
    padding: float


def packing(rows: Sequence[MixedRow], *, length: int, batch_size: int) -> Packing:
    """Return how rows fill sequences of a length, and what padding batches of like rows have.

    Args:
        rows: The mixture's rows; one longer than ``length`` is not counted, as it is not trained on.
        length: Tokens of a sequence.
        batch_size: Rows of a batch.
    """
    counts = sorted((row.tokens for row in rows if row.tokens <= length), reverse=True)
    room: list[int] = []
    for size in counts:
        place = next((i for i, free in enumerate(room) if free >= size), None)
        if place is None:
            room.append(length - size)
        else:
            room[place] -= size
    batches = [counts[i : i + batch_size] for i in range(0, len(counts), batch_size)]
    padded = sum(batch[0] * len(batch) for batch in batches)
    total = sum(counts)
    longest = counts[0] if counts else 0
    return Packing(len(counts), total, longest, length, len(room), 1 - total / padded if padded else 0.0)
