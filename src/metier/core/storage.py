"""Writes files completely or not at all, and reads them back. Knows nothing about what they hold."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metier.core.errors import MetierError, UserError, first_line

UNFINISHED = ".*.partial"
"""Names of files that are being written."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FREE = "free some space and run the same command again to resume"


class Unreadable(MetierError):
    """A file that Metier wrote is cut off or damaged."""


def canonical_json(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: object) -> str:
    """Return the SHA-256 of a JSON-able value, in hex."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def seed_of(*parts: object) -> int:
    """Return a seed in [0, 2^63) that depends on all parts and on nothing else."""
    return int(digest(list(parts))[:16], 16) >> 1


def write_text(path: Path, text: str) -> None:
    """Write a file completely or not at all.

    Raises:
        UserError: The folder may not be written to.
        MetierError: The disk is full, or the write failed for another reason.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_json(path: Path, value: object) -> None:
    """Write a value as readable JSON, completely or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_lines(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    """Write records as JSON Lines, completely or not at all."""
    write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def read_json(path: Path) -> Any:
    """Read a JSON file that Metier wrote.

    Raises:
        Unreadable: The file is incomplete or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path}: not readable as JSON ({error})", hint="delete the file and run again") from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSON Lines file that Metier wrote.

    Raises:
        Unreadable: The file is incomplete or not JSON Lines.
    """
    try:
        with path.open(encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            return [json.loads(line) for line in file]
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path}: not readable as JSON Lines ({error})", hint="delete it and run again") from error


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an error while writing, of the operating system or a library, into one that says what to do."""
    try:
        yield
    except MetierError:
        raise
    except Exception as error:
        if (told := _explanation(path, error)) is None:
            raise
        raise told from error


def replace_folder(partial: Path, final: Path) -> None:
    """Put a finished folder's files on the disk and give it its final name; a folder of that name is removed first."""
    with explained(final):
        for file in partial.rglob("*"):
            if file.is_file():
                _sync(file)
        if final.exists():
            shutil.rmtree(final)
        partial.replace(final)


def replace_file(partial: Path, final: Path) -> None:
    """Put a finished file on the disk and give it its final name."""
    with explained(final):
        _sync(partial)
        partial.replace(final)


def _sync(file: Path) -> None:
    with file.open("rb+" if os.name == "nt" else "rb") as opened:  # a file may be read-only; Windows wants to write
        os.fsync(opened.fileno())


def _explanation(path: Path, error: Exception) -> MetierError | None:
    # What wraps an operating system's error has its text alone: safetensors, tokenizers, shutil.copytree.
    if getattr(error, "errno", None) in _FULL or any(os.strerror(number) in str(error) for number in _FULL):
        return MetierError(f"{path}: the disk is full", hint=_FREE)
    if isinstance(error, OSError):
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return UserError(f"{path}: cannot be written ({error.strerror})", hint="choose another folder with --out")
        return MetierError(f"{path}: {error.strerror or error}")
    if isinstance(error, RuntimeError) and "inline_container" in str(error):  # torch.save, which does not say why
        return MetierError(f"{path}: cannot be written ({first_line(error)})", hint=f"if the disk is full, {_FREE}")
    return None


def write_parquet(path: Path, records: Sequence[Mapping[str, object]]) -> None:
    """Write records of strings as Parquet, completely or not at all; without records, a file with no rows."""
    import pyarrow
    import pyarrow.parquet

    names = list(records[0]) if records else ["input", "output"]
    table = pyarrow.table({n: pyarrow.array([r[n] for r in records], pyarrow.string()) for n in names})
    partial = path.with_name(f".{path.name}.partial")
    with explained(path):
        pyarrow.parquet.write_table(table, partial, compression="zstd")
    replace_file(partial, path)
