"""Brings answers, kept as JSON Lines, into the format that is asked for, in bounded memory."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metier.core import storage
from metier.runs.answer_file import ADDED, AnswerFile, Column

FORMATS = (".jsonl", ".csv", ".tsv", ".parquet")
_TOGETHER = 65_536  # rows written to Parquet at once


def finish(file: AnswerFile, rows: Path, out: Path) -> None:
    """Write the answers in the format that ``out`` ends with, completely or not at all.

    Args:
        file: What has been answered.
        rows: What the answers are to. Of a Parquet file the columns are taken as they are, so that their types stay.
        out: Where to.
    """
    if out.suffix == ".jsonl":
        storage.replace_file(file.partial, out)
        return
    final = out.with_name(f".{out.name}.new")
    columns = [column for column in file.columns if column.name not in ADDED]
    if out.suffix != ".parquet":
        _to_table(file.partial, final, [column.name for column in columns], "," if out.suffix == ".csv" else "\t")
    elif rows.suffix == ".parquet":
        _beside(rows, file, final)
    else:
        _to_parquet(file.partial, final, columns)
    storage.replace_file(final, out)


def _rows(partial: Path) -> Iterator[dict[str, Any]]:
    with partial.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            row: dict[str, Any] = json.loads(line)
            yield row


def _to_table(partial: Path, final: Path, names: Sequence[str], separator: str) -> None:
    # Half of a surrogate pair, which JSON can spell, is written as its escape: UTF-8 has no word for it.
    with final.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, delimiter=separator, lineterminator="\n")
        # A carriage return ends a row for readers, and the csv module quotes only those of its own line end.
        quoting = csv.writer(file, delimiter=separator, lineterminator="\n", quoting=csv.QUOTE_ALL)
        every = [*names, *ADDED]
        writer.writerow(every)
        for row in _rows(partial):
            cells = [_cell(row.get(name)) for name in every]
            returns = any(isinstance(cell, str) and "\r" in cell for cell in cells)
            (quoting if returns else writer).writerow(cells)


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _to_parquet(partial: Path, final: Path, columns: Sequence[Column]) -> None:
    """Write rows as Parquet; a column with values of several kinds becomes text, a nested one JSON."""
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([*((column.name, _type_of(column)) for column in columns), *_added()])
    with pyarrow.parquet.ParquetWriter(final, schema, compression="zstd") as writer:
        rows = _rows(partial)
        while batch := list(itertools.islice(rows, _TOGETHER)):
            arrays = [
                pyarrow.array(_as_text(batch, f.name) if f.type == pyarrow.string() else _column(batch, f.name), f.type)
                for f in schema
            ]
            writer.write_batch(pyarrow.RecordBatch.from_arrays(arrays, schema=schema))


def _beside(rows: Path, file: AnswerFile, final: Path) -> None:
    """Write the answers beside the columns of the Parquet file that they are to, without the rows not asked."""
    import pyarrow
    import pyarrow.parquet

    answers, bad = _rows(file.partial), (int(row["place"].rpartition(" ")[2]) for row in _rows(file.errors))
    next_bad, numbers = next(bad, None), itertools.count(1)
    with pyarrow.parquet.ParquetFile(rows) as source:
        schema = source.schema_arrow
        for name, kind in _added():
            schema = schema.append(pyarrow.field(name, kind))
        with pyarrow.parquet.ParquetWriter(final, schema, compression="zstd") as writer:
            for batch in source.iter_batches(batch_size=_TOGETHER):
                asked = []
                for number in itertools.islice(numbers, batch.num_rows):
                    asked.append(number != next_bad)
                    if number == next_bad:
                        next_bad = next(bad, None)
                own = batch.filter(pyarrow.array(asked, pyarrow.bool_()))
                made = list(itertools.islice(answers, own.num_rows))
                added = [pyarrow.array(_column(made, name), kind) for name, kind in _added()]
                writer.write_batch(pyarrow.RecordBatch.from_arrays([*own.columns, *added], schema=schema))


def _added() -> list[tuple[str, Any]]:
    import pyarrow

    return list(zip(ADDED, (pyarrow.string(), pyarrow.float64(), pyarrow.bool_()), strict=True))


def _type_of(column: Column) -> Any:
    import pyarrow

    known = {
        ("bool",): pyarrow.bool_(),
        ("int",): pyarrow.int64(),
        ("float",): pyarrow.float64(),
        ("float", "int"): pyarrow.float64(),
    }
    return known.get(column.kinds, pyarrow.string())


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [row.get(name) for row in rows]


def _as_text(rows: Sequence[Mapping[str, Any]], name: str) -> list[str | None]:
    found = [row.get(name) for row in rows]
    texts = [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in found]
    return [v if v is None or v.isascii() else v.encode("utf-8", "backslashreplace").decode() for v in texts]
