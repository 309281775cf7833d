"""A vote of sampled answers: what SELF-GUIDE's output filters gain without any training.

Ten answers that pass the filters vote (Zhao et al. 2024, arXiv 2407.12874): that paper's temperature, filters and
mapping to labels, but no row is given up for want of agreement.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from metier.core import storage
from metier.core.codec import decode, encode
from metier.core.records import Answers, Candidate
from metier.synthesis.brief import Brief
from metier.synthesis.outputs import vote
from metier.systems.asker import Asker, Sampling, open_asker
from metier.systems.asker_file import load_asker, save_asker
from metier.systems.base import Keep, Learned, Material, Tools

_FILE = "brief.json"
_VOTES = 10


def learn(material: Material, tools: Tools) -> Learned:
    """Return the base model whose sampled answers vote."""
    if material.sampling is None or material.asked is None:
        raise ValueError("a vote needs to know how to sample")
    asker = open_asker(material, tools)
    settings = material.sampling.but(agreement=0.0, output_keep=_VOTES)
    brief = Brief(material.asked.instruction, material.labels, material.examples, settings, material.asked.seed)
    return Voter(asker, brief)


def load(folder: Path, tools: Tools) -> Learned:
    """Return what `Voter.save` wrote."""
    return Voter(load_asker(folder, tools), decode(Brief, storage.read_json(folder / _FILE)))


@dataclasses.dataclass(frozen=True, slots=True)
class Voter:
    """Answers with the commonest of the sampled answers; empty where none passes."""

    asker: Asker
    brief: Brief

    @property
    def form(self) -> str:
        """Which file loads it."""
        return "voted"

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The possible answers."""
        return self.asker.labels

    @property
    def nbytes(self) -> int:
        """Bytes of the model."""
        return self.asker.nbytes

    @property
    def votes(self) -> int:
        """How many answers are sampled for each input."""
        return _VOTES

    @property
    def room(self) -> int:
        """Tokens that a prompt leaves free for the answer."""
        return self.asker.max_tokens

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        """Return an answer to each input, in order."""
        settings = self.brief.settings
        sampling = Sampling(self.votes, settings.output_temperature, settings.output_top_k)
        sampled = self.asker.sample(inputs, sampling, self.brief, keep)
        rows = [
            Candidate(str(i), text, answers=answers)
            for i, (text, answers) in enumerate(zip(inputs, sampled.texts, strict=True))
        ]
        return Answers(
            tuple(row.output if row.kept else "" for row in vote(self.brief, rows)),
            unasked=sum(not answers for answers in sampled.texts),
        )

    def save(self, folder: Path) -> None:
        """Write how the model is asked and its answers are sampled into a folder."""
        save_asker(self.asker, folder)
        storage.write_json(folder / _FILE, encode(self.brief))
