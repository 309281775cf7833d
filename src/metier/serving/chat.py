"""``POST /v1/chat/completions``, as OpenAI's clients use it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from metier.serving.base_model import BaseQuestion, Message, ServedBase
from metier.serving.errors import ApiError, streamed
from metier.serving.logprobs import ChatLogprobs, for_chat, tokens_of
from metier.serving.model import Outcome, Piece
from metier.serving.served import Question, ServedProduct
from metier.serving.shapes import Asked, Usage, new_id, usage_of
from metier.serving.state import State
from metier.serving.texts import inputs_of
from metier.serving.wishes import Wishes, refused
from metier.serving.writing import Form, ToWrite, write

_MOST_MESSAGES = 256


class TextPart(Asked):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


class ChatMessage(Asked):
    """One message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(min_length=1)]
    name: str | None = None

    @property
    def text(self) -> str:
        """Its content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(Wishes):
    """What is asked."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=_MOST_MESSAGES)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def longest(self) -> int | None:
        """The most tokens an answer may have."""
        given = [limit for limit in (self.max_tokens, self.max_completion_tokens) if limit is not None]
        return min(given, default=None)

    @property
    def top(self) -> int | None:
        """How many of the likeliest tokens are told at each step; None: nothing is told of tokens."""
        if self.top_logprobs is not None and not self.logprobs:
            raise refused("top_logprobs", "only with logprobs")
        return (self.top_logprobs or 0) if self.logprobs else None


class ChatAnswer(BaseModel):
    """The message that answers."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """One answer."""

    index: int
    message: ChatAnswer
    logprobs: ChatLogprobs | None = None
    finish_reason: Literal["stop", "length"]


class ChatResponse(BaseModel):
    """All answers."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class Delta(BaseModel):
    """What a part adds to the message."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    """What a part adds to an answer."""

    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: Literal["stop", "length"] | None


class ChatChunk(BaseModel):
    """A part of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


def routes(state: State) -> APIRouter:
    """Return the endpoint."""
    router = APIRouter()

    @router.post(
        "/v1/chat/completions",
        response_model=ChatResponse,
        responses=streamed(400, 404, 413, 429, 503, 504),
    )
    async def chat(request: Request, asked: ChatRequest) -> Response:
        """Answer the last message of a user; with ``stream``, as server-sent events."""
        model = state.served.model(asked.model)
        question = _of_base(asked, model) if isinstance(model, ServedBase) else _of_product(asked, model)
        await state.check(question.guide)
        wanted = ToWrite(model, [question], bool(asked.stream), asked.include_usage)
        return await write(state, request, wanted, _form(model.name))

    return router


def _of_product(asked: ChatRequest, model: ServedProduct) -> Question:
    """Return what a product is asked: it takes an input, and no conversation.

    Raises:
        ApiError: There is more than one message, or something is wished for that it does not do.
    """
    roles = [message.role for message in asked.messages]
    if roles != ["user"]:
        what = f"a {roles[0]} message" if roles[0] in ("system", "developer") else f"{len(roles)} messages"
        raise ApiError(
            400,
            f"messages: {model.name} was made for one instruction and takes one user message, its input; it has {what}",
            param="messages",
            code="unsupported_value",
        )
    (text,) = inputs_of(asked.messages[0].text, "messages")
    return Question(text, asked.of_product(model), asked.guide(model))


def _of_base(asked: ChatRequest, model: ServedBase) -> BaseQuestion:
    sampling = asked.of_base(model)
    for message in asked.messages:
        inputs_of(message.text, "messages")
    roles = {"developer": "system"}
    said = tuple(Message(roles.get(message.role, message.role), message.text) for message in asked.messages)
    return BaseQuestion(said, sampling)


def _form(name: str) -> Form:
    """Return how this endpoint's responses are written."""
    own, created = new_id("chatcmpl"), int(time.time())

    def chunk(choices: list[ChunkChoice], usage: Usage | None = None) -> ChatChunk:
        more = {"usage": usage} if usage is not None else {}
        return ChatChunk(id=own, object="chat.completion.chunk", created=created, model=name, choices=choices, **more)

    def part(piece: Piece | None) -> ChatChunk:
        delta = Delta(role="assistant", content="") if piece is None else Delta(content=piece.text)
        told = {"logprobs": for_chat(piece.tokens)} if piece is not None and piece.tokens else {}
        return chunk([ChunkChoice(index=0, delta=delta, finish_reason=None, **told)])

    def whole(outcomes: Sequence[Outcome]) -> ChatResponse:
        (outcome,) = outcomes
        choices = [
            ChatChoice(
                index=place,
                message=ChatAnswer(content=text),
                logprobs=for_chat(tokens_of(outcome.steps[place], text)) if outcome.steps else None,
                finish_reason=reason,
            )
            for place, (text, reason) in enumerate(zip(outcome.texts, outcome.reasons, strict=True))
        ]
        return ChatResponse(id=own, created=created, model=name, choices=choices, usage=usage_of(outcomes))

    return Form(
        whole=whole,
        part=part,
        last=lambda outcome: chunk([ChunkChoice(index=0, delta=Delta(), finish_reason=outcome.reasons[0])]),
        counts=lambda outcome: chunk([], usage_of([outcome])),
        param="messages",
    )
