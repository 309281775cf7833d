"""How much a run may give up for a cheaper System: the rule of what ships, simulated on what real Systems answered.

Run it with: python benchmarks/tolerance.py RUN…

Takes finished runs' folders. Of each, the test rows stand for all rows there are: so many rows are drawn from them with
replacement, the rule (``evaluation/choice.py``) chooses on those, and what it chose is scored on all rows beside the
System that is truly best there. For each tolerance and number of rows: the mean loss to the best System in points, the
share of choices that lose more than 3 points, and the median milliseconds of a row as a share of the best System's.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import metier
from metier.core import storage
from metier.core.codec import encode
from metier.evaluation.choice import Choosable, choose
from metier.evaluation.measure import score_main
from metier.evaluation.scored import Scored
from metier.runs.load import load_facts, load_run
from metier.runs.machine import machine
from metier.systems.registry import SYSTEMS

TOLERANCES = (0.0, 1.0, 2.0, 3.0, 5.0)
ROWS = (100, 200)
_TOO_MUCH = 3.0


def main(argv: Sequence[str] | None = None) -> None:
    """Simulate the rule on every run and write the results."""
    arguments = _arguments(argv)
    every = {folder.name: choosable(folder) for folder in arguments.runs}
    cells = []
    for tolerance in TOLERANCES:
        for rows in ROWS:
            print(f"tolerance {tolerance:g}, {rows} rows", file=sys.stderr, flush=True)
            found = [
                outcome
                for systems in every.values()
                for outcome in simulated(systems, tolerance, rows, arguments.draws, arguments.seed)
            ]
            losses = np.array([loss for loss, _ in found])
            cells.append(
                {
                    "tolerance": tolerance,
                    "rows": rows,
                    "mean_loss": round(float(losses.mean()), 2),
                    "share_over_3_points": round(float((losses > _TOO_MUCH).mean()), 3),
                    "median_latency_of_the_bests": round(float(np.median([share for _, share in found])), 3),
                }
            )
    told = {
        "metier_version": metier.__version__,
        "machine": encode(machine()),
        "runs": {name: len(systems) for name, systems in every.items()},
        "draws": arguments.draws,
        "cells": cells,
    }
    storage.write_json(arguments.results, told)
    print(json.dumps({"results": str(arguments.results), "cells": len(cells)}))


def choosable(folder: Path) -> list[Choosable]:
    """Return a finished run's Systems that may ship, scored on its test rows."""
    facts, task = load_facts(folder), load_run(folder).task
    took = {row.system: row for row in facts.judged.need.rows} if facts.judged else {}
    return [
        Choosable(s.system, score_main(task.measure, task.rows, s.texts), took[s.system].p50, took[s.system].size_bytes)
        for s in task.systems
        if SYSTEMS[s.system].ships
    ]


def simulated(
    systems: Sequence[Choosable], tolerance: float, rows: int, draws: int, seed: int
) -> list[tuple[float, float]]:
    """Return for each draw of rows what the chosen System truly loses, and its latency as a share of the best's."""
    by_key = {system.system: system for system in systems}
    best = max(systems, key=lambda system: system.score.corpus)
    rng = np.random.default_rng([seed, rows])
    found: list[tuple[float, float]] = []
    for _ in range(draws):
        drawn = rng.integers(0, len(best.score.stats), rows)
        seen = [Choosable(s.system, _on(s.score, drawn), s.seconds, s.nbytes) for s in systems]
        chosen = by_key[choose(seen, tolerance=tolerance, seed=seed).system]
        share = (chosen.seconds or 0.0) / best.seconds if best.seconds else 1.0
        found.append((best.score.corpus - chosen.score.corpus, share))
    return found


def _on(score: Scored, drawn: Any) -> Scored:
    stats = score.stats[drawn]
    return Scored(score.rows[drawn], stats, score.combine, float(score.combine(stats.sum(axis=0))))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    parser.add_argument("--draws", type=int, default=20, help="draws of rows from each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/tolerance.json"))
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
