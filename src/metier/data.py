"""Reads data files into examples: the format by its ending, the columns by their names. Knows nothing about tasks.

Data is untrusted: a file is read in bounded pieces, nothing in it is run, and what is wrong is told with its line.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from metier.errors import MetierError, UserError
from metier.records import Example

_LONGEST_LINE = 10_000_000  # bytes
_TOLD = 5  # problems listed in one error
_FORMATS = ".jsonl, .jsonl.gz, .json, .csv, .tsv, .parquet, a folder of Parquet or Arrow files, or a hub id"
_PAIRS = (("input", "output"), ("prompt", "completion"), ("text", "label"), ("question", "answer"))
_CHATS = (("messages", "role", "content"), ("conversations", "from", "value"))
_USERS, _ASSISTANTS = ("user", "human"), ("assistant", "gpt")

Row = tuple[str, Mapping[str, Any]]
"""Where a row stands (file and line), and its columns."""


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


def read_examples(path: Path, *, labels: tuple[str, ...] | None, split: str = "test") -> ExampleFile:
    """Read labelled pairs.

    Args:
        path: A file or folder, or a data set's hub id (owner/name).
        labels: The possible outputs; None: any text.
        split: Which split of a hub data set to read.

    Raises:
        UserError: The file is not there, is of no known format, has no columns that are known, or rows that are
            wrong; told with their lines.
    """
    pairs: list[Example] = []
    wrong: list[str] = []
    for where, row in _rows(path, split):
        pair, problem = _pair(row, labels)
        if pair is not None:
            pairs.append(pair)
        else:
            wrong.append(f"{where}: {problem}")
    if wrong:
        more = f"\n… and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
        raise UserError("\n".join(wrong[:_TOLD]) + more, hint=f"{len(wrong)} rows are to be mended or removed")
    if not pairs:
        raise UserError(f"{path}: there are no rows in it")
    unique = tuple(dict.fromkeys(pairs))
    digest = hashlib.sha256(json.dumps([[p.input, p.output] for p in pairs]).encode()).hexdigest()
    return ExampleFile(unique, len(pairs) - len(unique), len(unique) - len({p.input for p in unique}), digest)


def _rows(path: Path, split: str) -> Iterator[Row]:
    if path.is_dir():
        yield from _folder(path)
    elif not path.exists():
        if re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)) and not path.suffix:
            yield from _hub(str(path), split)
        else:
            raise UserError(f"{path}: no such file")
    elif path.name.endswith((".jsonl", ".jsonl.gz")):
        for number, line in _lines(path):
            if line.strip():
                yield f"{path}:{number}", _object(_json(line, f"{path}:{number}"), f"{path}:{number}")
    elif path.suffix == ".json":
        text = "".join(line for _, line in _lines(path))
        rows = _json(text, str(path)) if text.strip() else []
        if not isinstance(rows, list):
            raise UserError(f"{path}: a .json file must hold a list of objects", hint="or name it .jsonl, one a line")
        for i, row in enumerate(rows):
            yield f"{path}: row {i + 1}", _object(row, f"{path}: row {i + 1}")
    elif path.suffix in (".csv", ".tsv"):
        yield from _csv(path, "," if path.suffix == ".csv" else "\t")
    elif path.suffix == ".parquet":
        yield from _parquet(path)
    else:
        raise UserError(f"{path}: not a format that is read", hint=f"one of: {_FORMATS}")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield a text file's lines with their numbers; a line that is too long is refused before it is held."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as raw:
        file: IO[bytes] = raw  # type: ignore[assignment]
        number = 0
        while line := file.readline(_LONGEST_LINE + 1):
            number += 1
            if len(line) > _LONGEST_LINE:
                raise UserError(
                    f"{path}:{number}: a line of more than {_LONGEST_LINE // 10**6} MB",
                    hint="one row a line: is this JSON Lines, with line breaks between the rows?",
                )
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path}:{number}: not UTF-8 (byte {line[error.start]:#04x} at place {error.start + 1})",
                    hint="save the file as UTF-8",
                ) from error


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({error})") from error


def _object(row: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise UserError(f"{where}: not an object with named columns")
    return row


def _csv(path: Path, separator: str) -> Iterator[Row]:
    def text() -> Iterator[str]:
        for _, line in _lines(path):
            yield line

    csv.field_size_limit(_LONGEST_LINE)
    reader = csv.DictReader(text(), delimiter=separator)
    try:
        for row in reader:
            if None in row:
                raise UserError(f"{path}:{reader.line_num}: more fields than the header has columns")
            yield f"{path}:{reader.line_num}", row
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: not readable ({error})") from error


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: not readable as Parquet ({error})") from error


def _folder(path: Path) -> Iterator[Row]:
    parquet = sorted(path.rglob("*.parquet"))
    if parquet:
        for file in parquet:
            yield from _parquet(file)
        return
    arrow = sorted(path.glob("*.arrow"))
    if not arrow:
        raise UserError(f"{path}: a folder without Parquet or Arrow files", hint=f"one of: {_FORMATS}")
    import pyarrow

    number = 0
    for file in arrow:
        try:
            with pyarrow.memory_map(str(file)) as source:
                for batch in pyarrow.ipc.open_stream(source):
                    for row in batch.to_pylist():
                        number += 1
                        yield f"{path}: row {number}", row
        except (pyarrow.ArrowException, OSError) as error:
            raise UserError(f"{file}: not readable as Arrow ({error})") from error


def _hub(name: str, split: str) -> Iterator[Row]:
    import datasets

    try:
        rows: Iterable[Any] = datasets.load_dataset(name, split=split)
    except Exception as error:  # the hub's client raises many kinds
        raise MetierError(
            f"{name}: not a file here, and the hub did not give it ({str(error).splitlines()[0][:200]})",
            hint="check the name and the network, or save the data set as Parquet and name the file",
        ) from error
    for i, row in enumerate(rows):
        yield f"{name}: row {i + 1}", row


def _pair(row: Mapping[str, Any], labels: tuple[str, ...] | None) -> tuple[Example | None, str]:
    """Return a row as a pair, or what is wrong with it."""
    found = _columns(row)
    if found is None:
        return None, (
            f"columns [{', '.join(map(str, row))}] are not known; known are "
            "input/output, instruction/input/output, prompt/completion, text/label, question/answer, messages"
        )
    texts = []
    for name, value in found:
        if isinstance(value, bool | int | float):
            value = str(value)
        if value is not None and not isinstance(value, str):
            return None, f"{name} is not text"
        if value is None or not value.strip():
            return None, f"{name} is empty"
        texts.append(value)
    output = texts[1].strip()
    if labels is not None:
        if output not in labels:
            return None, f"{found[1][0]}: {output!r} is not one of labels [{', '.join(labels)}]"
        return Example(texts[0], output), ""
    return Example(texts[0], texts[1]), ""


def _columns(row: Mapping[str, Any]) -> tuple[tuple[str, Any], tuple[str, Any]] | None:
    """Return the input and the output of a row with the columns they are from, by the names the field uses."""
    if "instruction" in row and "output" in row:
        told = str(row["instruction"] or "")
        extra = row.get("input")
        return ("instruction", f"{told}\n\n{extra}" if extra else told), ("output", row["output"])
    for first, second in _PAIRS:
        if first in row and (second in row or len(row) == 1):
            return (first, row[first]), (second, row.get(second))
    for column, role, content in _CHATS:
        if isinstance(row.get(column), list):
            return _chat(row[column], column, role, content)
    return None


def _chat(turns: list[Any], column: str, role: str, content: str) -> tuple[tuple[str, Any], tuple[str, Any]]:
    said = [t for t in turns if isinstance(t, dict)]
    answers = [i for i, t in enumerate(said) if t.get(role) in _ASSISTANTS]
    last = answers[-1] if answers else len(said)
    asked = "\n\n".join(str(t.get(content, "")) for t in said[:last] if t.get(role) in _USERS)
    return (column, asked), (column, said[last].get(content) if answers else None)
