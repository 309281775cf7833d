"""LTD: a core set of the task's region by greedy k-centre, starting from the region's cluster centres.

Source: Chen et al. 2023 (arXiv 2305.09246), with the core set of Sener & Savarese 2018 (arXiv 1708.00489). Costs the
encoding of the pool, K-means, and the few distances that `kcenter` computes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from metier.selection import kcenter
from metier.selection.cluster import Clusters, Region
from metier.selection.material import Material


def choose(material: Material) -> list[int]:
    """Return rows of the task's region, each the farthest from those before it; all of them if they fit."""
    rows = material.region.rows
    costs = material.tokens[rows].astype(np.float64)
    found = core_set(np.asarray(material.codes[rows]), material.clusters, material.region, material.budget, costs)
    return [int(rows[i]) for i in found]


def core_set(
    codes: kcenter.Codes,
    clusters: Clusters,
    region: Region,
    budget: kcenter.Budget,
    costs: npt.NDArray[np.float64] | None = None,
) -> Sequence[int]:
    """Return places in a region, each the farthest from those before it; all of them if they fit.

    Args:
        codes: Encodings of the region's rows, ``[rows, width]``.
        clusters: The pool's clusters.
        region: Which clusters it consists of, and its rows.
        budget: How much may be chosen.
        costs: The cost of each row, ``[rows]``; None: rows cost nothing.
    """
    if budget.rows is not None and budget.rows >= len(region.rows):
        budget = dataclasses.replace(budget, rows=len(region.rows))
    centres = kcenter.encode(np.clip(clusters.centres[region.clusters], -1, 1), largest=1.0)
    return kcenter.k_center(codes, centres, budget, costs=costs, clusters=clusters.of[region.rows]).chosen
