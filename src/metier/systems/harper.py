"""The rule checker Harper: every finding's first suggestion is taken. What correction needs no model for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from metier.core.errors import MetierError
from metier.core.records import Answers
from metier.systems.base import Keep, Learned, Material, Tools


def learn(material: Material, tools: Tools) -> Learned:
    """Return the checker.

    Raises:
        MetierError: The extra is not installed.
    """
    return Checker(_corrector())


def load(folder: Path, tools: Tools) -> Learned:
    """Return the checker: it has nothing to read back.

    Raises:
        MetierError: The extra is not installed.
    """
    return Checker(_corrector())


@dataclasses.dataclass(frozen=True, slots=True)
class Checker:
    """Answers with the corrected input."""

    correct: Callable[[str], str]

    @property
    def form(self) -> str:
        """Which file loads it."""
        return "harper"

    @property
    def nbytes(self) -> int:
        """The rules are part of the package: nothing is held for a task."""
        return 0

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        """Return an answer to each input, in order."""
        return Answers(tuple(map(self.correct, inputs)))

    def save(self, folder: Path) -> None:
        """Write nothing: there is nothing to keep."""


def _corrector() -> Callable[[str], str]:
    try:
        import harper
    except ImportError as error:
        raise MetierError("harper-py is not installed (pip install 'metier[harper]')") from error
    linter = harper.Linter()

    def correct(text: str) -> str:
        border = len(text) + 1
        # From the end of the text back, so that the places of findings not yet handled stay right.
        for lint in sorted(linter.lint(text), key=lambda found: found.span.start, reverse=True):
            if not lint.suggestions or lint.span.end > border:
                continue
            corrected = str(linter.apply_suggestion(text, lint, lint.suggestions[0]))
            # Benchmarks write words and punctuation apart: spacing alone is no mistake there.
            if "".join(corrected.split()) != "".join(text.split()):
                text, border = corrected, lint.span.start
        return text

    return correct
