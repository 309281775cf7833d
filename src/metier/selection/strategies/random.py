"""Random choice: the control that every other strategy is held against. Costs nothing."""

from __future__ import annotations

import numpy as np

from metier.selection.material import Material


def choose(material: Material) -> list[int]:
    """Return rows drawn without replacement, every row as likely as any other."""
    return material.within_budget(np.random.default_rng(material.seed).permutation(material.pool.rows).tolist())
