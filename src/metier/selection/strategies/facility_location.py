"""Facility location: rows such that every row of the task's region is similar to one of them.

The sum over all rows of the similarity to the nearest chosen one is submodular, so greedy comes within 1 - 1/e of the
optimum (Nemhauser et al. 1978), and lazy greedy (Minoux 1978) finds the same rows with few evaluations. k-centre looks
only at the farthest row; this looks at all rows, and so ignores outliers. Costs the encoding of the pool, and a product
of the region with itself, one row at a time; for the sum, larger regions are sampled down to `_MOST` rows.
"""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from metier.selection.encodings import vectors_of
from metier.selection.material import Material

_MOST = 20_000


def choose(material: Material) -> list[int]:
    """Return rows of the task's region in the order greedy takes them."""
    rows = material.region.rows
    vectors = vectors_of(material.codes[rows])
    rng = np.random.default_rng(material.seed)
    served = vectors if len(rows) <= _MOST else vectors[np.sort(rng.choice(len(rows), _MOST, replace=False))]
    best = np.zeros(len(served), np.float32)
    # The first bound of a row is its gain over nothing; later gains are never larger.
    bounds = [(-_gain(served, vectors[i], best), i, 0) for i in range(len(rows))]
    heapq.heapify(bounds)
    chosen: list[int] = []
    spent = 0.0
    most = material.budget.rows if material.budget.rows is not None else len(rows)
    while bounds and len(chosen) < most:
        _, i, known = heapq.heappop(bounds)
        price = float(material.tokens[rows[i]])
        if material.budget.cost is not None and spent + price > material.budget.cost:
            continue
        if known < len(chosen):
            heapq.heappush(bounds, (-_gain(served, vectors[i], best), i, len(chosen)))
            continue
        chosen.append(int(rows[i]))
        spent += price
        np.maximum(best, served @ vectors[i], out=best)
    return chosen


def _gain(served: npt.NDArray[np.float32], row: npt.NDArray[np.float32], best: npt.NDArray[np.float32]) -> float:
    return float(np.maximum(served @ row - best, 0).sum(dtype=np.float64))
