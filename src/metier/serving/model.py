"""What the thread that runs models runs, and what it makes: outcomes, and pieces of texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol, runtime_checkable

from metier.engines.base import Step
from metier.serving.cutting import Reason
from metier.serving.logprobs import Token
from metier.systems.product import Answer


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a model made of one question.

    Attributes:
        texts: Its answers; more than one where several were asked for.
        reasons: For each, why it ended: by itself or at a stop string, or because it may not be longer.
        prompt_tokens: Of the whole prompt; 0 without a language model.
        completion_tokens: Of all answers.
        fits: Whether the question fitted the model's context; the answers are empty if it did not.
        answer: A product's answer as `OpenProduct.answer` gave it.
        steps: For each answer its tokens, where they were asked for.
    """

    texts: tuple[str, ...]
    reasons: tuple[Reason, ...]
    prompt_tokens: int
    completion_tokens: int
    fits: bool = True
    answer: Answer | None = None
    steps: tuple[tuple[Step, ...], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text that is streamed.

    Attributes:
        text: It.
        tokens: The tokens that begin in it, where they were asked for.
    """

    text: str
    tokens: tuple[Token, ...] = ()


Told = Callable[[Piece | Outcome | Exception], None]
"""Called in the model's thread with each piece of a text; at the end with the outcome, or with what went wrong."""


Pieces = Generator[Piece | Outcome, None, None]
"""A text as it is written; the last that comes is the outcome."""


class Model(Protocol):
    """What the thread runs."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def together(self) -> bool:
        """Whether requests may be put together without a change to their answers."""
        ...

    def answer(self, questions: Sequence[Any]) -> list[Outcome]:
        """Answer questions together."""
        ...

    def stream(self, question: Any) -> Pieces:
        """Write the answer to one question piece by piece."""
        ...


@runtime_checkable
class Mixes(Protocol):
    """A model that can write in the same passes as others."""

    @property
    def kin(self) -> object | None:
        """The same object as that of those others; None: there are none."""
        ...

    def beside(self, asked: Sequence[tuple[Any, Sequence[Any]]]) -> Sequence[Model]:
        """Return all that are asked, with their questions, so that they know what they will write."""
        ...
