"""A tuned model asked in wordings that it was not trained on, which take turns over the inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from metier.core.records import Answers
from metier.systems import tuned as as_asked
from metier.systems.base import Keep, Learned, Material, Tools, Tuned


def learn(material: Material, tools: Tools, *, tuned: Tuned) -> Learned:
    """Return the tuned model, asked in each of the unseen wordings in turn."""
    if material.asked is None:
        raise ValueError("a model is asked")
    asked = [dataclasses.replace(material.asked, instruction=wording) for wording in material.unseen_wordings]
    return InTurns(tuple(as_asked.learn(dataclasses.replace(material, asked=a), tools, tuned=tuned) for a in asked))


@dataclasses.dataclass(frozen=True, slots=True)
class InTurns:
    """Several forms of one System that take turns over the inputs."""

    forms: tuple[Learned, ...]

    @property
    def form(self) -> str:
        """Which file loads it."""
        return "unseen_wordings"

    @property
    def nbytes(self) -> int:
        """Bytes of the model."""
        return self.forms[0].nbytes

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        """Return an answer to each input, in order."""
        texts, unasked = [""] * len(inputs), 0
        for k, form in enumerate(self.forms):
            if part := inputs[k :: len(self.forms)]:
                found = form.answer(part, keep)
                texts[k :: len(self.forms)] = found.texts
                unasked += found.unasked
        return Answers(tuple(texts), unasked=unasked)

    def save(self, folder: Path) -> None:
        """Write nothing: it is a way to test a tuned model, not to use one."""
