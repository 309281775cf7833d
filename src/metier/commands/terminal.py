"""The terminal that a command was started in, to ask a person."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import typer

_END = "\x04"
# What an arrow or the like sends: several characters, none of which is meant.
_SEQUENCE = re.compile(r"\x1b(\[[0-9;?]*[@-~]|O.|)")


class Console:
    """Shows lines on standard output, and reads keys and lines that are typed. `console` opens one."""

    def __init__(self) -> None:
        self._typed = ""
        self._before: list[Any] | None = None

    def show(self, text: str) -> None:
        """Show a line or more."""
        print(text, flush=True)

    def key(self) -> str:
        """Return the next key.

        Raises:
            EOFError: Ctrl-D was typed, or the terminal is gone.
        """
        while not self._typed:
            self._typed = _SEQUENCE.sub("", self._read())
        key, self._typed = self._typed[0], self._typed[1:]
        if key == _END:
            raise EOFError
        return key

    def line(self) -> str:
        """Return the next line.

        Raises:
            EOFError: Ctrl-D was typed, or the terminal is gone.
        """
        return input("> ")

    def close(self) -> None:
        """Let the terminal be as it was."""
        if self._before is not None:
            import termios

            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._before)
            self._before = None

    def _read(self) -> str:
        """Return the keys that are typed next: one, or those that were typed before they were asked for."""
        try:
            import termios
            import tty
        except ImportError:  # Windows
            return typer.getchar()
        terminal = sys.stdin.fileno()
        if self._before is None:
            self._before = termios.tcgetattr(terminal)
            # At once: the default throws away what was typed already.
            tty.setcbreak(terminal, termios.TCSANOW)
        return os.read(terminal, 64).decode(errors="ignore") or _END


@contextlib.contextmanager
def console() -> Iterator[Console | None]:
    """Yield the terminal; None where there is none to ask in."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield None
        return
    terminal = Console()
    try:
        yield terminal
    finally:
        terminal.close()
