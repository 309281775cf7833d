"""Scores any system's outputs from files: one text per line, or a column of a table. Knows nothing about tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from metier.core.errors import UserError
from metier.core.records import Interval
from metier.data.files import read_lines, read_rows
from metier.evaluation.metrics import get_metric
from metier.evaluation.scored import Texts
from metier.evaluation.statistics import interval_of_score

_TABLES = (".jsonl", ".jsonl.gz", ".json", ".csv", ".tsv", ".parquet")
_COLUMNS = {
    "source": ("source", "input", "text"),
    "prediction": ("prediction", "output", "text"),
    "reference": ("references", "reference", "output", "target"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class FileScore:
    """The score of one file of outputs by one metric.

    Attributes:
        metric: Its name.
        score: The corpus score.
        interval: The score with its 95% bootstrap interval over rows; None for a single row.
        rows: How many rows were scored.
        signature: The settings and versions it was computed with.
        by_row: Each row's own score.
    """

    metric: str
    score: float
    interval: Interval | None
    rows: int
    signature: str
    by_row: tuple[float, ...]


def score_files(
    metrics: Sequence[str],
    prediction: str,
    references: Sequence[str],
    *,
    source: str | None = None,
    labels: tuple[str, ...] | None = None,
) -> list[FileScore]:
    """Score outputs against references.

    Args:
        metrics: Names of metrics.
        prediction: A file with one text per line, or a table (JSON Lines, JSON, CSV, TSV, Parquet), with ``:COLUMN``
            after its name unless the column is called prediction, output or text.
        references: Such files, one for each reference; a table's column may hold lists.
        source: The inputs, for metrics that need them.
        labels: The possible outputs, for metrics that need them.

    Raises:
        UserError: A file does not exist or cannot be read, the counts differ, or a metric lacks what it needs.
    """
    found = [get_metric(name) for name in metrics]
    for metric in found:
        if metric.needs == "sources" and source is None:
            raise UserError(f"{metric.name} also needs the inputs", hint="give their file with --source")
        if metric.needs == "labels" and not labels:
            raise UserError(f"{metric.name} needs the labels", hint="give each with --label")
    outputs = [only for (only,) in _column(prediction, "prediction", several=False)]
    columns = [_column(name, "reference", several=True) for name in references]
    inputs = [only for (only,) in _column(source, "source", several=False)] if source is not None else None
    for name, length in [*((n, len(c)) for n, c in zip(references, columns, strict=True)), (source, len(inputs or []))]:
        if name is not None and length != len(outputs):
            raise UserError(f"{prediction} has {len(outputs)} rows, {name} has {length}")
    if not outputs:
        raise UserError(f"{prediction}: the file is empty")
    wanted = [tuple(text for part in row for text in part) for row in zip(*columns, strict=True)]
    texts = Texts(outputs, wanted, inputs, labels)
    most = max(len(row) for row in texts.references)
    out = []
    for metric in found:
        scored = metric.score(texts)
        rows = tuple(float(score) for score in scored.rows)
        out.append(
            FileScore(metric.name, scored.corpus, interval_of_score(scored), len(rows), metric.signature(most), rows)
        )
    return out


def _column(name: str, role: str, *, several: bool) -> list[tuple[str, ...]]:
    """Return a file's texts, one tuple per row (of one text, unless several are allowed)."""
    path, _, column = name.rpartition(":") if _is_table(name.rpartition(":")[0]) else (name, "", "")
    if not _is_table(path):
        return [(line,) for line in read_lines(Path(path))]
    out = []
    for where, row in read_rows(Path(path), "test"):
        chosen = column or next((c for c in _COLUMNS[role] if c in row), "")
        if chosen not in row:
            wanted = repr(column) if column else " or ".join(_COLUMNS[role])
            raise UserError(f"{where}: no column {wanted}", hint=f"name the column: {path}:COLUMN")
        out.append(_texts(row[chosen], f"{where}: {chosen}", several=several))
    return out


def _is_table(path: str) -> bool:
    return path.endswith(_TABLES)


def _texts(value: object, where: str, *, several: bool) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if several and isinstance(value, list) and value and all(isinstance(text, str) for text in value):
        return tuple(value)
    what = "is missing" if value is None or value != value else "is not text"
    raise UserError(f"{where} {what}", hint="every row needs " + ("at least one reference" if several else "one"))
