"""Answers a file of rows with a product: in order, in bounded memory, resumed where it was stopped.

Rows are answered in blocks with fixed borders over those that can be asked, so that answers do not depend on where it
was stopped. What has been answered is kept by `answer_file.py`, and brought into its format by `answer_format.py`.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path

from metier.core import storage
from metier.core.codec import encode
from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.data.files import Row, read_rows_or_problems
from metier.runs.answer_file import ADDED, AnswerFile, Asked, NotAsked
from metier.runs.answer_format import FORMATS, finish
from metier.systems.base import ROWS
from metier.systems.product import OpenProduct

_COLUMNS = ("input", "prompt", "text", "question")
_READ = (".jsonl", ".jsonl.gz", ".csv", ".tsv", ".parquet")
_TABLES = (".csv", ".tsv", ".parquet")  # every row has the same columns


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
    _check(rows, out)
    file = AnswerFile(out, _what(opened, rows, column))
    with file, reporter.track("rows", None, "rows") as update:
        waiting: list[Asked] = []
        for row in itertools.islice(read_rows_or_problems(rows), file.read, None):
            one = _asked(row, rows, column, strict)
            if isinstance(one, NotAsked):
                file.reject(one)
                continue
            waiting.append(one)
            if len(waiting) == ROWS:
                file.write(waiting, opened.answer([asked.text for asked in waiting]))
                waiting = []
                update(file.read, 0)
        file.write(waiting, opened.answer([asked.text for asked in waiting]))
        found = file.progress
        if not found.read:
            file.remove()
            raise UserError(f"{rows}: there are no rows in it")
        file.close()
        with storage.explained(out):
            finish(file, rows, out)
        file.done()
    return Predicted(found.rows, found.abstained, found.bad)


def why_not_asked(text: str, name: str) -> str | None:
    """Return why a text cannot be asked; None: it can be.

    Args:
        text: The text.
        name: What the message calls it.
    """
    if not text or text.isspace():
        return f"{name} is empty"
    if "\0" in text:
        return f"{name} holds a zero byte"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return f"{name} holds half of a surrogate pair, which is not Unicode text"
    return None


def _check(rows: Path, out: Path) -> None:
    if out.suffix not in FORMATS:
        raise UserError(f"{out}: unknown format", hint=f"use one of: {', '.join(FORMATS)}")
    if not rows.exists():
        raise UserError(f"{rows}: no such file")
    if rows.is_dir() or not rows.name.endswith(_READ):
        raise UserError(f"{rows}: not a file of rows that can be answered", hint=f"use one of: {', '.join(_READ)}")
    if out.resolve() == rows.resolve():
        raise UserError(f"{out}: the answers would replace the rows", hint="give another file with -o")


def _what(opened: OpenProduct, rows: Path, column: str | None) -> str:
    """Return what identifies the work, so that another file or product begins anew."""
    state = rows.stat()
    return storage.digest([encode(opened.product), str(rows.resolve()), state.st_size, state.st_mtime_ns, column])


def _asked(row: Row | tuple[str, str], rows: Path, column: str | None, strict: bool) -> Asked | NotAsked:
    """Return what a row asks, or why it cannot be asked.

    Raises:
        UserError: It cannot, and strict says to stop; or no row of a table can, as they all have the same columns.
    """
    place, given = row
    if isinstance(given, str):
        problem: str | None = given.removeprefix(f"{place}: ")
    else:
        name = column or next((known for known in _COLUMNS if known in given), None)
        problem = _wrong_columns(given, name, column)
        if problem is not None and rows.suffix in _TABLES:
            hint = "name the column of the inputs with --column" if name is None else "rename the column"
            raise UserError(f"{rows}: {problem}", hint=hint)
        if problem is None and name is not None:
            text, problem = _text(given[name], name)
            if problem is None:
                return Asked(given, text)
    if strict:
        raise UserError(f"{place}: {problem}", hint="fix the row, or leave out --strict")
    return NotAsked(place.removeprefix(f"{rows.parent}/"), problem or "")


def _wrong_columns(row: Mapping[str, object], name: str | None, column: str | None) -> str | None:
    if name is None or name not in row:
        wanted = f"no column {column!r}" if column else "no column named input, prompt, text or question"
        return f"{wanted} (columns: {', '.join(map(str, row))})"
    for added in ADDED:
        if added in row:
            return f"there is a column {added!r} already, which the answer would replace"
    return None


def _text(value: object, name: str) -> tuple[str, str | None]:
    """Return a cell as the text that is asked, and what is wrong with it."""
    if isinstance(value, bool | int | float) and not (isinstance(value, float) and math.isnan(value)):
        value = json.dumps(value)
    if not isinstance(value, str):
        empty = value is None or isinstance(value, float)
        return "", f"{name} is empty" if empty else f"{name} is not text"
    return value, why_not_asked(value, name)
