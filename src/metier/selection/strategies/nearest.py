"""Nearest to the task: to each of its texts in turn, or to all of them on average.

``nearest``: each of the task's texts in turn takes the most similar row that is still free. Taking turns keeps one text
with many rows around it from using up the whole budget (as in retrieval for instruction data, Ivison et al. 2023, arXiv
2212.00196). ``nearest_mean``: rows by their mean similarity to all texts, in which the texts' topics cancel out and
what they have in common, the task, remains; minus half of their mean similarity to the pool, since some rows are
similar to everything. Both cost the encoding of the pool.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from metier.selection.cluster import towards
from metier.selection.encodings import vectors_of
from metier.selection.material import Material
from metier.selection.turns import in_turn

_PIECE = 16_384


def choose(material: Material) -> list[int]:
    """Return rows: the nearest to the first text, to the second, and so on, round after round."""
    return material.within_budget(nearest_first(material))


def choose_by_mean(material: Material) -> list[int]:
    """Return rows, those most similar to the task's texts on average first."""
    pieces = range(0, material.pool.rows, _PIECE)
    whole = sum(vectors_of(material.codes[begin : begin + _PIECE]).sum(axis=0) for begin in pieces)
    wanted = towards(vectors_of(material.target_codes), np.asarray(whole / material.pool.rows))
    return material.within_budget(np.argsort(-_alike(material, wanted[None])[0], kind="stable").tolist())


def nearest_first(material: Material) -> Iterator[int]:
    """Yield all rows in the order in which the task's texts, in turn, would take them."""
    return in_turn(_alike(material, vectors_of(material.target_codes)))


def _alike(material: Material, target: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the similarity of each target to every row, ``[targets, rows]``."""
    rows = material.pool.rows
    alike = np.empty((len(target), rows), np.float32)
    for begin in range(0, rows, _PIECE):
        alike[:, begin : begin + _PIECE] = target @ vectors_of(material.codes[begin : begin + _PIECE]).T
    return alike
