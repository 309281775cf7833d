"""Tasks and rows of Super-NaturalInstructions, as the SELF-GUIDE authors give them, for the benchmarks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from pathlib import Path

import pyarrow.parquet

from metier.core.records import Example

# Tasks whose labels the authors' file leaves out.
_LABELS = {"task190": ("E", "C", "N"), "task329": ("A", "B", "Neither"), "task346": ("True", "False")}


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What the authors tell a model of a task; ``labels`` is None where answers are free text."""

    instruction: str
    labels: tuple[str, ...] | None
    examples: tuple[Example, ...]


def told_of(data: Path, task: str, examples: int) -> Told:
    """Return what is told of a task, with so many of its examples at most.

    Args:
        data: The folder with ``superni/``.
        task: The task's name.
        examples: How many examples.
    """
    lines = (data / "superni/tasks.jsonl").read_text(encoding="utf-8").splitlines()
    told = next(t for t in map(json.loads, lines) if t["task"] == task)
    labels = tuple(label.strip() for label in told["labels"]) or _LABELS.get(task)
    shown = tuple(Example(e["input"], e["output"].strip()) for e in told["examples"][:examples])
    return Told(told["instruction"], labels, shown)


def test_split(data: Path, task: str) -> list[Example]:
    """Return a task's test rows, in the file's order: sorted by label."""
    table = pyarrow.parquet.read_table(
        data / "superni/selfguide_test.parquet", filters=[("task", "=", task)], columns=["input", "output"]
    )
    return [Example(row["input"], row["output"].strip()) for row in table.to_pylist()]


def rows_outside(data: Path, task: str, tested: Collection[str]) -> list[Example]:
    """Return a task's instances that are in no test split, each with the first of its answers, in the file's order.

    Args:
        data: The folder with ``superni/``.
        task: The task's name.
        tested: Inputs of the test split, without spaces at their ends.
    """
    table = pyarrow.parquet.read_table(
        data / "superni/instances.parquet", filters=[("task", "=", task)], columns=["input", "outputs"]
    )
    rows = [Example(row["input"], row["outputs"][0].strip()) for row in table.to_pylist()]
    return [row for row in rows if row.input.strip() not in tested]
