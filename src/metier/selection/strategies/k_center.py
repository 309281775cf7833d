"""LTD: a core set of the task's region by greedy k-centre, starting from the region's cluster centres.

Source: Chen et al. 2023 (arXiv 2305.09246), with the core set of Sener & Savarese 2018 (arXiv 1708.00489). Costs the
encoding of the pool, K-means, and the distances that `kcenter` cannot do without.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from metier.selection import kcenter
from metier.selection.material import Material


def choose(material: Material) -> list[int]:
    """Return rows of the task's region, the farthest from all before it each time; all of them if they fit."""
    region = material.region
    rows = region.rows
    budget = material.budget
    if budget.rows is not None and budget.rows >= len(rows):
        budget = dataclasses.replace(budget, rows=len(rows))
    centres = material.clusters.centres[region.clusters]
    found = kcenter.k_center(
        np.asarray(material.codes[rows]),
        kcenter.encode(np.clip(centres, -1, 1), largest=1.0),
        budget,
        costs=material.tokens[rows].astype(np.float64),
        clusters=material.clusters.of[rows],
    )
    return [int(rows[i]) for i in found.chosen]
