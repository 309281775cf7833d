"""The terminal that a command was started in, to ask a person."""

from __future__ import annotations

import sys

import typer


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
            EOFError: Ctrl-D was typed.
        """
        if not self._typed:
            self._typed = typer.getchar()  # several, if they were typed before they were asked for
        key, self._typed = self._typed[0], self._typed[1:]
        return key

    def line(self) -> str:
        """Return the next line.

        Raises:
            EOFError: Ctrl-D was typed.
        """
        return input("> ")


def console() -> Console | None:
    """Return the terminal; None where there is none to ask in."""
    return Console() if sys.stdin.isatty() and sys.stdout.isatty() else None
