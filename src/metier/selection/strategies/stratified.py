"""Stratified random rows: every cluster has the same share of the choice as of the pool.

Source: proportional allocation (Neyman 1934), over K-means clusters. Costs the encoding of the pool.
"""

from __future__ import annotations

import numpy as np

from metier.selection.material import Material


def choose(material: Material) -> list[int]:
    """Return rows in an order in which every prefix holds each cluster about in proportion."""
    rng = np.random.default_rng(material.seed)
    order = rng.permutation(material.pool.rows)
    of = material.clusters.of[order]
    sizes = np.bincount(of, minlength=len(material.clusters.centres))
    # A cluster's k-th row comes at (k + 1/2) / (its size) of the way, so all clusters run out together.
    rank = np.empty(len(order))
    for cluster in np.flatnonzero(sizes):
        members = np.flatnonzero(of == cluster)
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    ties = rng.permutation(len(order))
    return material.within_budget(order[np.lexsort((ties, rank))].tolist())
