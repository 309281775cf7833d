"""Answers a file of rows with a product, block by block: in order, in bounded memory, resumed where it was stopped.

What is done is appended to ``OUT.partial`` (JSON Lines) and counted in ``OUT.progress.json`` after each block. A run
that is started again takes both up, cuts off what was written after the last count, and resumes with the next row, so
that the result is equal to the byte. Blocks have fixed borders over the good rows, so answers do not depend on where it
stopped.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from metier.core import storage
from metier.core.codec import CodecError, decode, encode
from metier.core.errors import MetierError, UserError
from metier.core.progress import Reporter
from metier.data.files import read_rows_or_problems
from metier.systems.base import ROWS
from metier.systems.product import Answer, OpenProduct

FORMATS = (".jsonl", ".csv", ".tsv", ".parquet")
_COLUMNS = ("input", "prompt", "text", "question")
_ADDED = ("prediction", "probability", "abstained")
_NAMES = 4096  # rows that the columns of a table are taken from, when it is written


@dataclasses.dataclass(frozen=True, slots=True)
class Predicted:
    """What came of a file.

    Attributes:
        rows: Rows that were answered.
        abstained: Rows of them that the product would not answer.
        bad: Rows that could not be asked; they are in ``OUT.errors.jsonl``.
    """

    rows: int
    abstained: int
    bad: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Progress:
    """How far a file has been answered.

    Attributes:
        of: What is answered, by what.
        read: Rows read, bad ones too.
        rows: Rows answered.
        abstained: Of them.
        bad: Rows that could not be asked.
        answered_bytes: Of ``OUT.partial``.
        error_bytes: Of ``OUT.errors.jsonl``.
    """

    of: str
    read: int = 0
    rows: int = 0
    abstained: int = 0
    bad: int = 0
    answered_bytes: int = 0
    error_bytes: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Good:
    """A row that can be asked: its columns and its input."""

    columns: Mapping[str, object]
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Bad:
    """A row that cannot: where it is, and why."""

    place: str
    problem: str


def predict(
    opened: OpenProduct, rows: Path, out: Path, reporter: Reporter, *, column: str | None = None, strict: bool = False
) -> Predicted:
    """Answer a file's rows and write them with ``prediction``, ``probability`` and ``abstained`` added.

    Args:
        opened: The product.
        rows: JSONL, CSV, TSV or Parquet.
        out: The same formats; by its ending.
        reporter: Where progress goes.
        column: The column of the inputs; None: input, prompt, text or question, the first that is there.
        strict: Stop at the first row that cannot be asked.

    Raises:
        UserError: A file cannot be read or written, holds no rows, or (strict) a row cannot be asked.
    """
    if out.suffix not in FORMATS:
        raise UserError(f"{out}: unknown format", hint=f"use one of: {', '.join(FORMATS)}")
    if out.resolve() == rows.resolve():
        raise UserError(f"{out}: the answers would replace the rows", hint="give another file with -o")
    files = _Files(out, _Progress(_what(opened, rows, column)))
    with files, reporter.track("rows", None, "rows") as update:
        source = itertools.islice(read_rows_or_problems(rows), files.progress.read, None)
        for block in _blocks(source, column, strict):
            good = [one for one in block if isinstance(one, _Good)]
            answers = opened.answer([one.text for one in good])
            files.write(block, answers)
            update(files.progress.read, 0)
    found = files.progress
    if not found.read:
        raise UserError(f"{rows}: there are no rows in it")
    _finish(files.partial, out)
    files.done()
    return Predicted(found.rows, found.abstained, found.bad)


def _what(opened: OpenProduct, rows: Path, column: str | None) -> str:
    """Return what identifies the work, so that another file or product begins anew."""
    if not rows.exists():
        raise UserError(f"{rows}: no such file")
    state = rows.stat()
    return storage.digest([encode(opened.product), str(rows.resolve()), state.st_size, state.st_mtime_ns, column])


class _Files:
    """The files that answers are put on as they come."""

    def __init__(self, out: Path, begin: _Progress) -> None:
        self.partial = out.with_name(f"{out.name}.partial")
        self.errors = out.with_name(f"{out.name}.errors.jsonl")
        self._mark = out.with_name(f"{out.name}.progress.json")
        self.progress = self._earlier(begin)
        self._open: list[BinaryIO] = []

    def __enter__(self) -> None:
        with storage.explained(self.partial):
            self.partial.parent.mkdir(parents=True, exist_ok=True)
            sizes = (self.progress.answered_bytes, self.progress.error_bytes)
            for path, size in zip((self.partial, self.errors), sizes, strict=True):
                file = path.open("r+b" if path.exists() and size else "w+b")
                file.truncate(size)
                file.seek(size)
                self._open.append(file)

    def __exit__(self, *error: object) -> None:
        for file in self._open:
            file.close()

    def write(self, block: Sequence[_Good | _Bad], answers: Sequence[Answer]) -> None:
        """Put a block on file, and then that it is."""
        turn = iter(answers)
        good: list[dict[str, object]] = []
        bad: list[dict[str, object]] = []
        for one in block:
            if isinstance(one, _Bad):
                bad.append({"place": one.place, "problem": one.problem})
            else:
                good.append({**_plain(one.columns), **_added(next(turn))})
        with storage.explained(self.partial):
            sizes = [_append(file, rows) for file, rows in zip(self._open, (good, bad), strict=True)]
        self.progress = dataclasses.replace(
            self.progress,
            read=self.progress.read + len(block),
            rows=self.progress.rows + len(good),
            abstained=self.progress.abstained + sum(bool(row["abstained"]) for row in good),
            bad=self.progress.bad + len(bad),
            answered_bytes=sizes[0],
            error_bytes=sizes[1],
        )
        storage.write_json(self._mark, encode(self.progress))

    def done(self) -> None:
        """Remove what is needed no more."""
        self.partial.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)
        if not self.progress.bad:
            self.errors.unlink(missing_ok=True)

    def _earlier(self, begin: _Progress) -> _Progress:
        if not self._mark.exists() or not self.partial.exists():
            return begin
        try:
            found = decode(_Progress, storage.read_json(self._mark))
        except (CodecError, MetierError):
            return begin
        whole = self.partial.stat().st_size >= found.answered_bytes
        return found if found.of == begin.of and whole else begin


def _append(file: BinaryIO, rows: Iterable[Mapping[str, object]]) -> int:
    file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "surrogatepass"))
    file.flush()
    return file.tell()


def _blocks(
    source: Iterator[tuple[str, Mapping[str, object]] | tuple[str, str]], column: str | None, strict: bool
) -> Iterator[list[_Good | _Bad]]:
    """Yield rows in blocks with as many good ones as are answered together."""
    block: list[_Good | _Bad] = []
    good = 0
    for place, row in source:
        one = _Bad(place, row.removeprefix(f"{place}: ")) if isinstance(row, str) else _asked(place, row, column)
        if strict and isinstance(one, _Bad):
            raise UserError(f"{place}: {one.problem}", hint="fix the row, or leave out --strict")
        block.append(one)
        good += isinstance(one, _Good)
        if good == ROWS:
            yield block
            block, good = [], 0
    if block:
        yield block


def _asked(place: str, row: Mapping[str, object], column: str | None) -> _Good | _Bad:
    name = column or next((known for known in _COLUMNS if known in row), None)
    if name is None or name not in row:
        wanted = f"no column {column!r}" if column else "no column named input, prompt, text or question"
        return _Bad(place, f"{wanted} (columns: {', '.join(map(str, row))})")
    value = row[name]
    if isinstance(value, bool | int | float) and not (isinstance(value, float) and math.isnan(value)):
        value = json.dumps(value)
    if not isinstance(value, str) or not value.strip():
        return _Bad(place, f"{name} is empty" if not value or isinstance(value, str) else f"{name} is not text")
    if "\0" in value:
        return _Bad(place, f"{name} holds a zero byte")
    return _Good(row, value)


def _added(answer: Answer) -> dict[str, object]:
    return {"prediction": answer.text, "probability": answer.probability, "abstained": answer.abstained}


def _plain(columns: Mapping[str, object]) -> dict[str, object]:
    """Return a row's columns as JSON has them: what JSON cannot hold becomes its text."""
    return {name: value if _is_json(value) else str(value) for name, value in columns.items()}


def _is_json(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and _is_json(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))


def _finish(partial: Path, out: Path) -> None:
    """Bring the answers into the format that is asked for, and give them their name."""
    if out.suffix == ".jsonl":
        with storage.explained(out):
            partial.replace(out)
        return
    final = out.with_name(f".{out.name}.new")
    with storage.explained(out):
        if out.suffix == ".parquet":
            _to_parquet(partial, final)
        else:
            _to_table(partial, final, "," if out.suffix == ".csv" else "\t")
        final.replace(out)


def _rows(partial: Path) -> Iterator[dict[str, object]]:
    with partial.open(encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        for line in file:
            row: dict[str, object] = json.loads(line)
            yield row


def _to_table(partial: Path, final: Path, separator: str) -> None:
    names = list(dict.fromkeys(name for row in itertools.islice(_rows(partial), _NAMES) for name in row))
    names = [*(n for n in names if n not in _ADDED), *_ADDED]
    with final.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, names, delimiter=separator, extrasaction="ignore", restval="", lineterminator="\n"
        )
        writer.writeheader()
        for row in _rows(partial):
            writer.writerow({name: _cell(value) for name, value in row.items()})


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _to_parquet(partial: Path, final: Path) -> None:
    import pyarrow
    import pyarrow.json
    import pyarrow.parquet

    # Types are found over the whole file, in blocks: memory stays bounded.
    schema = None
    with pyarrow.json.open_json(partial) as reader:
        for batch in reader:
            schema = batch.schema if schema is None else pyarrow.unify_schemas([schema, batch.schema])
    if schema is None:
        raise MetierError(f"{partial}: there are no rows in it")
    with pyarrow.parquet.ParquetWriter(final, schema, compression="zstd") as writer:
        options = pyarrow.json.ParseOptions(explicit_schema=schema)
        with pyarrow.json.open_json(partial, parse_options=options) as reader:
            for batch in reader:
                writer.write_batch(batch.cast(schema))
