"""Lets a product's model write with a schema to keep to, or with what is told of its tokens.

Evaluation does neither, so such answers do not come out of the System itself: its model is asked as the System asks it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from metier.engines.base import Generation, GenerationRequest, Guides, Step, Streams, ToldOfTokens
from metier.systems.asker import Asker, Asks
from metier.systems.base import Learned, Writes


@dataclasses.dataclass(frozen=True, slots=True)
class Guide:
    """What is wished for an answer while it is written.

    Attributes:
        schema: A JSON schema that it has to satisfy; None: it may be any text.
        top: How many of the likeliest tokens are told at each step, beside the one taken; None: nothing is told.
    """

    schema: str | None = None
    top: int | None = None

    def __bool__(self) -> bool:
        return self.schema is not None or self.top is not None


NO_GUIDE = Guide()


@dataclasses.dataclass(frozen=True, slots=True)
class Guided:
    """An answer.

    Attributes:
        text: It; empty where the input did not fit the model's context.
        ended: Whether the model came to its end.
        steps: Its tokens, where they were asked for.
    """

    text: str
    ended: bool
    steps: tuple[Step, ...]


def asker_of(learned: Learned) -> Asker | None:
    """Return what asks the model of a System that writes and can be guided; None for any other System."""
    if not (isinstance(learned, Writes) and isinstance(learned, Asks)):
        return None
    engine = learned.asker.engine
    return learned.asker if isinstance(engine, Guides) and engine.guides and isinstance(engine, Streams) else None


def write(asker: Asker, texts: Sequence[str], guides: Sequence[Guide]) -> list[Guided]:
    """Return answers to inputs; those without a guide are written beside the others."""
    asked = [_request(asker, text, guide) for text, guide in zip(texts, guides, strict=True)]
    fitting = asker.fitting([request.prompt for request in asked], asker.max_tokens)
    made = dict(zip(fitting, asker.engine.generate([asked[i] for i in fitting]), strict=True))
    nothing = Generation(("",), (True,))
    return [_read(asker, made.get(i, nothing)) for i in range(len(texts))]


def stream(asker: Asker, text: str, guide: Guide, told: ToldOfTokens) -> Iterator[str]:
    """Yield the answer to an input piece by piece; joined, they are what `write` returns.

    Args:
        asker: Asks the model.
        text: The input.
        guide: What is wished for the answer.
        told: Called with its tokens before the piece that they are in, where they are asked for.
    """
    return asker.streamed(_request(asker, text, guide), told)


def _request(asker: Asker, text: str, guide: Guide) -> GenerationRequest:
    return dataclasses.replace(asker.request(text), schema=guide.schema, top=guide.top)


def _read(asker: Asker, made: Generation) -> Guided:
    return Guided(asker.prompts.read_answer(made.texts[0]), made.finished[0], made.steps[0] if made.steps else ())
