"""Longest answers first: the simplest strategy known to work (Zhao et al. 2024, arXiv 2402.04833). Costs nothing."""

from __future__ import annotations

import numpy as np

from metier.selection.material import Material


def choose(material: Material) -> list[int]:
    """Return rows by the length of their answer in characters, longest first; equals keep the pool's order."""
    lengths = np.array([len(row.output) for piece in material.pool.pieces() for row in piece])
    return material.within_budget(np.argsort(-lengths, kind="stable").tolist())
