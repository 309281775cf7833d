"""Turns rows of data files into examples, the columns recognised by their names. Knows nothing about tasks or formats.

What is wrong is told with its line; nothing is mended in silence.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metier.core.errors import UserError
from metier.core.records import Example
from metier.core.remote import local
from metier.data.files import read_rows

_TOLD = 5  # problems listed in one error
_PAIRS = (("input", "output"), ("prompt", "completion"), ("text", "label"), ("question", "answer"))
_SEVERAL = ("references", "outputs", "targets")
_CHATS = (("messages", "role", "content"), ("conversations", "from", "value"))
_USERS, _ASSISTANTS = ("user", "human"), ("assistant", "gpt")

Side = tuple[str, Sequence[Any]]
"""One side of a pair: the column it is from, and the pieces its text is joined from."""


@dataclasses.dataclass(frozen=True, slots=True)
class ExampleFile:
    """What a data file holds.

    Attributes:
        examples: Its pairs, in order, exact duplicates left out.
        duplicates: How many were.
        conflicts: How many inputs have more than one output (they are kept).
        sha256: Hash of the pairs as they were read.
    """

    examples: tuple[Example, ...]
    duplicates: int
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

    Args:
        name: A file or folder, a URL that fsspec opens, or a data set's hub id (owner/name).
        labels: The possible outputs; None: any text.
        split: Which split of a hub data set to read.
        where: Rows to take: for a column, the values it may have; None: all rows.

    Raises:
        UserError: The file is not there, is of no known format, has no columns that are known, or rows that are
            wrong, told with their lines.
        NoRows: There are none, or none is as ``where`` says.
        MetierError: The hub does not give the data set.
    """
    path = local(name)
    pairs: list[Example] = []
    told: list[str] = []
    wrong = 0
    for place, row in read_rows(path, split):
        if where and not _is_meant(row, where, place):
            continue
        try:
            pairs.append(pair_of(row, labels))
        except ValueError as problem:
            wrong += 1
            if wrong <= _TOLD:
                told.append(f"{place}: {problem}")
    if wrong:
        more = f"\n… and {wrong - _TOLD} more" if wrong > _TOLD else ""
        raise UserError(
            "\n".join(told) + more, hint=f"{wrong} {'row is' if wrong == 1 else 'rows are'} to be mended or removed"
        )
    if not pairs:
        asked = ", ".join(f"{column} {' or '.join(values)}" for column, values in (where or {}).items())
        raise NoRows(f"{path}: there are no rows in it" + (f" with {asked}" if asked else ""))
    unique = tuple(dict.fromkeys(pairs))
    answers = {(pair.input, tuple(dict.fromkeys(pair.references))) for pair in unique}
    outputs = collections.Counter(text for text, _ in answers)
    digest = hashlib.sha256(json.dumps([[p.input, *p.references] for p in pairs]).encode()).hexdigest()
    return ExampleFile(unique, len(pairs) - len(unique), sum(n > 1 for n in outputs.values()), digest)


class NoRows(UserError):
    """A file has no rows, or none of those asked for."""


class EmptyText(ValueError):
    """A row's input or output says nothing."""


def read_instructions(
    name: str | Path, *, where: Mapping[str, Sequence[str]] | None = None
) -> tuple[list[Example], int]:
    """Read generic instruction data: pairs that each say themselves what is to be done.

    In Alpaca format the instruction and the input it is about are kept apart; in any other, the input is all there is.

    Returns:
        The pairs, and how many rows had an empty side and were left out: big collections have such.

    Raises:
        UserError: As `read_examples`; a row that is wrong otherwise is told with its line.
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
    """Read inputs that may have no output: any row with a column that is known as an input.

    Raises:
        UserError: The file cannot be read, or a row has no such column.
    """
    texts = []
    for where, row in read_rows(local(name), split):
        column = next((first for first, _ in _PAIRS if isinstance(row.get(first), str)), None)
        if column is None:
            raise UserError(f"{where}: there is no input in it", hint="name the column input, prompt, text or question")
        if row[column].strip():
            texts.append(row[column])
    return texts


def pair_of(row: Mapping[str, Any], labels: tuple[str, ...] | None = None) -> Example:
    """Return a row as a pair.

    Raises:
        ValueError: What is wrong with the row.
    """
    (asked, question), (answered, answer) = _sides(row)
    if several := _references(row):
        # Equal references all stay: SARI and GLEU weigh what several references agree on.
        outputs = tuple(_text(several, (piece,)) for piece in row[several])
        pair = Example(_text(asked, question), outputs[0], outputs[1:])
    else:
        pair = Example(_text(asked, question), _text(answered, answer))
    if labels is None:
        return pair
    label = pair.output.strip()
    if label not in labels:
        raise ValueError(f"{answered}: {label!r} is not one of labels [{', '.join(labels)}]")
    return Example(pair.input, label)


def _is_meant(row: Mapping[str, Any], where: Mapping[str, Sequence[str]], place: str) -> bool:
    for column, values in where.items():
        if column not in row:
            raise UserError(f"{place}: there is no column {column!r} to take rows by ({', '.join(map(str, row))})")
        if str(row[column]) not in values:
            return False
    return True


def _references(row: Mapping[str, Any]) -> str | None:
    """Return the column that holds several right answers, if a row has one and no single answer."""
    if "input" not in row or "output" in row:
        return None
    return next((name for name in _SEVERAL if isinstance(row.get(name), list) and row[name]), None)


def _sides(row: Mapping[str, Any]) -> tuple[Side, Side]:
    """Return the input and the output of a row, by the columns' names that the field uses."""
    if "instruction" in row and "output" in row:
        return ("instruction", (row["instruction"], row.get("input"))), ("output", (row["output"],))
    if several := _references(row):
        return ("input", (row["input"],)), (several, row[several])
    for first, second in _PAIRS:
        if first in row and second in row:
            return (first, (row[first],)), (second, (row[second],))
    for column, role, content in _CHATS:
        if isinstance(row.get(column), list):
            return _chat(row[column], column, role, content)
    columns = f"columns [{', '.join(map(str, row))}]"
    for first, second in (("instruction", "output"), *_PAIRS):
        if first in row:
            raise ValueError(f"there is no {second} beside {first} ({columns})")
    raise ValueError(
        f"{columns} are not known; known are input/output, input/references, instruction/input/output, "
        "prompt/completion, text/label, question/answer, messages, conversations"
    )


def _chat(turns: Sequence[Any], column: str, role: str, content: str) -> tuple[Side, Side]:
    said = [turn for turn in turns if isinstance(turn, dict)]
    answers = [i for i, turn in enumerate(said) if turn.get(role) in _ASSISTANTS]
    if not answers:
        raise ValueError(f"{column}: there is no turn of the assistant's")
    asked = [turn.get(content) for turn in said[: answers[-1]] if turn.get(role) in _USERS]
    return (f"{column}: the user's turn", asked), (f"{column}: the answer", (said[answers[-1]].get(content),))


def _text(column: str, pieces: Sequence[Any]) -> str:
    """Return pieces as one text with blank lines between them; empty ones, and tables' NaN for nothing, left out."""
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
