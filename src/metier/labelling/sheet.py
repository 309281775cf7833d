"""A file of rows and the answers that people gave: JSONL, CSV or TSV, so that it can be filled in by hand as well.

Its columns are input, output (empty while there is no answer) and part, which says what a row was drawn for; further
columns that someone added stay.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock

from metier.core import storage
from metier.core.errors import UserError
from metier.data.files import read_rows
from metier.data.likeness import folded
from metier.labelling.draw import Question

FORMATS = (".jsonl", ".csv", ".tsv")
_INPUT, _OUTPUT, _PART = "input", "output", "part"


class Sheet:
    """The rows of one file, by their inputs; every answer is on file as soon as it is given.

    Args:
        path: The file; it need not exist.
        labels: The possible answers; None: any text.

    Raises:
        UserError: The file has another format or other columns, or an answer that is none of the labels.
    """

    def __init__(self, path: Path, labels: Sequence[str] | None) -> None:
        if path.suffix not in FORMATS:
            raise UserError(f"{path}: rows cannot be kept in this format", hint=f"use one of: {', '.join(FORMATS)}")
        self.path = path
        self._rows: dict[str, dict[str, object]] = {}
        if path.exists():
            for place, row in read_rows(path, "train"):
                self._rows[folded(_input(row.get(_INPUT), place))] = {
                    **row,
                    _OUTPUT: _answer(row.get(_OUTPUT), labels, place),
                }

    @property
    def answered(self) -> list[tuple[Question, str]]:
        """The rows that have an answer, with it, in order."""
        return [
            (Question(str(row[_INPUT]), str(row.get(_PART) or "")), str(row[_OUTPUT]))
            for row in self._rows.values()
            if row[_OUTPUT]
        ]

    def answer(self, text: str) -> str | None:
        """Return the answer to an input; None where there is none."""
        row = self._rows.get(folded(text))
        return str(row[_OUTPUT]) if row is not None and row[_OUTPUT] else None

    def put(self, question: Question, answer: str) -> None:
        """Put an answer on file; an earlier one to the same input is replaced."""
        self._set(question, answer)
        self._write()

    def add(self, questions: Sequence[Question], answers: Sequence[str | None]) -> None:
        """Put rows on file to be filled in, with the answers that are known; an answer that is there stays."""
        for question, answer in zip(questions, answers, strict=True):
            self._set(question, self.answer(question.input) or answer or "")
        self._write()

    def _set(self, question: Question, answer: str) -> None:
        key = folded(question.input)
        row = self._rows.get(key, {_INPUT: question.input})
        self._rows[key] = {**row, _OUTPUT: answer, _PART: row.get(_PART) or question.part}

    def _write(self) -> None:
        rows = list(self._rows.values())
        if self.path.suffix == ".jsonl":
            storage.write_lines(self.path, rows)
            return
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO(newline="")
        comma = "," if self.path.suffix == ".csv" else "\t"
        # Unless all is quoted, a carriage return in a text is not, and then the row cannot be read.
        writer = csv.writer(text, delimiter=comma, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(names)
        writer.writerows([[_cell(row.get(name)) for name in names] for row in rows])
        storage.write_text(self.path, text.getvalue())


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a file of answers, so that no other process changes it meanwhile.

    Raises:
        UserError: Another process holds it, or the folder may not be written to.
    """
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    with storage.explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise UserError(
                f"{path}: another process asks for these answers", hint="wait for it, or stop it"
            ) from error
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _input(value: object, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{place}: no input", hint="a file of answers has the columns input, output and part")
    return value


def _answer(value: object, labels: Sequence[str] | None, place: str) -> str:
    """Return a cell as an answer: empty where there is none."""
    text = json.dumps(value) if isinstance(value, int | float) else value if value is not None else ""
    if not isinstance(text, str):
        raise UserError(f"{place}: output is not text")
    text = text.strip()
    if text and labels is not None and text not in labels:
        raise UserError(f"{place}: output: {text!r} is not one of the labels [{', '.join(labels)}]")
    return text


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
