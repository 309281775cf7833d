"""Rows of Super-NaturalInstructions for the benchmarks that learn from real labels."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pyarrow.parquet

from metier.core.records import Example


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
