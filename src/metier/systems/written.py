"""A model that writes its answer: the base model under a prompt, or a tuned one as it was trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from metier.core.records import Answers
from metier.systems.asker import Asker, Shows, open_asker
from metier.systems.asker_file import load_asker, save_asker
from metier.systems.base import Keep, Learned, Material, Tools, Tuned


def learn(material: Material, tools: Tools, *, tuned: Tuned | None = None, shows_examples: bool = True) -> Learned:
    """Return a model that writes.

    Args:
        material: The examples to show, and the tuned model.
        tools: Opens the model.
        tuned: Which tuned model writes; None: the base model.
        shows_examples: Whether the base model's prompt shows the examples. A tuned model's shows what it was trained
            with.
    """
    shows: Shows = "as trained" if tuned else "examples" if shows_examples else "nothing"
    return Writer(open_asker(material, tools, tuned=tuned, shows=shows))


def load(folder: Path, tools: Tools) -> Learned:
    """Return what `Writer.save` wrote."""
    return Writer(load_asker(folder, tools))


@dataclasses.dataclass(frozen=True, slots=True)
class Writer:
    """Answers with what a model writes."""

    asker: Asker

    @property
    def form(self) -> str:
        """Which file loads it."""
        return "written"

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The possible answers."""
        return self.asker.labels

    @property
    def nbytes(self) -> int:
        """Bytes of the model."""
        return self.asker.nbytes

    @property
    def room(self) -> int:
        """Tokens that a prompt leaves free for the answer."""
        return self.asker.max_tokens

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        """Return an answer to each input, in order."""
        written = self.asker.write(inputs, keep)
        return Answers(written.texts, unasked=written.unasked)

    def stream(self, text: str) -> Iterator[str]:
        """Yield the answer to one input as it is written."""
        return self.asker.stream(text)

    def finished(self, answers: Sequence[str]) -> list[bool]:
        """Return for each answer whether it is shorter than an answer may be."""
        return [size < self.asker.max_tokens for size in self.asker.engine.count_tokens(answers)]

    def save(self, folder: Path) -> None:
        """Write how the model is asked into a folder."""
        save_asker(self.asker, folder)
