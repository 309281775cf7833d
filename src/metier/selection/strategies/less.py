"""Gradient similarity, in the manner of LESS: rows that would move the student as the task's examples do.

The rows nearest to the task's texts are looked at, eight times the budget and at most `_MOST`; each of the task's
examples in turn takes the one whose gradient is most like its own. Where the budget is larger, the next nearest follow.

Source: Xia et al. 2024 (arXiv 2402.04333): LoRA gradients of each row after a short warm-up, randomly projected, and
the cosine with the gradients of the task's examples. Here from one checkpoint, and without Adam's moments. Costs the
encoding of the pool, a short tuning, and a backward pass for each row that is looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from metier.selection.material import Material
from metier.selection.strategies.nearest import nearest_first
from metier.selection.turns import in_turn

_MOST = 2_000
_TIMES = 8  # the budget


def choose(material: Material) -> list[int]:
    """Return rows near the task, those with the gradient most similar to one of the task's examples first."""
    return material.within_budget(_order(material))


def _order(material: Material) -> Iterator[int]:
    rest = nearest_first(material)
    budget = material.budget.rows
    near = np.array(list(itertools.islice(rest, _MOST if budget is None else min(_MOST, _TIMES * budget))))
    gradients, wanted = material.gradients(near)
    for place in in_turn(wanted @ gradients.T):
        yield int(near[place])
    yield from rest
