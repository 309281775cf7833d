"""What files held when they were written, kept as sizes and digests, and which of them no longer do.

A digest is read at more than a gigabyte a second, which is less than what loading the same file takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path


def prints_of(folder: Path, files: Iterable[Path]) -> dict[str, dict[str, int | str]]:
    """Return the size and SHA-256 of files, by their paths inside a folder."""
    return {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": _sha256(file)}
        for file in sorted(files)
    }


def what_changed(folder: Path, prints: Mapping[str, object]) -> str | None:
    """Return what is wrong with the first file that is not as `prints_of` found it; None: all are.

    Args:
        folder: Where the files are.
        prints: What was written down of them. It is data like the files, so what is in it is not trusted; a path out of
            the folder is not followed.
    """
    root = folder.resolve()
    for name, told in prints.items():
        path = folder / name
        if not path.resolve().is_relative_to(root):
            return f"{name} is not inside it"
        if not path.is_file():
            return f"{name} is missing"
        size, sha256 = _told(told)
        if size is None:
            return f"nothing is known of {name}"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} of {size} bytes"
        if sha256 is not None and _sha256(path) != sha256:
            return f"{name} has changed since it was written"
    return None


def _told(told: object) -> tuple[object, object]:
    """Return the size and digest that were written down; products of before there were digests have sizes alone."""
    if isinstance(told, int):
        return told, None
    return (told.get("bytes"), told.get("sha256", "")) if isinstance(told, Mapping) else (None, None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
