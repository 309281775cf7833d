"""Greedy k-centre: a small set of points such that no other is far from it. Knows nothing about texts.

Source: the greedy 2-approximation of Gonzalez 1985, as a core set by Sener & Savarese 2018 (arXiv 1708.00489): again
and again the point is taken whose distance to its nearest chosen point is largest; of equals the one that comes first.

It returns exactly what the plain algorithm returns, but computes few of its distances. A point's distance to the chosen
ones only falls as more are chosen, so what was computed for it earlier is an upper bound for ever after; a point is
looked at again only when its bound is the largest of all, and then only against what was chosen since (the idea of
Minoux's lazy greedy, 1978). Vectors are rounded to 16-bit integers, whose sums of products a float64 holds without
error: results depend neither on the order of summation nor on the machine, and the points may lie in a file larger than
memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.errors import UserError

Vectors = npt.NDArray[np.floating[Any]]
Codes = npt.NDArray[np.int16]
_SCALE = 2**14 - 1
_BLOCK = 1024  # points whose largest bound is kept
_TOGETHER = 4  # points looked at together
_PIECE = 8192  # points read at once


@dataclasses.dataclass(frozen=True, slots=True)
class CoreSet:
    """The chosen points.

    Attributes:
        chosen: Their indices, in the order they were taken.
        radius: The largest distance from any point to its nearest chosen one (or start), in the vectors' unit.
        distances: How many distances were computed.
    """

    chosen: tuple[int, ...]
    radius: float
    distances: int


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """How much may be chosen: rows, or the sum of the rows' costs (tokens); None: no such limit."""

    rows: int | None = None
    cost: float | None = None


def encode(vectors: Vectors, *, largest: float, out: Codes | None = None) -> Codes:
    """Round vectors to 16-bit integers.

    Args:
        vectors: ``[points, width]``.
        largest: No value is larger than this; 1 for vectors of length 1.
        out: Where to write (a memory-mapped file, say).

    Raises:
        UserError: A value is not a number, or larger than promised.
    """
    codes = np.empty(vectors.shape, np.int16) if out is None else out
    for begin in range(0, len(vectors), _PIECE):
        piece = np.asarray(vectors[begin : begin + _PIECE], np.float64)
        # NaN compares as false, so it fails this too.
        wrong = ~(np.abs(piece) <= largest * (1 + 1e-6)).all(axis=1)
        if wrong.any():
            raise UserError(
                f"vector {begin + int(wrong.argmax())} holds a value that is not a number, or larger than {largest}",
                hint="was its text empty, or the encoder's arithmetic too narrow (try float32)?",
            )
        codes[begin : begin + _PIECE] = np.rint(piece * (_SCALE / largest))
    return codes


def k_center(
    codes: Codes,
    starts: Codes,
    budget: Budget,
    *,
    largest: float = 1.0,
    costs: Sequence[float] | npt.NDArray[np.float64] | None = None,
) -> CoreSet:
    """Choose points greedily until the budget is spent.

    Args:
        codes: The points, as `encode` gives them, ``[points, width]``; may be memory-mapped.
        starts: Points that count as chosen from the beginning (cluster centres, the task's examples),
            ``[starts, width]``, encoded alike. Without any, the point nearest to the points' mean is taken first.
        budget: When to stop. A point that would go beyond its cost is passed over; the next farthest may fit.
        largest: As given to `encode`; only for the radius.
        costs: Of each point, for a budget in cost.

    Returns:
        The core set; fewer points than asked for only where all others are as near as can be (distance 0).

    Raises:
        UserError: The budget is not positive, larger than the pool, or no limit at all; or costs are missing.
    """
    _check(codes, budget, costs)
    search = _Search(codes, starts)
    chosen: list[int] = []
    left = budget.cost if budget.cost is not None else np.inf
    most = budget.rows if budget.rows is not None else len(codes)
    while len(chosen) < most:
        index, distance = search.farthest()
        if distance <= 0 and (chosen or len(starts)):
            break
        price = float(costs[index]) if costs is not None and budget.cost is not None else 0.0
        if price > left:
            search.pass_over(index)
            continue
        left -= price
        chosen.append(index)
        search.take(index)
    radius = np.sqrt(max(0.0, search.farthest()[1])) * largest / _SCALE
    return CoreSet(tuple(chosen), float(radius), search.computed)


class _Search:
    """Upper bounds of all squared distances, and how many centres each of them knows of."""

    def __init__(self, codes: Codes, starts: Codes) -> None:
        self._codes = codes
        self._norms = np.empty(len(codes))
        self._bounds = np.full(len(codes), -1.0)
        self._knows = np.zeros(len(codes), np.int64)
        self._centres = np.empty((max(16, len(starts)), codes.shape[1]))
        self._centre_norms = np.empty(len(self._centres))
        self._count = 0
        self.computed = 0
        for start in np.asarray(starts, np.float64):
            self._append(start)
        self._begin()
        blocks = -(-len(codes) // _BLOCK)
        self._block_max = np.array([self._bounds[b * _BLOCK : (b + 1) * _BLOCK].max() for b in range(blocks)])

    def farthest(self) -> tuple[int, float]:
        """Return the point with the largest distance, and that distance squared; -1 if all are passed over."""
        while True:
            block = int(self._block_max.argmax())
            index = block * _BLOCK + int(self._bounds[block * _BLOCK : (block + 1) * _BLOCK].argmax())
            if self._bounds[index] <= 0 or self._knows[index] == self._count:
                return index, float(self._bounds[index])
            self._look_again(block)

    def take(self, index: int) -> None:
        """Count a point as chosen."""
        self._append(np.asarray(self._codes[index], np.float64))
        self.pass_over(index)

    def pass_over(self, index: int) -> None:
        """Never offer a point again."""
        self._bounds[index] = -1.0
        self._renew(index // _BLOCK)

    def _begin(self) -> None:
        """Compute every point's distance to the starts; without starts, make the one nearest to the mean the first."""
        for begin, piece in self._pieces():
            rows = slice(begin, begin + len(piece))
            self._norms[rows] = np.einsum("ij,ij->i", piece, piece)
            if self._count:
                self._bounds[rows] = self._distances(piece, self._norms[rows], 0)
        if self._count:
            self._knows[:] = self._count
            return
        # Without a start every point is infinitely far: that nearest to the mean comes first, as its bound is largest.
        mean = np.rint(sum(piece.sum(axis=0) for _, piece in self._pieces()) / len(self._codes))
        apart = [((piece - mean) ** 2).sum(axis=1) for _, piece in self._pieces()]
        first = int(np.concatenate(apart).argmin())
        self._bounds[:] = 8.0 * self._codes.shape[1] * _SCALE**2  # beyond any distance
        self._bounds[first] *= 2

    def _pieces(self) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
        for begin in range(0, len(self._codes), _PIECE):
            yield begin, np.asarray(self._codes[begin : begin + _PIECE], np.float64)

    def _look_again(self, block: int) -> None:
        """Compute the distances of a block's foremost points to the centres they do not know of yet."""
        begin = block * _BLOCK
        bounds, knows = self._bounds[begin : begin + _BLOCK], self._knows[begin : begin + _BLOCK]
        # The next few would be asked for soon: together they take hardly longer than one.
        many = min(_TOGETHER, len(bounds))
        foremost = np.union1d(np.argpartition(bounds, -many)[-many:], bounds.argmax())
        stale = begin + foremost[(knows[foremost] < self._count) & (bounds[foremost] > 0)]
        oldest = int(self._knows[stale].min())
        found = self._distances(np.asarray(self._codes[stale], np.float64), self._norms[stale], oldest)
        self._bounds[stale] = np.minimum(self._bounds[stale], found)
        self._knows[stale] = self._count
        self._renew(block)

    def _distances(
        self, points: npt.NDArray[np.float64], norms: npt.NDArray[np.float64], oldest: int
    ) -> npt.NDArray[np.float64]:
        """Return squared distances to the nearest of the centres from ``oldest`` on; exact, being sums of integers."""
        centres = self._centres[oldest : self._count]
        self.computed += len(points) * len(centres)
        products = points @ centres.T
        nearest: npt.NDArray[np.float64] = (self._centre_norms[oldest : self._count] - 2 * products).min(axis=1) + norms
        return nearest

    def _append(self, centre: npt.NDArray[np.float64]) -> None:
        if self._count == len(self._centres):
            self._centres = np.concatenate([self._centres, np.empty_like(self._centres)])
            self._centre_norms = np.concatenate([self._centre_norms, np.empty_like(self._centre_norms)])
        self._centres[self._count] = centre
        self._centre_norms[self._count] = centre @ centre
        self._count += 1

    def _renew(self, block: int) -> None:
        self._block_max[block] = self._bounds[block * _BLOCK : (block + 1) * _BLOCK].max()


def _check(codes: Codes, budget: Budget, costs: Any) -> None:
    if len(codes) == 0:
        raise UserError("there is nothing to choose from")
    if budget.rows is None and budget.cost is None:
        raise UserError("the budget has no limit", hint="give it rows, tokens or a share")
    if budget.rows is not None and not 0 < budget.rows <= len(codes):
        raise UserError(f"a budget of {budget.rows} rows, from a pool of {len(codes)}", hint="it must lie between")
    if budget.cost is not None and (costs is None or not budget.cost > 0):
        raise UserError(f"a budget of {budget.cost} tokens needs to be positive, and to know each row's tokens")
    if costs is not None and len(costs) != len(codes):
        raise UserError(f"{len(costs)} costs for {len(codes)} points")
