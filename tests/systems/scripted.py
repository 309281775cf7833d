"""A model that answers by functions of the prompt, and what Systems are given to learn from with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from metier.core.progress import Reporter
from metier.core.records import Example
from metier.core.run_folder import Run
from metier.core.step import Artifact
from metier.engines.base import EngineStats, Generation, GenerationRequest, Progress, Scores, ScoringRequest
from metier.engines.prompts import PromptFormat
from metier.models.encoder import SentenceEncoder
from metier.systems.base import Asked, Keep, Material, Tools
from metier.tasks.settings import EngineSettings
from tests.scripted import ByteTokenizer

LABELS = ("billing", "delivery")
EXAMPLES = (Example("I was charged twice.", "billing"), Example("The parcel is late.", "delivery"))


def input_of(prompt: str) -> str:
    """Return the input that a plain prompt asks about."""
    return prompt.rpartition("Input: ")[2].removesuffix("\nOutput:")


@dataclasses.dataclass
class Scripted:
    """An engine that writes and scores by functions of the prompt, and remembers what it was asked.

    Attributes:
        write: From a prompt and the number of the sample to what is written.
        likely: From a prompt and a continuation to its log-probability.
        context_length: Of the model it stands for, in bytes.
    """

    write: Callable[[str, int], str] = lambda prompt, sample: " billing"
    likely: Callable[[str, str], float] = lambda prompt, continuation: -float(len(continuation))
    context_length: int = 4000
    stats: EngineStats = dataclasses.field(default_factory=EngineStats)
    generated: list[GenerationRequest] = dataclasses.field(default_factory=list)
    scored: list[ScoringRequest] = dataclasses.field(default_factory=list)

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        self.generated += requests
        self.stats.generated_tokens += len(requests)
        return [
            Generation(
                tuple(self.write(r.prompt.text, r.first_sample + k) for k in range(r.samples)), (True,) * r.samples
            )
            for r in requests
        ]

    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        self.scored += requests
        return [
            Scores(
                tuple(self.likely(r.prompt.text, c) for c in r.continuations),
                tuple(len(c.encode()) + 1 for c in r.continuations),
            )
            for r in requests
        ]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.encode()) for text in texts]

    @property
    def requests(self) -> int:
        return len(self.generated) + len(self.scored)

    @property
    def asked_about(self) -> list[str]:
        """The inputs it was asked about, in order."""
        prompts = [*(r.prompt for r in self.generated), *(r.prompt for r in self.scored)]
        return [input_of(prompt.text) for prompt in prompts]


class Opened(list[str | None]):
    """Which models were opened, by what their weights hold; None is the base model."""


def make_tools(
    folder: Path,
    engine: Scripted | None = None,
    encoder: object = None,
    opened: Opened | None = None,
    model: str = "base",
) -> Tools:
    """Return tools that open the scripted engine, whatever the weights; ``model`` is the base model's digest."""
    scripted = engine or Scripted()

    def open_model(weights: Artifact | None) -> Scripted:
        if opened is not None:
            opened.append(weights.key if weights else None)
        return scripted

    return Tools(
        model=Artifact(model, folder),
        open_model=open_model,
        prompts=lambda: PromptFormat(ByteTokenizer(chat=False)),
        open_encoder=lambda artifact: cast(SentenceEncoder, encoder),
        keep=Keep(Run(folder), Reporter(quiet=True)),
    )


def make_asked(folder: Path, **changes: Any) -> Asked:
    """Return how the scripted model is asked; the folder holds its weights."""
    asked = Asked(Artifact("base", folder), "plain", EngineSettings(), "Name the team.", None, 0)
    return dataclasses.replace(asked, **changes)


def make_material(folder: Path, **changes: Any) -> Material:
    """Return material for a task with two labels and an example of each."""
    return dataclasses.replace(Material(LABELS, asked=make_asked(folder), examples=EXAMPLES), **changes)
