"""Gradient similarity, in the manner of LESS: rows that would move the student as the task's examples do.

Source: Xia et al. 2024 (arXiv 2402.04333): LoRA gradients of each row after a short warm-up, randomly projected, and
the cosine with the gradients of the task's examples. Here from one checkpoint, and without Adam's moments. Costs a
short tuning and a backward pass per row; regions of more than `_MOST` rows are sampled down to that.
"""

from __future__ import annotations

import numpy as np

from metier.selection.material import Material

_MOST = 2_000


def choose(material: Material) -> list[int]:
    """Return rows of the region, those with the gradient most similar to any of the task's examples first."""
    rows = material.region.rows
    if len(rows) > _MOST:
        rows = np.sort(np.random.default_rng(material.seed).choice(rows, _MOST, replace=False))
    gradients, wanted = material.gradients(rows)
    alike = (gradients @ wanted.T).max(axis=1)
    return material.within_budget(rows[np.argsort(-alike, kind="stable")].tolist())
