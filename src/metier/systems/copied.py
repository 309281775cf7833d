"""The copied input: every input is its own answer. What rewriting has to beat."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from metier.core.records import Answers
from metier.systems.base import Keep, Learned, Material, Tools


def learn(material: Material, tools: Tools) -> Learned:
    """Return the System that answers with the input."""
    return Copied()


def load(folder: Path, tools: Tools) -> Learned:
    """Return the System: it has nothing to read back."""
    return Copied()


@dataclasses.dataclass(frozen=True, slots=True)
class Copied:
    """Answers with the input."""

    @property
    def form(self) -> str:
        """Which file loads it."""
        return "copied"

    @property
    def nbytes(self) -> int:
        """Nothing is held."""
        return 0

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        """Return an answer to each input, in order."""
        return Answers(tuple(inputs))

    def save(self, folder: Path) -> None:
        """Write nothing: there is nothing to keep."""
