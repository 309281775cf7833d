"""Turns rows of data files into examples, recognising columns by name. Knows nothing about tasks or file formats.

A wrong row is reported with its line; nothing is fixed silently.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from metier.core.errors import UserError
from metier.core.records import Example
from metier.core.remote import local
from metier.data.files import read_rows

_LISTED = 5  # problems listed in one error
_CORRECTION = "correction"  # of an answer that a model gave, which stands beside it
_PAIRS = (
    ("input", "output"),
    ("input", _CORRECTION),
    ("prompt", "completion"),
    ("text", "label"),
    ("question", "answer"),
)
_SEVERAL = ("references", "outputs", "targets")
_CHATS = (("messages", "role", "content"), ("conversations", "from", "value"))
_USERS, _ASSISTANTS = ("user", "human"), ("assistant", "gpt")

Side = tuple[str, Sequence[object]]
"""One side of a pair: its column, and the pieces its text is joined from."""


@dataclasses.dataclass(frozen=True, slots=True)
class ExampleFile:
    """What a data file holds.

    Attributes:
        examples: Its pairs, in order, without exact duplicates.
        duplicates: How many rows were left out as exact duplicates.
        corrected: How many rows were left out as a later correction of the same input replaces them.
        conflicts: How many inputs have more than one output (they are kept).
        sha256: Hash of all pairs read, duplicates included.
    """

    examples: tuple[Example, ...]
    duplicates: int
    corrected: int
    conflicts: int
    sha256: str


def read_examples(
    name: str | Path,
    *,
    labels: tuple[str, ...] | None,
    split: str = "test",
    where: Mapping[str, Sequence[str]] | None = None,
) -> ExampleFile:
    """Read labelled pairs.

    Where people corrected a model's answers (columns input and correction), a correction replaces what the file said
    of the same input before.

    Args:
        name: A file, a folder, a URL that fsspec can open, or a data set's hub id (owner/name).
        labels: The possible outputs; None: any text.
        split: Which split of a hub data set to read.
        where: Which rows to take: for each column, the values it may have; None: all rows.

    Raises:
        UserError: The file does not exist, has an unknown format or unknown columns, or has wrong rows, which are
            listed with their lines.
        NoRows: There are no rows, or none that ``where`` selects.
        MetierError: The data set cannot be fetched from the hub.
    """
    path = local(name)
    pairs: list[Example] = []
    last: dict[str, int] = {}  # by input, the place of its last correction
    listed: list[str] = []
    wrong = 0
    for place, row in read_rows(path, split):
        if where and not _is_meant(row, where, place):
            continue
        try:
            pairs.append(pair_of(row, labels))
            if _CORRECTION in row and _sides(row)[1][0] == _CORRECTION:
                last[pairs[-1].input] = len(pairs) - 1
        except ValueError as problem:
            wrong += 1
            if wrong <= _LISTED:
                listed.append(f"{place}: {problem}")
    if wrong:
        more = f"\n… and {wrong - _LISTED} more" if wrong > _LISTED else ""
        raise UserError(
            "\n".join(listed) + more, hint=f"fix or remove {'this row' if wrong == 1 else f'these {wrong} rows'}"
        )
    if not pairs:
        asked = ", ".join(f"{column} {' or '.join(values)}" for column, values in (where or {}).items())
        raise NoRows(f"{path}: there are no rows in it" + (f" with {asked}" if asked else ""))
    stand = [pair for i, pair in enumerate(pairs) if i >= last.get(pair.input, 0)]
    unique = tuple(dict.fromkeys(stand))
    answers = {(pair.input, tuple(dict.fromkeys(pair.references))) for pair in unique}
    outputs = collections.Counter(text for text, _ in answers)
    digest = hashlib.sha256(json.dumps([[p.input, *p.references] for p in pairs]).encode()).hexdigest()
    conflicts = sum(n > 1 for n in outputs.values())
    return ExampleFile(unique, len(stand) - len(unique), len(pairs) - len(stand), conflicts, digest)


class NoRows(UserError):
    """A file has no rows, or none of those asked for."""


class EmptyText(ValueError):
    """A row's input or output is empty."""


def read_instructions(
    name: str | Path, *, where: Mapping[str, Sequence[str]] | None = None
) -> tuple[list[Example], int]:
    """Read generic instruction data: pairs that each carry their own instruction.

    In Alpaca format the instruction is kept apart from its input; in other formats the input is the instruction.

    Returns:
        The pairs, and how many rows were left out because a side was empty, as large collections have some.

    Raises:
        UserError: As `read_examples`; the first wrong row is reported with its line.
    """
    pairs, empty = [], 0
    for place, row in read_rows(local(name), "train"):
        if where and not _is_meant(row, where, place):
            continue
        try:
            pair = pair_of(row)
        except EmptyText:
            empty += 1
            continue
        except ValueError as problem:
            raise UserError(f"{place}: {problem}") from problem
        given = row.get("input")
        if "instruction" in row and isinstance(given, str) and given.strip():
            pairs.append(Example(given, pair.output, instruction=_text("instruction", (row["instruction"],))))
        else:
            pairs.append(Example(pair.input, pair.output, instruction=""))
    if not pairs:
        raise UserError(f"{name}: there are no rows in it")
    return list(dict.fromkeys(pairs)), empty


def read_inputs(name: str | Path, *, split: str = "train") -> list[str]:
    """Read inputs, with or without outputs: any row with a column known as an input.

    Raises:
        UserError: The file cannot be read, or a row has no such column, or no Unicode text in it.
    """
    texts = []
    for where, row in read_rows(local(name), split):
        column = next((first for first, _ in _PAIRS if isinstance(row.get(first), str)), None)
        if column is None:
            raise UserError(f"{where}: no input column", hint="name the column input, prompt, text or question")
        try:
            texts.append(_text(column, (row[column],)))
        except EmptyText:
            continue
        except ValueError as problem:
            raise UserError(f"{where}: {problem}") from problem
    return texts


def pair_of(row: Mapping[str, object], labels: tuple[str, ...] | None = None) -> Example:
    """Return a row as a pair.

    Raises:
        ValueError: What is wrong with the row.
    """
    (asked, question), (answered, answer) = _sides(row)
    if _references(row):
        # Equal references all stay: SARI and GLEU weigh what several references agree on.
        outputs = tuple(_text(answered, (piece,)) for piece in answer)
        pair = Example(_text(asked, question), outputs[0], outputs[1:])
    else:
        pair = Example(_text(asked, question), _text(answered, answer))
    if labels is None:
        return pair
    label = pair.output.strip()
    if label not in labels:
        raise ValueError(f"{answered}: {label!r} is not one of the labels [{', '.join(labels)}]")
    return Example(pair.input, label)


def _is_meant(row: Mapping[str, object], where: Mapping[str, Sequence[str]], place: str) -> bool:
    for column, values in where.items():
        if column not in row:
            raise UserError(f"{place}: no column {column!r} to select rows by (columns: {', '.join(map(str, row))})")
        if str(row[column]) not in values:
            return False
    return True


def _references(row: Mapping[str, object]) -> Side | None:
    """Return the column with several right answers, for a row without a single answer."""
    if "input" not in row or "output" in row:
        return None
    for name in _SEVERAL:
        answers = row.get(name)
        if isinstance(answers, list) and answers:
            return name, answers
    return None


def _sides(row: Mapping[str, object]) -> tuple[Side, Side]:
    """Return the input and the output of a row, by the column names in common use."""
    if "instruction" in row and "output" in row:
        return ("instruction", (row["instruction"], row.get("input"))), ("output", (row["output"],))
    if several := _references(row):
        return ("input", (row["input"],)), several
    for first, second in _PAIRS:
        if first in row and second in row:
            return (first, (row[first],)), (second, (row[second],))
    for column, role, content in _CHATS:
        turns = row.get(column)
        if isinstance(turns, list):
            return _chat(turns, column, role, content)
    columns = f"columns [{', '.join(map(str, row))}]"
    for first, second in (("instruction", "output"), *_PAIRS):
        if first in row:
            raise ValueError(f"there is no {second} beside {first} ({columns})")
    raise ValueError(
        f"unknown {columns}; known are input/output, input/references, input/correction, "
        "instruction/input/output, prompt/completion, text/label, question/answer, messages, conversations"
    )


def _chat(turns: Sequence[object], column: str, role: str, content: str) -> tuple[Side, Side]:
    said = [turn for turn in turns if isinstance(turn, dict)]
    answers = [i for i, turn in enumerate(said) if turn.get(role) in _ASSISTANTS]
    if not answers:
        raise ValueError(f"{column}: no turn by the assistant")
    asked = [turn.get(content) for turn in said[: answers[-1]] if turn.get(role) in _USERS]
    return (f"{column}: the user's turn", asked), (f"{column}: the answer", (said[answers[-1]].get(content),))


def _text(column: str, pieces: Sequence[object]) -> str:
    """Join pieces into one text with blank lines between them; skip empty ones and NaN, a table's empty cell."""
    texts = []
    for piece in pieces:
        if piece is None or (isinstance(piece, float) and math.isnan(piece)):
            continue
        text = json.dumps(piece) if isinstance(piece, bool | int | float) else piece
        if not isinstance(text, str):
            raise ValueError(f"{column} is not text")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError(f"{column} holds half of a surrogate pair, which is not Unicode text")
        if text.strip():
            texts.append(text)
    if not texts:
        raise EmptyText(f"{column} is empty")
    return "\n\n".join(texts)
