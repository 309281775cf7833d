"""Greedy k-centre against its plain numpy form, in one run: time, the same points, memory.

Run it with: python benchmarks/kcenter.py [--points 100000] [--width 384] [--chosen 500] [--large 1000000]

The points are sentence-like: unit vectors around some hundred topics of very different sizes. The last line is a JSON
object with ``speedup`` (over the plain form, as it stands in the paper: the difference to every point, squared and
summed, in float32), ``speedup_over_products`` (over the same with the difference written out as a product with the
matrix, which is what a careful programmer would write), and ``same_points`` (against the plain form in float64 on the
same rounded vectors, where no rounding can hide a difference).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.core.run_folder import peak_memory
from metier.runs.machine import machine
from metier.selection.kcenter import Budget, Codes, encode, k_center

_TOPICS = 300
_PIECE = 50_000


def main(argv: Sequence[str] | None = None) -> None:
    """Run both, then the large pool from a file, and print what came out."""
    arguments = _arguments(argv)
    codes = write_points(None, arguments.points, arguments.width, seed=0)
    starts = write_points(None, 10, arguments.width, seed=1)
    begin = time.perf_counter()
    found = k_center(codes, starts, Budget(rows=arguments.chosen))
    ours = time.perf_counter() - begin
    print(
        f"in tiles: {ours:.2f} s, {found.distances / (arguments.points * (arguments.chosen + 10)):.1%} of the distances"
    )
    single, first = codes.astype(np.float32), starts.astype(np.float32)
    begin = time.perf_counter()
    products(single, first, arguments.chosen)
    by_products = time.perf_counter() - begin
    print(f"numpy by products, float32: {by_products:.2f} s")
    begin = time.perf_counter()
    plain(single, first, arguments.chosen)
    theirs = time.perf_counter() - begin
    print(f"plain numpy, float32: {theirs:.2f} s")
    exact = products(codes.astype(np.float64), starts.astype(np.float64), arguments.chosen)
    result: dict[str, Any] = {
        "points": arguments.points,
        "width": arguments.width,
        "chosen": arguments.chosen,
        "seconds": round(ours, 3),
        "plain_seconds": round(theirs, 3),
        "products_seconds": round(by_products, 3),
        "speedup": round(theirs / ours, 1),
        "speedup_over_products": round(by_products / ours, 1),
        "same_points": list(found.chosen) == exact,
        "share_of_distances": round(found.distances / (arguments.points * (arguments.chosen + 10)), 4),
    }
    if arguments.large:
        result |= large(arguments.large, arguments.width, arguments.chosen)
    print(json.dumps(result | {"machine": dataclasses.asdict(machine())}))


def plain(points: npt.NDArray[Any], starts: npt.NDArray[Any], chosen: int) -> list[int]:
    """Return the points that the algorithm takes as it stands in the paper: every distance, every round."""
    nearest = np.full(len(points), np.inf, points.dtype)
    for start in starts:
        nearest = np.minimum(nearest, ((points - start) ** 2).sum(axis=1))
    out: list[int] = []
    for _ in range(chosen):
        index = int(nearest.argmax())
        out.append(index)
        nearest = np.minimum(nearest, ((points - points[index]) ** 2).sum(axis=1))
    return out


def products(points: npt.NDArray[Any], starts: npt.NDArray[Any], chosen: int) -> list[int]:
    """Return the same, by |x|^2 - 2xy + |y|^2: one product of the matrix with a vector a round."""
    norms = np.einsum("ij,ij->i", points, points)
    nearest = np.full(len(points), np.inf, points.dtype)
    for start in starts:
        nearest = np.minimum(nearest, norms - 2 * (points @ start) + start @ start)
    out: list[int] = []
    for _ in range(chosen):
        index = int(nearest.argmax())
        out.append(index)
        nearest = np.minimum(nearest, norms - 2 * (points @ points[index]) + norms[index])
    return out


def large(points: int, width: int, chosen: int) -> dict[str, Any]:
    """Choose from a pool in a file, in a process of its own, and return its seconds and its peak memory."""
    import subprocess

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.npy"
        write_points(path, points, width, seed=2)
        code = f"from benchmarks.kcenter import from_file; from_file({str(path)!r}, {width}, {chosen})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    facts: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return facts


def from_file(path: str, width: int, chosen: int) -> None:
    """Choose from a memory-mapped pool and print what it took."""
    codes = np.load(path, mmap_mode="r")
    starts = write_points(None, 10, width, seed=1)
    begin = time.perf_counter()
    k_center(codes, starts, Budget(rows=chosen))
    seconds = time.perf_counter() - begin
    facts = {"large_points": len(codes), "large_seconds": round(seconds, 2), "large_peak_bytes": peak_memory()}
    print(json.dumps(facts))


def write_points(path: Path | None, points: int, width: int, *, seed: int) -> Codes:
    """Return unit vectors around topics, as codes; in a file, if a path is given."""
    rng = np.random.default_rng(7)
    topics = rng.normal(size=(_TOPICS, width))
    topics /= np.linalg.norm(topics, axis=1, keepdims=True)
    sizes = rng.pareto(1.2, _TOPICS) + 0.1
    rng = np.random.default_rng(seed)
    codes: Any = np.empty((points, width), np.int16)
    if path is not None:
        codes = np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=(points, width))
    for begin in range(0, points, _PIECE):
        rows = min(_PIECE, points - begin)
        of = rng.choice(_TOPICS, rows, p=sizes / sizes.sum())
        vectors = topics[of] + rng.normal(size=(rows, width)) * rng.uniform(0.01, 0.06, size=(rows, 1))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        encode(vectors, largest=1.0, out=codes[begin : begin + rows])
    made: Codes = codes
    return made


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--chosen", type=int, default=500)
    parser.add_argument("--large", type=int, default=1_000_000, help="points of the pool in a file; 0: none")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
