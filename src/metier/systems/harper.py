"""The rule checker Harper: every finding's first suggestion is taken. What correction needs no model for."""

from __future__ import annotations

from metier.core.errors import MetierError
from metier.systems.base import ByText, Learned, Material, Tools


def learn(material: Material, tools: Tools) -> Learned:
    """Return the checker.

    Raises:
        MetierError: The extra is not installed.
    """
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

    return ByText(correct, 0)
