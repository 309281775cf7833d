"""A base model as it is, served beside the products that are made of it: it continues conversations and texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from metier.engines.base import Engine, GenerationRequest, Guides, Streams
from metier.engines.prompts import Prompt, PromptFormat
from metier.serving.beginning import Beginning
from metier.serving.cutting import Reason
from metier.serving.guided import NO_GUIDE, Guide
from metier.serving.logprobs import Tokens
from metier.serving.model import Outcome, Piece, Pieces

_LONGEST = 512  # tokens of an answer whose length nobody has said


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Sampling:
    """How a base model is to write.

    Attributes:
        temperature: 0 always takes the likeliest token.
        samples: How many answers.
        seed: Seeds them.
        stop: Strings that end an answer.
        tokens: The most tokens an answer may have; None: as many as fit, up to 512.
        guide: What else is wished for an answer.
    """

    temperature: float
    samples: int
    seed: int
    stop: tuple[str, ...]
    tokens: int | None
    guide: Guide = NO_GUIDE


@dataclasses.dataclass(frozen=True, slots=True)
class BaseQuestion:
    """What a base model is asked: a conversation, or a text to continue."""

    asked: tuple[Message, ...] | str
    sampling: Sampling

    @property
    def guide(self) -> Guide:
        """What else is wished for an answer."""
        return self.sampling.guide

    def __str__(self) -> str:
        if isinstance(self.asked, str):
            return self.asked
        return "\n".join(f"{message.role}: {message.text}" for message in self.asked)


@dataclasses.dataclass(frozen=True, slots=True)
class ServedBase:
    """A base model under its catalogue name.

    Attributes:
        name: Its name.
        engine: Runs it.
        prompts: How its prompts are written.
        created: When a product of it was made, in seconds since 1970.
        beginning: What its prompts have in common.
    """

    name: str
    engine: Engine
    prompts: PromptFormat
    created: int
    beginning: Beginning = dataclasses.field(default_factory=Beginning)

    @property
    def together(self) -> bool:
        """Whether requests may be put together without a change to their answers."""
        return True

    @property
    def streams(self) -> bool:
        """Whether it says what it has written so far."""
        return isinstance(self.engine, Streams)

    @property
    def guides(self) -> bool:
        """Whether it keeps to a JSON schema, and tells how likely tokens were."""
        return isinstance(self.engine, Guides) and self.engine.guides

    def answer(self, questions: Sequence[BaseQuestion]) -> list[Outcome]:
        """Write what is asked for."""
        prompts = self.beginning.shared([self._prompt(question) for question in questions])
        sizes = [len(self.prompts.tokens(prompt)) for prompt in prompts]
        requests = [self._request(q, prompt, size) for q, prompt, size in zip(questions, prompts, sizes, strict=True)]
        fitting = [request for request in requests if request is not None]
        made = iter(self.engine.generate(fitting))
        out = []
        for request, size in zip(requests, sizes, strict=True):
            if request is None:
                out.append(Outcome((), (), size, 0, fits=False))
                continue
            found = next(made)
            reasons: tuple[Reason, ...] = tuple("stop" if ended else "length" for ended in found.finished)
            written = sum(self.engine.count_tokens(found.texts))
            out.append(Outcome(found.texts, reasons, size, written, steps=found.steps))
        return out

    def stream(self, question: BaseQuestion) -> Pieces:
        """Write the answer to one question piece by piece."""
        (prompt,) = self.beginning.shared([self._prompt(question)])
        size = len(self.prompts.tokens(prompt))
        request = self._request(question, prompt, size)
        if request is None:
            yield Outcome((), (), size, 0, fits=False)
            return
        if not isinstance(self.engine, Streams):
            (whole,) = self.answer([question])
            yield Piece(whole.texts[0])
            yield whole
            return
        text, tokens = "", Tokens()
        for piece in self.engine.stream(request, tokens.note):
            text += piece
            yield Piece(piece, tokens.within(text))
        written = self.engine.count_tokens([text])[0]
        yield Outcome((text,), ("stop" if written < request.max_tokens else "length",), size, written)

    def _prompt(self, question: BaseQuestion) -> Prompt:
        if isinstance(question.asked, str):
            return self.prompts.continuation("", question.asked)
        return self.prompts.chat([(message.role, message.text) for message in question.asked])

    def _request(self, question: BaseQuestion, prompt: Prompt, size: int) -> GenerationRequest | None:
        """Return what the engine is asked; None where it does not fit the model's context."""
        wanted = question.sampling
        left = self.engine.context_length - size
        longest = wanted.tokens if wanted.tokens is not None else min(_LONGEST, left)
        if longest < 1 or longest > left:
            return None
        return GenerationRequest(
            prompt,
            wanted.samples,
            longest,
            wanted.temperature,
            stop=wanted.stop,
            seed=wanted.seed,
            schema=wanted.guide.schema,
            top=wanted.guide.top,
        )
