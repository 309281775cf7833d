"""Greedy k-centre: a small set of points such that no other point is far from it. Knows nothing about texts.

Source: the greedy 2-approximation of Gonzalez 1985, as a core set by Sener & Savarese 2018 (arXiv 1708.00489): each
step takes the point whose distance to its nearest chosen point is largest; among equals, the first.

It returns exactly what the plain algorithm returns, but computes few of its distances, and those in large products:

- A point's distance to the chosen points can only shrink, so an earlier distance remains an upper bound (the idea of
  Minoux's lazy greedy, 1978). Points are grouped in tiles; a tile is updated only when its bound is the largest of all,
  and then against all centres it has not seen yet, in one product.
- A centre farther from a tile's middle than the tile's radius plus its largest bound cannot change anything in the tile
  (triangle inequality), and is skipped. Tiles cut from clusters have a small radius; pass ``clusters``.

Vectors are rounded to 16-bit integers. Products are computed in float32, whose error is bounded; where that bound
leaves open which point is farthest, the integer sums are computed exactly, in float64. So results depend neither on the
order of summation nor on the machine, and the points may be in a file larger than memory.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.core.errors import UserError

Vectors = npt.NDArray[np.floating[Any]]
Codes = npt.NDArray[np.int16]
SCALE = 2**14 - 1
_TILE = 1024  # points updated together
_PIECE = 8192  # points read at once
_COPY_BYTES = 2**31  # up to this size the points are also kept in float32; above it, tiles are read each time


@dataclasses.dataclass(frozen=True, slots=True)
class CoreSet:
    """The chosen points.

    Attributes:
        chosen: Their indices, in the order they were chosen.
        radius: The largest distance from any point to its nearest chosen one (or start), in the vectors' unit.
        distances: How many distances were computed.
    """

    chosen: tuple[int, ...]
    radius: float
    distances: int


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """How much may be chosen: a number of rows, or a sum of their costs (tokens); None: no such limit."""

    rows: int | None = None
    cost: float | None = None


def encode(vectors: Vectors, *, largest: float, out: Codes | None = None) -> Codes:
    """Round vectors to 16-bit integers.

    Args:
        vectors: ``[points, width]``.
        largest: The largest absolute value there may be; 1 for vectors of length 1.
        out: Where to write, such as a memory-mapped file.

    Raises:
        UserError: A value is not a number, or larger than ``largest``.
    """
    codes = np.empty(vectors.shape, np.int16) if out is None else out
    for begin in range(0, len(vectors), _PIECE):
        piece = np.asarray(vectors[begin : begin + _PIECE], np.float64)
        # NaN compares as false, so it fails this too.
        wrong = ~(np.abs(piece) <= largest * (1 + 1e-6)).all(axis=1)
        if wrong.any():
            raise UserError(
                f"vector {begin + int(wrong.argmax())} has a value that is not a number or is larger than {largest}",
                hint="check that its text is not empty; the encoder may also need float32",
            )
        codes[begin : begin + _PIECE] = np.rint(piece * (SCALE / largest))
    return codes


def k_center(
    codes: Codes,
    starts: Codes,
    budget: Budget,
    *,
    largest: float = 1.0,
    costs: Sequence[float] | npt.NDArray[np.float64] | None = None,
    clusters: npt.NDArray[np.integer[Any]] | None = None,
) -> CoreSet:
    """Choose points greedily until the budget is spent.

    Args:
        codes: The points, as `encode` gives them, ``[points, width]``; may be memory-mapped.
        starts: Points that count as chosen from the start (cluster centres, the task's examples),
            ``[starts, width]``, encoded the same way. Without any, the point nearest to the mean is taken first.
        budget: When to stop. A point that would exceed the cost is skipped; the next farthest may fit.
        largest: As given to `encode`; used only for the radius.
        costs: Each point's cost, for a budget in cost.
        clusters: Each point's cluster; saves work without changing the result.

    Returns:
        The core set; fewer points than asked for only if all others coincide with chosen ones (distance 0).

    Raises:
        UserError: The budget is not positive, is larger than the pool, or has no limit; or costs are missing.
    """
    _check(codes, budget, costs)
    search = _Search(codes, starts, clusters)
    chosen: list[int] = []
    left = budget.cost if budget.cost is not None else np.inf
    most = budget.rows if budget.rows is not None else len(codes)
    while len(chosen) < most:
        index, distance = search.farthest()
        if distance < 0 or (distance == 0 and (chosen or len(starts))):
            break
        price = float(costs[index]) if costs is not None and budget.cost is not None else 0.0
        if price > left:
            search.skip(index)
            continue
        left -= price
        chosen.append(index)
        search.take(index)
    radius = np.sqrt(max(0.0, search.farthest()[1])) * largest / SCALE
    return CoreSet(tuple(chosen), float(radius), search.computed)


class _Search:
    """Upper bounds of all squared distances, in tiles that have each seen the first few centres."""

    def __init__(self, codes: Codes, starts: Codes, clusters: npt.NDArray[np.integer[Any]] | None) -> None:
        self._codes = codes
        self.computed = 0
        self._order, self._edges = _tiles(len(codes), clusters)
        tiles = len(self._edges) - 1
        self._copy: npt.NDArray[np.float32] | None = None
        if codes.size * 4 <= _COPY_BYTES:
            self._copy = np.empty(codes.shape, np.float32)
        self._norms = np.empty(len(codes))  # exact; in the tiles' order, like the bounds
        self._middles = np.empty((tiles, codes.shape[1]))
        self._radii = np.empty(tiles)
        self._read_all()
        self._centres = np.empty((max(16, len(starts)), codes.shape[1]))
        self._centre_norms = np.empty(len(self._centres))
        self._to_middles = np.empty((len(self._centres), tiles))  # distance of every centre to every tile's middle
        self._count = 0
        self._bounds = np.full(len(codes), np.inf, np.float32)
        self._top = np.full(tiles, np.inf)
        self._seen = np.zeros(tiles, np.int64)
        for start in np.asarray(starts, np.float64):
            self._append(start)
        # The largest error of a float32 product of vectors of this length (Higham 2002, section 3.1).
        longest = float(max(self._norms.max(), self._centre_norms[: self._count].max(initial=0.0)))
        self._doubt = 3 * (codes.shape[1] + 4) * 2.0**-24 * longest
        # Without starts every point is infinitely far away: the one nearest to the mean comes first.
        self._from_mean = None if self._count else self._distances_from_mean()

    def farthest(self) -> tuple[int, float]:
        """Return the point with the largest distance, and that distance squared; -1 if all are skipped."""
        if self._from_mean is not None:
            index = int(self._from_mean.argmin())
            return index, np.inf if self._from_mean[index] < np.inf else -1.0
        while True:
            best = float(self._top.max())
            if best == -np.inf:
                return 0, -1.0
            doubtful = np.flatnonzero(self._top >= best - 2 * self._doubt)
            stale = doubtful[self._seen[doubtful] < self._count]
            if not len(stale):
                break
            # The most promising first: its exact distance may rule out the others.
            self._look_again(int(stale[self._top[stale].argmax()]))
        near = [
            self._edges[t] + np.flatnonzero(self._bounds[self._edges[t] : self._edges[t + 1]] >= best - 2 * self._doubt)
            for t in doubtful
        ]
        places = np.concatenate(near)
        points = np.sort(self._order[places])
        exact = self._exact(points)
        foremost = int(exact.argmax())
        return int(points[foremost]), float(exact[foremost])

    def take(self, index: int) -> None:
        """Count a point as chosen."""
        self._append(np.asarray(self._codes[index], np.float64))
        self._from_mean = None
        self.skip(index)

    def skip(self, index: int) -> None:
        """Exclude a point."""
        if self._from_mean is not None:
            self._from_mean[index] = np.inf
        place = int(self._place[index])
        self._bounds[place] = -np.inf
        tile = int(np.searchsorted(self._edges, place, side="right")) - 1
        self._top[tile] = self._bounds[self._edges[tile] : self._edges[tile + 1]].max()

    def _read_all(self) -> None:
        """Read every tile once: norms, middles and radii, and the copy in float32 where it fits."""
        self._place = np.empty(len(self._codes), np.int64)
        self._place[self._order] = np.arange(len(self._codes))
        for tile in range(len(self._edges) - 1):
            rows = slice(self._edges[tile], self._edges[tile + 1])
            points = np.asarray(self._codes[self._order[rows]], np.float32)
            if self._copy is not None:
                self._copy[rows] = points
            exact = points.astype(np.float64)
            self._norms[rows] = np.einsum("ij,ij->i", exact, exact)
            self._middles[tile] = exact.mean(axis=0)
            self._radii[tile] = np.sqrt(((exact - self._middles[tile]) ** 2).sum(axis=1).max())

    def _tile(self, tile: int) -> npt.NDArray[np.float32]:
        rows = slice(self._edges[tile], self._edges[tile + 1])
        if self._copy is not None:
            return self._copy[rows]
        return np.asarray(self._codes[self._order[rows]], np.float32)

    def _look_again(self, tile: int) -> None:
        """Bring a tile's bounds up to date with the centres it has not seen."""
        rows = slice(self._edges[tile], self._edges[tile + 1])
        unseen = slice(int(self._seen[tile]), self._count)
        self._seen[tile] = self._count
        # A centre at least this far from the middle is not nearer to any point than its current nearest.
        reach = self._radii[tile] + np.sqrt(max(0.0, float(self._top[tile])) + self._doubt)
        counts = np.flatnonzero(self._to_middles[unseen, tile] < reach) + unseen.start
        if not len(counts):
            return
        centres = self._centres[counts].astype(np.float32)
        self.computed += int(rows.stop - rows.start) * len(counts)
        products = self._tile(tile) @ centres.T
        products *= -2
        products += self._centre_norms[counts].astype(np.float32)
        found = products.min(axis=1) + self._norms[rows].astype(np.float32)
        np.minimum(self._bounds[rows], found, out=self._bounds[rows])
        self._top[tile] = self._bounds[rows].max()

    def _exact(self, points: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return points' exact squared distances to their nearest centres, as sums of integers."""
        nearest = np.empty(len(points))
        for begin in range(0, len(points), _PIECE):
            some = points[begin : begin + _PIECE]
            rows = np.asarray(self._codes[some], np.float64)
            products = rows @ self._centres[: self._count].T
            apart = (self._centre_norms[: self._count] - 2 * products).min(axis=1)
            nearest[begin : begin + _PIECE] = apart + self._norms[self._place[some]]
        return nearest

    def _append(self, centre: npt.NDArray[np.float64]) -> None:
        if self._count == len(self._centres):
            self._centres, self._centre_norms, self._to_middles = (
                np.concatenate([held, np.empty_like(held)])
                for held in (self._centres, self._centre_norms, self._to_middles)
            )
        self._centres[self._count] = centre
        self._centre_norms[self._count] = centre @ centre
        self._to_middles[self._count] = np.sqrt(((self._middles - centre) ** 2).sum(axis=1))
        self._count += 1

    def _distances_from_mean(self) -> npt.NDArray[np.float64]:
        pieces = [slice(b, min(b + _PIECE, len(self._codes))) for b in range(0, len(self._codes), _PIECE)]
        total = sum(np.asarray(self._codes[piece], np.float64).sum(axis=0) for piece in pieces)
        mean = np.rint(total / len(self._codes))
        return np.concatenate(
            [((np.asarray(self._codes[piece], np.float64) - mean) ** 2).sum(axis=1) for piece in pieces]
        )


def _tiles(
    points: int, clusters: npt.NDArray[np.integer[Any]] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the points' order, cluster by cluster, and where each tile begins in it (the end comes last)."""
    if clusters is None:
        return np.arange(points), np.append(np.arange(0, points, _TILE), points)
    order = np.argsort(clusters, kind="stable")
    borders = np.append(np.flatnonzero(np.diff(clusters[order], prepend=clusters[order[0]] - 1)), points)
    starts = [np.arange(a, b, _TILE) for a, b in itertools.pairwise(borders)]
    return order, np.append(np.concatenate(starts), points)


def _check(codes: Codes, budget: Budget, costs: Any) -> None:
    if len(codes) == 0:
        raise UserError("no rows to choose from")
    if budget.rows is None and budget.cost is None:
        raise UserError("the budget has no limit", hint="set rows, tokens or a share")
    if budget.rows is not None and not 0 < budget.rows <= len(codes):
        raise UserError(
            f"a budget of {budget.rows} rows from a pool of {len(codes)}", hint="it must lie between 1 and that"
        )
    if budget.cost is not None and (costs is None or not budget.cost > 0):
        raise UserError(f"a budget of {budget.cost} tokens must be positive, and needs each row's number of tokens")
    if costs is not None and len(costs) != len(codes):
        raise UserError(f"{len(costs)} costs for {len(codes)} points")
