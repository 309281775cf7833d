"""Greedy k-centre against the plain algorithm in ten lines: the same points, always."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.core.errors import UserError
from metier.selection.kcenter import Budget, encode, k_center


def plain(codes: npt.NDArray[Any], starts: npt.NDArray[Any], rows: int) -> list[int]:
    points = codes.astype(np.int64)
    nearest = ((points[:, None] - starts.astype(np.int64)[None]) ** 2).sum(axis=2).min(axis=1)
    chosen: list[int] = []
    while len(chosen) < rows and nearest.max() > 0:
        index = int(nearest.argmax())
        chosen.append(index)
        nearest = np.minimum(nearest, ((points - points[index]) ** 2).sum(axis=1))
    return chosen


def some(points: int, width: int, seed: int, *, distinct: int | None = None) -> npt.NDArray[np.int16]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(distinct or points, width)) * rng.gamma(1, 1, size=(distinct or points, 1))
    vectors /= np.abs(vectors).max()
    return encode(vectors[rng.integers(0, len(vectors), points)] if distinct else vectors, largest=1.0)


@settings(deadline=None, max_examples=60)
@given(
    points=st.integers(1, 3000),
    width=st.integers(1, 12),
    seed=st.integers(0, 10**6),
    starts=st.integers(1, 5),
    share=st.floats(0.001, 0.2),
    distinct=st.one_of(st.none(), st.integers(1, 20)),
)
def test_it_returns_the_plain_algorithms_points(
    points: int, width: int, seed: int, starts: int, share: float, distinct: int | None
) -> None:
    codes = some(points, width, seed, distinct=distinct)
    first = some(starts, width, seed + 1)
    rows = max(1, round(share * points))
    for clusters in (None, np.random.default_rng(seed).integers(0, 7, points)):
        found = k_center(codes, first, Budget(rows=rows), clusters=clusters)
        assert list(found.chosen) == plain(codes, first, rows)


def blobs(points: int, width: int, count: int, seed: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(count, width))
    of = rng.integers(0, count, points)
    vectors = middles[of] + rng.normal(size=(points, width)) * 0.02
    return encode(vectors / np.abs(vectors).max(), largest=1.0), of


def test_clusters_save_most_distances_and_change_nothing() -> None:
    codes, of = blobs(20_000, 32, 40, 0)
    starts = some(3, 32, 1)
    known, unknown = (k_center(codes, starts, Budget(rows=200), clusters=c) for c in (of, None))
    assert list(known.chosen) == list(unknown.chosen) == plain(codes, starts, 200)
    assert known.radius == unknown.radius
    assert known.distances < 0.2 * 20_000 * 203


def test_identical_rows_by_the_thousand() -> None:
    codes = np.repeat(some(3, 4, 0), 2000, axis=0)
    found = k_center(codes, codes[:1], Budget(rows=50))
    assert len(found.chosen) == 2 and found.radius == 0  # a third of them is the start
    assert set(found.chosen) <= {2000, 4000}


def test_without_starts_the_middle_comes_first() -> None:
    codes = encode(np.array([[1.0, 0], [0.1, 0.1], [-1, 0], [0, 1]]), largest=1.0)
    found = k_center(codes, np.empty((0, 2), np.int16), Budget(rows=4))
    assert found.chosen[0] == 1 and sorted(found.chosen) == [0, 1, 2, 3]


def test_the_radius_is_the_farthest_points_distance() -> None:
    vectors = np.array([[1.0, 0], [0, 1], [0.6, 0.8]])
    found = k_center(encode(vectors, largest=1.0), encode(vectors[:1], largest=1.0), Budget(rows=1))
    assert found.chosen == (1,)
    assert found.radius == pytest.approx(np.linalg.norm(vectors[2] - vectors[1]), abs=1e-3)


def test_a_budget_in_tokens_passes_over_what_does_not_fit() -> None:
    codes = encode(np.array([[1.0, 0], [-1, 0], [0, 1], [0.5, 0]]), largest=1.0)
    start = encode(np.array([[1.0, 0.1]]), largest=1.0)
    found = k_center(codes, start, Budget(cost=10), costs=[1, 50, 4, 6])
    assert found.chosen == (2, 3)
    assert sum([1, 50, 4, 6][i] for i in found.chosen) <= 10


def test_a_pool_in_a_file_gives_the_same(tmp_path: Path) -> None:
    codes = some(5000, 8, 3)
    file = np.lib.format.open_memmap(tmp_path / "pool.npy", mode="w+", dtype=np.int16, shape=codes.shape)
    file[:] = codes
    file.flush()
    mapped = np.load(tmp_path / "pool.npy", mmap_mode="r")
    assert k_center(mapped, codes[:2], Budget(rows=40)) == k_center(codes, codes[:2], Budget(rows=40))


@pytest.mark.parametrize(
    ("budget", "costs", "told"),
    [
        (Budget(rows=11), None, "a budget of 11 rows from a pool of 10"),
        (Budget(rows=0), None, "a budget of 0 rows"),
        (Budget(), None, "no limit"),
        (Budget(cost=5), None, "must be positive"),
        (Budget(cost=0), [1.0] * 10, "must be positive"),
        (Budget(cost=5), [1.0] * 9, "9 costs for 10 points"),
    ],
)
def test_budgets_that_cannot_be(budget: Budget, costs: list[float] | None, told: str) -> None:
    codes = some(10, 3, 0)
    with pytest.raises(UserError, match=told):
        k_center(codes, codes[:1], budget, costs=costs)


def test_vectors_that_are_none() -> None:
    with pytest.raises(UserError, match="vector 1 has a value that is not a number"):
        encode(np.array([[0.5], [np.nan]]), largest=1.0)
    with pytest.raises(UserError, match="vector 0"):
        encode(np.array([[1.5]]), largest=1.0)
    with pytest.raises(UserError, match="no rows to choose from"):
        k_center(np.empty((0, 3), np.int16), np.empty((0, 3), np.int16), Budget(rows=1))
