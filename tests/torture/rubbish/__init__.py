"""Inputs that are wrong, as tables: the files of each, the command that reads them, and the exit code that is due."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

Content = str | bytes
Change = Callable[[Path], object]


@dataclasses.dataclass(frozen=True)
class Rubbish:
    """One wrong input.

    Attributes:
        name: What is wrong with it.
        command: The command that reads it. ``{here}`` is an empty folder, ``{model}`` the tiny model's, ``{run}`` a
            finished run's, ``{classic}`` that of a product that asks no model; the last two only to be read.
        files: What is written into ``{here}`` first, by its path.
        change: What is done to ``{here}`` after that.
        copies: What ``{here}`` is a copy of to begin with: ``run``, ``classic`` or ``model``.
        code: The exit code.
    """

    name: str
    command: tuple[str, ...]
    files: Mapping[str, Content] = dataclasses.field(default_factory=dict)
    change: Change | None = None
    copies: str | None = None
    code: int = 2


def put(path: str, content: Content) -> Change:
    """Return a change that writes a file."""

    def change(here: Path) -> None:
        write(here / path, content)

    return change


def write(path: Path, content: Content) -> None:
    """Write a file and the folders it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
