"""Lets a base model decide: how likely each of some options is as the answer to a question about a text.

Each option's likelihood after the text is set against its likelihood after a text that says nothing (Zhao et al. 2021,
arXiv 2102.09690), so that neither an option's length nor how common its words are counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from metier.engines.base import ScoringRequest
from metier.engines.prompts import Prompt
from metier.serving.base_model import ServedBase
from metier.serving.model import Outcome, Pieces
from metier.systems.product import Answer

_SAYS_NOTHING = "N/A"


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """A question about a text.

    Attributes:
        text: The text.
        asked: The question; empty: the options say it all.
        options: What may be answered, with what is said of each; None: nothing.
    """

    text: str
    asked: str
    options: tuple[tuple[str, str | None], ...]

    def __str__(self) -> str:
        return f"{self.asked}\n{self.text}"


@dataclasses.dataclass(frozen=True, slots=True)
class Decider:
    """A base model that decides."""

    base: ServedBase

    @property
    def name(self) -> str:
        """The base model's name."""
        return self.base.name

    @property
    def together(self) -> bool:
        """Whether requests may be put together without a change to their answers."""
        return True

    def answer(self, questions: Sequence[Decision]) -> list[Outcome]:
        """Say how likely each question's options are."""
        asked = [self._requests(question) for question in questions]
        scores = iter(self.base.engine.score([request for pair in asked if pair is not None for request in pair[0]]))
        out = []
        for question, pair in zip(questions, asked, strict=True):
            if pair is None:
                out.append(Outcome((), (), 0, 0, fits=False))
                continue
            own, nothing = next(scores), next(scores)
            gained = np.array(own.logprobs) - np.array(nothing.logprobs)
            shares = np.exp(gained - np.logaddexp.reduce(gained)).tolist()
            names = [name for name, _ in question.options]
            likely = {name: round(share, 6) for name, share in zip(names, shares, strict=True)}
            best = max(likely, key=lambda name: likely[name])
            out.append(Outcome((best,), ("stop",), pair[1], 0, answer=Answer(best, likely[best], False, likely)))
        return out

    def stream(self, question: Decision) -> Pieces:
        """Decide; there is nothing to tell before that."""
        yield self.answer([question])[0]

    def _requests(self, question: Decision) -> tuple[tuple[ScoringRequest, ScoringRequest], int] | None:
        """Return what is scored, and the prompt's tokens; None where it does not fit the model's context.

        The options are listed with what is said of them, without it, or not at all, as they fit.
        """
        engine, prompts = self.base.engine, self.base.prompts
        continuations = tuple(prompts.answer(name) for name, _ in question.options)
        room = max(engine.count_tokens(continuations)) + 1
        for instruction in _instructions(question):
            pair = [prompts.task(instruction, (), text) for text in (question.text, _SAYS_NOTHING)]
            sizes = [self._size(prompt) for prompt in pair]
            if max(sizes) + room <= engine.context_length:
                own, nothing = (ScoringRequest(prompt, continuations) for prompt in pair)
                return (own, nothing), sizes[0]
        return None

    def _size(self, prompt: Prompt) -> int:
        return len(self.base.prompts.tokens(prompt))


def _instructions(question: Decision) -> Iterator[str]:
    """Yield what the model is told to do, the longest first."""
    full = [f"- {name}: {said}" if said else f"- {name}" for name, said in question.options]
    bare = [f"- {name}" for name, _ in question.options]
    for listed in (full, bare):
        yield "\n".join([question.asked, "Answer with one of:", *listed]).strip()
    yield question.asked or "Answer with one word."
