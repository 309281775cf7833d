"""How likely an answer's tokens were, in the two shapes that OpenAI's clients read."""

from __future__ import annotations

import codecs
import dataclasses
from collections.abc import Sequence

from pydantic import BaseModel

from metier.engines.base import Chance, Step

_LEAST = -9999.0  # what OpenAI gives for a token that is as good as impossible: JSON has no infinity


class ToldChance(BaseModel):
    """A token and its natural-log probability; bytes that are no whole character are told by their numbers."""

    token: str
    logprob: float
    bytes: list[int]


class ToldStep(ToldChance):
    """A token of an answer."""

    top_logprobs: list[ToldChance]


class ChatLogprobs(BaseModel):
    """An answer's tokens, as ``/v1/chat/completions`` gives them."""

    content: list[ToldStep]
    refusal: None = None


class CompletionLogprobs(BaseModel):
    """An answer's tokens, as ``/v1/completions`` gives them.

    Attributes:
        tokens: They.
        token_logprobs: How likely each was.
        top_logprobs: At each place, the likeliest tokens and the one that was taken.
        text_offset: Where each begins in the answer, in characters.
    """

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer.

    Attributes:
        step: It, and what might have stood in its place.
        begins: Where it begins in the answer, in characters.
    """

    step: Step
    begins: int


class Tokens:
    """The tokens of an answer that is told as it is written.

    The answer may be a part of what is written: without space around it, and cut at a stop string.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._written = ""
        self._steps: list[tuple[Step, int]] = []  # and where each begins in what is written
        self._told = 0

    def note(self, steps: Sequence[Step]) -> None:
        """Take down what was written next."""
        for step in steps:
            self._steps.append((step, len(self._written)))
            self._written += self._decoder.decode(step.taken.token)

    def within(self, text: str) -> tuple[Token, ...]:
        """Return the tokens that begin within the answer so far and were not returned before."""
        first = max(0, (self._written + "\ufffd").find(text))  # the last character may not be whole
        end = first + len(text)
        fresh = [Token(step, max(0, begin - first)) for step, begin in self._steps[self._told :] if begin < end]
        self._told += len(fresh)
        return tuple(fresh)


def tokens_of(steps: Sequence[Step], text: str) -> tuple[Token, ...]:
    """Return the tokens of a whole answer."""
    tokens = Tokens()
    tokens.note(steps)
    return tokens.within(text)


def for_chat(tokens: Sequence[Token]) -> ChatLogprobs:
    """Return what is told of tokens."""
    return ChatLogprobs(
        content=[
            ToldStep(**_told(t.step.taken).model_dump(), top_logprobs=[_told(chance) for chance in t.step.top])
            for t in tokens
        ]
    )


def for_completion(tokens: Sequence[Token]) -> CompletionLogprobs:
    """Return what is told of tokens."""
    return CompletionLogprobs(
        tokens=[_name(t.step.taken) for t in tokens],
        token_logprobs=[_value(t.step.taken) for t in tokens],
        top_logprobs=[{_name(chance): _value(chance) for chance in (*t.step.top, t.step.taken)} for t in tokens],
        text_offset=[t.begins for t in tokens],
    )


def _told(chance: Chance) -> ToldChance:
    return ToldChance(token=_name(chance), logprob=_value(chance), bytes=list(chance.token))


def _name(chance: Chance) -> str:
    return chance.token.decode("utf-8", "backslashreplace")


def _value(chance: Chance) -> float:
    return max(chance.logprob, _LEAST)
