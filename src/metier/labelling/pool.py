"""The rows that a person may be asked about: a file's inputs, each once, without those whose answers are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from metier.core.errors import UserError
from metier.data.likeness import folded
from metier.data.pairs import read_inputs


@dataclasses.dataclass(frozen=True, slots=True)
class Pool:
    """Inputs that a person may be asked about.

    Attributes:
        inputs: No two of them are equal but for case and spaces.
        known: How many rows were left out as their answers are known.
        repeated: How many rows were left out as they repeat an earlier one.
    """

    inputs: tuple[str, ...]
    known: int
    repeated: int


def pool_sentences(pool: Pool) -> list[str]:
    """Return what was left out of a file; nothing where nothing was."""
    left_out = [
        *([f"{pool.known:,} whose answers are known"] if pool.known else []),
        *([f"{pool.repeated:,} that repeat another"] if pool.repeated else []),
    ]
    there = f"Rows to ask about: {len(pool.inputs):,}"
    return [f"{there}, without {' and '.join(left_out)}."] if left_out else []


def read_pool(rows: Path, known: Iterable[str]) -> Pool:
    """Return the inputs of a file that are not known.

    Args:
        rows: JSONL, CSV, TSV, Parquet …, with a column input, prompt, text or question.
        known: Inputs that are not asked about.

    Raises:
        UserError: The file cannot be read, or nothing is left of it.
    """
    seen = {folded(text) for text in known}
    before = len(seen)
    every = read_inputs(rows)
    left_out = sum(folded(text) in seen for text in every)
    kept = []
    for text in every:
        if (plain := folded(text)) not in seen:
            seen.add(plain)
            kept.append(text)
    if not kept:
        told = f"all {left_out} are known already" if left_out and before else "there are no rows in it"
        raise UserError(f"{rows}: nothing to ask about ({told})", hint="name a file of new rows")
    return Pool(tuple(kept), left_out, len(every) - left_out - len(kept))
