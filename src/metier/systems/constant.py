"""The constant: the test's commonest answer to every input. What needs no input at all can reach at best.

The one System that sees the test's answers: it is a bound to hold others against, not something to use.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from metier.core import storage
from metier.core.codec import decode, encode
from metier.core.records import Answers
from metier.systems.base import Keep, Learned, Material, Tools

_FILE = "constant.json"


def learn(material: Material, tools: Tools) -> Learned:
    """Return the System that gives the test's commonest answer."""
    return Constant(Counter(material.test_answers).most_common(1)[0][0])


def load(folder: Path, tools: Tools) -> Learned:
    """Return what `Constant.save` wrote."""
    return decode(Constant, storage.read_json(folder / _FILE))


@dataclasses.dataclass(frozen=True, slots=True)
class Constant:
    """Answers every input alike."""

    text: str

    @property
    def form(self) -> str:
        """Which file loads it."""
        return "constant"

    @property
    def nbytes(self) -> int:
        """Bytes of the answer."""
        return len(self.text.encode())

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        """Return an answer to each input, in order."""
        return Answers((self.text,) * len(inputs))

    def save(self, folder: Path) -> None:
        """Write the answer into a folder."""
        storage.write_json(folder / _FILE, encode(self))
