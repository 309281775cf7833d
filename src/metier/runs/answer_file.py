"""The file that answers are put on as they come, and how far it has come: so a stopped one is resumed to the byte.

Answers are appended to ``OUT.partial`` and rows that could not be asked to ``OUT.errors.jsonl`` (both JSON Lines); what
is whole in them is counted in ``OUT.progress.json``. A process that takes the work up again cuts off what was written
after the last count and resumes with the next row.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from metier.core import storage
from metier.core.codec import CodecError, decode, encode
from metier.core.errors import MetierError, UserError
from metier.core.lock import Held, Lock
from metier.systems.product import Answer

ADDED = ("prediction", "probability", "abstained")
Kind = Literal["bool", "int", "float", "text", "other"]
_COUNTED_EVERY = 1.0  # seconds: a count waits for the disk, and what is not counted is answered again
_KINDS: Mapping[type, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}
_TO_JSON = json.JSONEncoder(ensure_ascii=False).encode
_LARGEST = 2**63  # of the whole numbers that tables hold


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A row that can be asked: its columns and its input."""

    columns: Mapping[str, object]
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class NotAsked:
    """A row that cannot: where it is, and why."""

    place: str
    problem: str


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column of the rows, and what kinds of values it was seen to hold, beside none."""

    name: str
    kinds: tuple[Kind, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far a file has been answered.

    Attributes:
        of: What is answered, by what.
        read: Rows read, bad ones too.
        rows: Rows answered.
        abstained: Of them.
        bad: Rows that could not be asked.
        answered_bytes: Of ``OUT.partial``.
        error_bytes: Of ``OUT.errors.jsonl``.
        columns: Of the rows answered, in the order in which they were seen.
    """

    of: str
    read: int = 0
    rows: int = 0
    abstained: int = 0
    bad: int = 0
    answered_bytes: int = 0
    error_bytes: int = 0
    columns: tuple[Column, ...] = ()


class AnswerFile:
    """What has been answered of a file; use it as a context, in one process at a time.

    Args:
        out: The file that there will be in the end.
        of: What is answered, by what: what an earlier process left is taken up if it was the same.

    Attributes:
        partial: The answers.
        errors: The rows that could not be asked.
    """

    def __init__(self, out: Path, of: str) -> None:
        self.partial = out.with_name(f"{out.name}.partial")
        self.errors = out.with_name(f"{out.name}.errors.jsonl")
        self._mark = out.with_name(f"{out.name}.progress.json")
        self._lock = Lock(out.with_name(f".{out.name}.lock"))
        self._open: list[BinaryIO] = []
        self._counted = 0.0
        self._complete = False
        self._progress = Progress(of)
        self._read, self._bad = 0, 0
        self._seen: dict[str, set[Kind]] = {}

    def __enter__(self) -> None:
        with storage.explained(self.partial):
            self.partial.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except Held as error:
                raise UserError(f"{self.partial}: {error.who} is writing it", hint="wait for it") from error
            self._resume()
            sizes = (self._progress.answered_bytes, self._progress.error_bytes)
            for path, size in zip((self.partial, self.errors), sizes, strict=True):
                file = path.open("r+b" if path.exists() and size else "w+b")
                file.truncate(size)
                file.seek(size)
                self._open.append(file)

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        with contextlib.suppress(MetierError):  # what is wrong is on its way already
            self.close()
        if kind is not None and not self._progress.read:
            self.remove()
        self._lock.release()
        self._lock.remove()

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the rows answered, with those that were added."""
        return tuple(Column(name, tuple(sorted(kinds))) for name, kinds in self._seen.items())

    @property
    def read(self) -> int:
        """Rows read, bad ones too."""
        return self._read

    @property
    def progress(self) -> Progress:
        """How far it has come, as of the last block."""
        return self._progress

    def reject(self, row: NotAsked) -> None:
        """Put a row that cannot be asked on file."""
        self._complete = False
        self._read += 1
        self._bad += 1
        with storage.explained(self.errors):
            self._open[1].write(_lines([{"place": row.place, "problem": row.problem}]))

    def write(self, block: Sequence[Asked], answers: Sequence[Answer]) -> None:
        """Put a block's answers on file, and count it and the rows before it that could not be asked."""
        self._complete = False
        rows = [_row(one.columns, answer) for one, answer in zip(block, answers, strict=True)]
        self._see(rows)
        self._read += len(rows)
        with storage.explained(self.partial):
            self._open[0].write(_lines(rows))
            sizes = [file.tell() for file in self._open]
        self._progress = dataclasses.replace(
            self._progress,
            read=self._read,
            rows=self._progress.rows + len(rows),
            abstained=self._progress.abstained + sum(answer.abstained for answer in answers),
            bad=self._bad,
            answered_bytes=sizes[0],
            error_bytes=sizes[1],
        )
        self._complete = True
        if time.monotonic() - self._counted >= _COUNTED_EVERY:
            self._count()

    def close(self) -> None:
        """Count what is whole and close the files; what is in them stays."""
        try:
            if self._open and self._complete:
                self._count()
        finally:
            while self._open:
                self._open.pop().close()

    def remove(self) -> None:
        """Remove everything: nothing came of it."""
        self._complete = False
        self.close()
        for path in (self.partial, self._mark, self.errors):
            path.unlink(missing_ok=True)

    def done(self) -> None:
        """Remove what is not needed any more."""
        self.partial.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)
        if not self._progress.bad:
            self.errors.unlink(missing_ok=True)

    def _resume(self) -> None:
        """Take up what an earlier process left, if it is whole and of the same work."""
        if not self._mark.exists() or not self.partial.exists():
            return
        try:
            found = decode(Progress, storage.read_json(self._mark))
        except (CodecError, MetierError):
            return
        errors = self.errors.stat().st_size if self.errors.exists() else 0
        whole = self.partial.stat().st_size >= found.answered_bytes and errors >= found.error_bytes
        if found.of == self._progress.of and whole:
            self._progress = found
            self._read, self._bad = found.read, found.bad
            self._seen = {column.name: set(column.kinds) for column in found.columns}

    def _see(self, rows: Sequence[Mapping[str, object]]) -> None:
        seen = self._seen
        for row in rows:
            for name, value in row.items():
                if name not in seen:
                    seen[name] = set()
                if value is not None:
                    kind = _KINDS.get(type(value), "other")
                    large = kind == "int" and isinstance(value, int) and not -_LARGEST <= value < _LARGEST
                    seen[name].add("other" if large else kind)

    def _count(self) -> None:
        """Say how much is whole; what it counts is on the disk before it says so."""
        with storage.explained(self.partial):
            for file in self._open:
                file.flush()
                os.fsync(file.fileno())
        self._progress = dataclasses.replace(self._progress, columns=self.columns)
        storage.write_json(self._mark, encode(self._progress))
        self._counted = time.monotonic()


def _row(columns: Mapping[str, object], answer: Answer) -> dict[str, object]:
    row = {name: value if type(value) is str else _plain(value) for name, value in columns.items()}
    row["prediction"], row["probability"], row["abstained"] = answer.text, answer.probability, answer.abstained
    return row


def _plain(value: object) -> object:
    """Return a value as JSON has it: a number that is none becomes null, what JSON cannot hold becomes its text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def _lines(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Return rows as JSON Lines in UTF-8; one with half of a surrogate pair is written with escapes."""
    try:
        return "".join([_TO_JSON(row) + "\n" for row in rows]).encode()
    except UnicodeEncodeError:
        return "".join([json.dumps(row) + "\n" for row in rows]).encode()
