"""Which real inputs pass the filters that a few examples make: length in two ways, lines, and the names of parts.

Run it with: python benchmarks/input_form.py --data FOLDER

A filter of the form that inputs have is good where it drops what a model writes beside the task, and bad where real
inputs would not pass it. Of each of SELF-GUIDE's tuning tasks (never a held-out one) all instances are put through the
filters that its first examples make: mean ± 2σ of their lengths (SELF-GUIDE), half the shortest to twice the longest,
no more lines than the longest example, and the names before their parts. FOLDER must hold ``superni/``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet

import metier
from metier.core import storage
from metier.data.two_parts import names_in_all
from metier.synthesis import filters
from self_guide_means import GROUPS
from superni import told_of

TASKS = (*GROUPS["tuning, labels"], *GROUPS["tuning, free text"])


def main(argv: Sequence[str] | None = None) -> None:
    """Put every tuning task's instances through the filters and write the shares that pass."""
    arguments = _arguments(argv)
    told = {name: told_of(arguments.data, name, arguments.examples) for name in arguments.tasks}
    examples = {name: [example.input.strip() for example in one.examples] for name, one in told.items()}
    table = pyarrow.parquet.read_table(arguments.data / "superni/instances.parquet", columns=["task", "input"])
    real: dict[str, list[str]] = {}
    for row in table.to_pylist():
        if row["input"].strip():
            real.setdefault(row["task"], []).append(row["input"].strip())
    found: dict[str, Any] = {}
    for name in arguments.tasks:
        checks, inputs = checks_of(examples[name]), real[name]
        shares = {
            way: round(100 * sum(check(x) is None for x in inputs) / len(inputs), 1) for way, check in checks.items()
        }
        found[name] = {"examples": len(examples[name]), "instances": len(inputs), "pass": shares}
    storage.write_json(arguments.results, {"metier_version": metier.__version__, "tasks": found})
    print(json.dumps(found))


def checks_of(inputs: Sequence[str]) -> Mapping[str, filters.Filter]:
    """Return the filters that some examples' inputs make, by name."""
    found: dict[str, filters.Filter] = {}
    limits: tuple[tuple[str, Callable[[Sequence[str]], tuple[float, float] | None]], ...] = (
        ("mean ± 2σ", filters.published_length_limits),
        ("half to twice", filters.length_limits),
    )
    for way, of in limits:
        given = of(inputs)
        found[way] = (lambda text: None) if given is None else partial(filters.length, limits=given)
    most = max(text.count("\n") for text in inputs)
    found["lines"] = lambda text: "more lines" if text.count("\n") > most else None
    found["names of parts"] = partial(filters.form, names=names_in_all(inputs))
    return found


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with superni/")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--examples", type=int, default=6, help="demonstrations a task, at most")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/input_form.json"))
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
