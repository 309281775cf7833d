"""Asks a person in a terminal, row by row: a key for each label, or a line of text; back, skip and quit.

No answer of a model is shown: whoever sees one tends to agree with it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Protocol

from metier.labelling.draw import Question
from metier.labelling.sheet import Sheet
from metier.report.words import clean, shorten

_MOST_KEYS = 9  # labels that have a key each; with more, a number is typed as a line
_SHOWN = 4000  # characters of an input


class Terminal(Protocol):
    """Where a person reads and types."""

    def show(self, text: str) -> None:
        """Show a line or more."""
        ...

    def key(self) -> str:
        """Return the next key.

        Raises:
            EOFError: There is none.
        """
        ...

    def line(self) -> str:
        """Return the next line.

        Raises:
            EOFError: There is none.
        """
        ...


class _Command(enum.Enum):
    """What a person may say in place of an answer, and its key."""

    SKIP = "s"
    BACK = "b"
    QUIT = "q"


def ask(
    sheet: Sheet,
    questions: Sequence[Question],
    labels: Sequence[str] | None,
    terminal: Terminal,
    so_far: Callable[[], str],
) -> None:
    """Ask about the rows that have no answer, and put every answer on file.

    Args:
        sheet: Where answers are kept.
        questions: What to ask, in order.
        labels: The possible answers; None: any text.
        terminal: Where to ask.
        so_far: Returns what the answers so far come to, in words; shown above each question.
    """
    places = [i for i, question in enumerate(questions) if sheet.answer(question.input) is None]
    at = 0
    while at < len(places):
        question = questions[places[at]]
        terminal.show(f"\n[{places[at] + 1} of {len(questions)}] {so_far()}")
        terminal.show(shorten(clean(question.input), _SHOWN))
        if (given := sheet.answer(question.input)) is not None:
            terminal.show(f"answered: {clean(given)}")
        try:
            said = _label(terminal, labels) if labels is not None else _text(terminal)
        except EOFError:
            return
        if said is _Command.QUIT:
            return
        if isinstance(said, str):
            sheet.put(question, said)
        at = max(0, at - 1) if said is _Command.BACK else at + 1


def _label(terminal: Terminal, labels: Sequence[str]) -> str | _Command:
    """Return the label that is chosen, or a command."""
    keys = len(labels) <= _MOST_KEYS
    terminal.show("  ".join(f"{i} {clean(label)}" for i, label in enumerate(labels, 1)))
    terminal.show(f"{'a key' if keys else 'a number and Enter'}; s skip, b back, q quit")
    while True:
        said = (terminal.key() if keys else terminal.line()).strip()
        if said.isascii() and said.isdigit() and 1 <= int(said) <= len(labels):
            return labels[int(said) - 1]
        if said in [command.value for command in _Command]:
            return _Command(said)
        terminal.show(f"1 to {len(labels)}, s, b or q")


def _text(terminal: Terminal) -> str | _Command:
    """Return the answer that is typed, or a command."""
    terminal.show("a line of text and Enter; empty: skip, :b back, :q quit")
    said = terminal.line().strip()
    if said in (":b", ":q"):
        return _Command(said[1:])
    return said or _Command.SKIP
