"""A pool to select from, read once into a memory-mapped Arrow file, so that it may be larger than memory.

Knows nothing about tasks or how rows are chosen.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from metier.core import storage
from metier.core.errors import UserError
from metier.core.records import Example
from metier.core.remote import local
from metier.data.files import read_rows
from metier.data.pairs import EmptyText, pair_of

_PIECE = 8192
_LISTED = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Pool:
    """Rows to select from.

    Attributes:
        path: Arrow file with the columns ``input`` and ``output``.
        rows: How many rows.
        dropped: How many of the source's rows were left out, by reason.
        sha256: Hash of the rows' texts, in order.
        instruction: The instruction of all rows; empty if each is a complete prompt by itself.
    """

    path: Path
    rows: int
    dropped: dict[str, int]
    sha256: str
    instruction: str = ""

    def pieces(self) -> Iterator[list[Example]]:
        """Yield the rows in order, a few thousand at a time."""
        import pyarrow

        with pyarrow.memory_map(str(self.path)) as source, pyarrow.ipc.open_file(source) as file:
            for number in range(file.num_record_batches):
                yield self._examples(file.get_batch(number))

    def take(self, places: Sequence[int]) -> list[Example]:
        """Return the rows at the given places, in that order."""
        import pyarrow

        with pyarrow.memory_map(str(self.path)) as source, pyarrow.ipc.open_file(source) as file:
            return self._examples(file.read_all().take(pyarrow.array(list(places), pyarrow.int64())))

    def _examples(self, rows: Any) -> list[Example]:
        return [Example(r["input"], r["output"], instruction=self.instruction) for r in rows.to_pylist()]


def open_pool(
    source: str, folder: Path, progress: Callable[[int, int], None] | None = None, *, unwanted: Sequence[str] = ()
) -> Pool:
    """Return the pool of a data file, reading it into a folder unless it is there already.

    Rows with an empty side, exact duplicates, and rows with an unwanted input (that of a test row) are left out.

    Args:
        source: A data file, folder, URL or hub id.
        folder: Where the Arrow file goes.
        progress: Called with the number of rows read.
        unwanted: Inputs that no row of the pool may have.

    Raises:
        UserError: The source cannot be read, has no known columns or no usable rows, or changed while it was read.
    """
    return _write(_source_rows(source), folder, source, progress, unwanted)


def pool_of(examples: Sequence[Example], folder: Path, instruction: str) -> Pool:
    """Return examples in memory, all with one instruction, as a pool."""
    return dataclasses.replace(_write(iter(examples), folder, "the pairs", None, ()), instruction=instruction)


def _source_rows(source: str) -> Iterator[Example | None]:
    """Yield a source's rows; None for a row with an empty side."""
    path = local(source)
    before = state_of(path)
    wrong: list[str] = []
    for where, row in read_rows(path, "train"):
        try:
            yield pair_of(row)
        except EmptyText:
            yield None
        except ValueError as problem:
            wrong.append(f"{where}: {problem}")
            if len(wrong) == _LISTED:
                break
    if wrong:
        raise UserError("\n".join(wrong), hint="fix or remove such rows, or rename the columns as the error says")
    if state_of(path) != before:
        raise UserError(f"{source}: changed while it was read", hint="run again once it is complete")


def state_of(path: Path) -> list[tuple[str, int, int]]:
    """Return the name, size and time of every file of a source; if they differ, the content has changed."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path] if path.exists() else []
    return [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files]


def _write(
    rows: Iterator[Example | None],
    folder: Path,
    source: str,
    progress: Callable[[int, int], None] | None,
    unwanted: Sequence[str],
) -> Pool:
    import pyarrow

    about, path = folder / "pool.json", folder / "pool.arrow"
    if about.exists():
        held = storage.read_json(about)
        return Pool(path, held["rows"], held["dropped"], held["sha256"])
    schema = pyarrow.schema([("input", pyarrow.string()), ("output", pyarrow.string())])
    digest, seen, dropped, kept, read = hashlib.sha256(), set(), {"empty": 0, "duplicate": 0, "test row": 0}, 0, 0
    forbidden = {_mark(text) for text in unwanted}
    piece: list[dict[str, Any]] = []
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with (
        storage.explained(path),
        pyarrow.OSFile(str(partial), "wb") as sink,
        pyarrow.ipc.new_file(sink, schema) as file,
    ):
        for row in rows:
            read += 1
            if progress and read % _PIECE == 0:
                progress(read, 0)
            mark = None if row is None else _mark(f"{row.input}\x1f{row.output}")
            reason = "empty" if row is None else "duplicate" if mark in seen else None
            if row is not None and reason is None and forbidden and _mark(row.input) in forbidden:
                reason = "test row"
            if reason is not None or row is None:
                dropped[reason or "empty"] += 1
                continue
            seen.add(mark)
            digest.update(mark or b"")
            piece.append({"input": row.input, "output": row.output})
            kept += 1
            if len(piece) == _PIECE:
                file.write_batch(pyarrow.RecordBatch.from_pylist(piece, schema=schema))
                piece = []
        if piece:
            file.write_batch(pyarrow.RecordBatch.from_pylist(piece, schema=schema))
    if not kept:
        raise UserError(f"{source}: no usable row ({dropped})", hint="check that this is the right file")
    partial.replace(path)
    dropped = {reason: count for reason, count in dropped.items() if count}
    storage.write_json(about, {"rows": kept, "dropped": dropped, "sha256": digest.hexdigest()})
    return Pool(path, kept, dropped, digest.hexdigest())


def _mark(text: str) -> bytes:
    return hashlib.blake2b(text.strip().encode("utf-8", "surrogatepass"), digest_size=12).digest()
