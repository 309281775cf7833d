"""Random rows: the control that every other strategy is compared with. Costs nothing."""

from __future__ import annotations

import numpy as np

from metier.selection.material import Material


def choose(material: Material) -> list[int]:
    """Return rows drawn without replacement, all equally likely."""
    return material.within_budget(np.random.default_rng(material.seed).permutation(material.pool.rows).tolist())
