"""How likely an answer's tokens were, in the two shapes that OpenAI's clients read."""

from __future__ import annotations

import codecs
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


def for_chat(steps: Sequence[Step], text: str) -> ChatLogprobs:
    """Return what is told of an answer's tokens."""
    return ChatLogprobs(
        content=[
            ToldStep(**_told(step.taken).model_dump(), top_logprobs=[_told(chance) for chance in step.top])
            for step in steps[: len(_offsets(steps, text))]
        ]
    )


def for_completion(steps: Sequence[Step], text: str) -> CompletionLogprobs:
    """Return what is told of an answer's tokens."""
    offsets = _offsets(steps, text)
    inside = steps[: len(offsets)]
    return CompletionLogprobs(
        tokens=[_name(step.taken) for step in inside],
        token_logprobs=[_value(step.taken) for step in inside],
        top_logprobs=[{_name(chance): _value(chance) for chance in (*step.top, step.taken)} for step in inside],
        text_offset=offsets,
    )


def _offsets(steps: Sequence[Step], text: str) -> list[int]:
    """Return where the tokens that begin within an answer do so.

    The answer may be a part of what was written: without space around it, and cut at a stop string.
    """
    reader = codecs.getincrementaldecoder("utf-8")("replace")
    begins, written = [], ""
    for step in steps:
        begins.append(len(written))
        written += reader.decode(step.taken.token)
    first = max(0, (written + reader.decode(b"", final=True)).find(text))
    return [max(0, begin - first) for begin in begins if begin < first + len(text)]


def _told(chance: Chance) -> ToldChance:
    return ToldChance(token=_name(chance), logprob=_value(chance), bytes=list(chance.token))


def _name(chance: Chance) -> str:
    return chance.token.decode("utf-8", "backslashreplace")


def _value(chance: Chance) -> float:
    return max(chance.logprob, _LEAST)
