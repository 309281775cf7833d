"""Reads data files into rows of named columns, each with its place in the file. Knows nothing about what rows mean.

Data is untrusted: a file is read in bounded pieces, nothing in it is run, and errors name the line.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from metier.core.errors import MetierError, UserError, first_line
from metier.core.net import hub_answers
from metier.core.remote import is_hub_id

_LONGEST_LINE = 10_000_000  # bytes
_FORMATS = ".jsonl, .jsonl.gz, .json, .csv, .tsv, .parquet, a folder of Parquet or Arrow files, or a hub id"
_SPLIT = re.compile(r"(train|test|valid|dev|eval)[a-z]*(?=[-_./]|$)")

Row = tuple[str, Mapping[str, object]]
"""A row's place (file and line), and its columns."""


def read_rows(path: Path, split: str) -> Iterator[Row]:
    """Yield a data file's rows, in order.

    Args:
        path: A file or folder, or a data set's hub id (owner/name).
        split: Which split of a hub data set to read.

    Raises:
        UserError: The file does not exist, has an unknown format, or cannot be read; the error names the line.
        MetierError: The data set cannot be fetched from the hub.
    """
    try:
        folder, there = path.is_dir(), path.exists()
    except OSError as error:
        raise UserError(f"{str(path)[:200]}: cannot be read ({error.strerror})") from error
    if folder:
        yield from _folder(path)
    elif not there:
        if not is_hub_id(str(path)):
            raise UserError(f"{path}: no such file")
        yield from _hub(str(path), split)
    elif path.name.endswith((".jsonl", ".jsonl.gz")):
        for number, line in _lines(path):
            if line.strip():
                yield f"{path}:{number}", _object(_json(line, f"{path}:{number}"), f"{path}:{number}")
    elif path.suffix == ".json":
        yield from _json_list(path)
    elif path.suffix in (".csv", ".tsv"):
        yield from _csv(path, "," if path.suffix == ".csv" else "\t")
    elif path.suffix == ".parquet":
        yield from _parquet(path)
    else:
        raise UserError(f"{path}: unknown format", hint=f"use one of: {_FORMATS}")


def read_rows_or_problems(path: Path) -> Iterator[Row | tuple[str, str]]:
    """Yield a data file's rows, and what is wrong with a line that holds none, in order.

    The lines of JSON Lines and of tables of text are read one by one, so a broken one does not end the others; in any
    other format a broken row ends the file, as in `read_rows`.

    Args:
        path: A file.

    Yields:
        A row with its place, or the place and the problem.

    Raises:
        UserError: As `read_rows`.
    """
    if path.suffix in (".csv", ".tsv"):
        yield from _csv_or_problems(path, "," if path.suffix == ".csv" else "\t")
    elif path.name.endswith((".jsonl", ".jsonl.gz")):
        for number, line in _raw_lines(path, keeps_going=True):
            where = f"{path}:{number}"
            try:
                text = _text(line, where)
                if text.strip():
                    yield where, _object(_json(text, where), where)
            except UserError as error:
                yield where, error.message
    else:
        yield from read_rows(path, "test")


def read_lines(path: Path) -> list[str]:
    """Return a text file's lines, empty ones too, without line ends.

    Raises:
        UserError: The file does not exist, cannot be read, or is not UTF-8; the error names the line.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    return [line.rstrip("\r\n") for _, line in _lines(path)]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield a text file's lines with their numbers; one that is too long is refused before it fills the memory."""
    for number, line in _raw_lines(path):
        yield number, _text(line, f"{path}:{number}")


def _raw_lines(path: Path, *, keeps_going: bool = False) -> Iterator[tuple[int, bytes]]:
    """Yield lines as they are in the file; to keep going, the beginning of one that is too long, and then the next."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            while line := file.readline(_LONGEST_LINE + 1):
                number += 1
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                yield number, line
                rest = line
                while keeps_going and len(rest) > _LONGEST_LINE and not rest.endswith(b"\n"):
                    rest = file.readline(_LONGEST_LINE + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}:{number + 1}: incomplete or damaged gzip data ({error})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _text(line: bytes, where: str) -> str:
    if len(line) > _LONGEST_LINE:
        raise UserError(
            f"{where}: the line is longer than {_LONGEST_LINE // 10**6} MB",
            hint="write it as JSON Lines (.jsonl), one row a line",
        )
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where}: not UTF-8 (byte {line[error.start]:#04x} at position {error.start + 1})",
            hint="save the file as UTF-8",
        ) from error


def _json(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({error})") from error


def _object(row: object, where: str) -> Mapping[str, object]:
    if not isinstance(row, dict):
        raise UserError(f"{where}: not an object with named columns")
    return row


def _json_list(path: Path) -> Iterator[Row]:
    text = "".join(line for _, line in _lines(path))
    rows = _json(text, str(path)) if text.strip() else []
    if not isinstance(rows, list):
        raise UserError(
            f"{path}: a .json file must hold a list of objects", hint="for one object per line, name it .jsonl"
        )
    for i, row in enumerate(rows):
        yield f"{path}: row {i + 1}", _object(row, f"{path}: row {i + 1}")


def _csv(path: Path, separator: str) -> Iterator[Row]:
    for place, row in _csv_or_problems(path, separator):
        if isinstance(row, str):
            raise UserError(row)
        yield place, row


def _csv_or_problems(path: Path, separator: str) -> Iterator[Row | tuple[str, str]]:
    """Yield a table's rows, and what is wrong with one in place of the row; an empty line is no row."""
    csv.field_size_limit(_LONGEST_LINE)
    reader = csv.reader((line for _, line in _lines(path)), delimiter=separator, strict=True)
    names: list[str] = []
    while True:
        begin = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            told = f"{path}:{begin}: cannot be read ({error})"
            if not names:
                raise UserError(told) from error
            yield f"{path}:{begin}", told
            continue
        if row is None:
            return
        where = f"{path}:{reader.line_num}"
        if not row:
            continue
        if not names:
            names = _header(row, path)
        elif len(row) > len(names):
            yield where, f"{where}: more fields than columns in the header"
        else:
            missing = [None] * (len(names) - len(row))
            yield where, dict(zip(names, [*row, *missing], strict=True))


def _header(names: list[str], path: Path) -> list[str]:
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise UserError(f"{path}:1: the column {twice[0]!r} appears twice")
    return names


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield from _arrow_rows(file.iter_batches(batch_size=4096), file.schema_arrow.metadata, path)
    except Exception as error:  # pyarrow's are of many kinds; a wrong name or time is Python's own
        raise UserError(f"{path}: not readable as Parquet ({first_line(error)})") from error


def _folder(path: Path) -> Iterator[Row]:
    import pyarrow

    parquet, arrow = sorted(path.rglob("*.parquet")), sorted(path.rglob("*.arrow"))
    files = parquet or [file for file in arrow if not file.name.startswith("cache-")]
    if not files:
        raise UserError(f"{path}: no Parquet or Arrow files in this folder", hint=f"use one of: {_FORMATS}")
    splits = {found[0] for file in files for part in file.relative_to(path).parts if (found := _SPLIT.match(part))}
    if len(splits) > 1:
        # Reading all of them would put training rows into the test set.
        raise UserError(
            f"{path}: contains several splits ({', '.join(sorted(splits))})", hint="name one file or subfolder"
        )
    for file in files:
        if file.suffix == ".parquet":
            yield from _parquet(file)
            continue
        try:
            with pyarrow.memory_map(str(file)) as source, pyarrow.ipc.open_stream(source) as batches:
                yield from _arrow_rows(batches, batches.schema.metadata, file)
        except Exception as error:  # pyarrow's are of many kinds; a wrong name or time is Python's own
            raise UserError(f"{file}: not readable as Arrow ({first_line(error)})") from error


def _hub(name: str, split: str) -> Iterator[Row]:
    import datasets
    from huggingface_hub import constants

    hint = "check the name and the network, or save the data set as Parquet and name the file"
    if not constants.HF_HUB_OFFLINE and not hub_answers(constants.ENDPOINT):
        raise MetierError(f"{name}: no such file, and the hub does not answer", hint=hint)
    try:
        rows: Any = datasets.load_dataset(name, split=split)
    except Exception as error:  # the hub's client raises many kinds of errors
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise MetierError(f"{name}: no such file, and fetching it from the hub failed ({why})", hint=hint) from error
    classes = _class_names(rows.features.arrow_schema.metadata)
    for i, row in enumerate(rows):
        yield f"{name}: row {i + 1}", _with_classes(row, classes)


def _arrow_rows(batches: Iterable[Any], metadata: Mapping[bytes, bytes] | None, path: Path) -> Iterator[Row]:
    classes = _class_names(metadata)
    number = 0
    for batch in batches:
        batch.validate(full=True)  # refuses offsets that point outside the file
        for row in batch.to_pylist():
            number += 1
            yield f"{path}: row {number}", _with_classes(row, classes)


def _class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """Return the columns of class numbers with the names of the classes, from the datasets library's metadata."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        kinds = {column: kind for column, kind in features.items() if isinstance(kind, dict)}
        return {column: list(kind["names"]) for column, kind in kinds.items() if kind.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _with_classes(row: Mapping[str, object], classes: Mapping[str, list[str]]) -> Mapping[str, object]:
    if not classes:
        return row
    out = dict(row)
    for column, names in classes.items():
        number = out.get(column)
        if isinstance(number, int):
            out[column] = names[number] if 0 <= number < len(names) else None  # -1: the label is withheld
    return out
