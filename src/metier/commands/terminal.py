"""The terminal that a command was started in, to ask a person."""

from __future__ import annotations

import os
import sys

import typer

_END, _ESCAPE = "\x04", "\x1b"


class Console:
    """Shows lines on standard output, and reads keys and lines that are typed."""

    def __init__(self) -> None:
        self._typed = ""

    def show(self, text: str) -> None:
        """Show a line or more."""
        print(text, flush=True)

    def key(self) -> str:
        """Return the next key.

        Raises:
            EOFError: Ctrl-D was typed, or the terminal is gone.
        """
        while not self._typed:
            typed = _keys()
            # An arrow or the like comes as several characters, none of which is meant.
            self._typed = "" if typed.startswith(_ESCAPE) else typed
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


def console() -> Console | None:
    """Return the terminal; None where there is none to ask in."""
    return Console() if sys.stdin.isatty() and sys.stdout.isatty() else None


def _keys() -> str:
    """Return the keys that are typed next: one, or those that were typed before they were asked for."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        return typer.getchar()
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    # At once: the default throws away what was typed while the last answer was put on file.
    tty.setcbreak(terminal, termios.TCSANOW)
    try:
        typed = os.read(terminal, 64)
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
    return typed.decode(errors="ignore") if typed else _END
