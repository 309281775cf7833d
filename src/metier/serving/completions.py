"""``POST /v1/completions``, as OpenAI's clients use it: for a product the prompt is the input."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from metier.serving.base_model import BaseQuestion, ServedBase
from metier.serving.errors import streamed
from metier.serving.logprobs import CompletionLogprobs, for_completion, tokens_of
from metier.serving.model import Outcome, Piece
from metier.serving.served import Question
from metier.serving.shapes import Usage, new_id, usage_of
from metier.serving.state import State
from metier.serving.texts import inputs_of
from metier.serving.wishes import Wishes
from metier.serving.writing import Form, ToWrite, write


class CompletionRequest(Wishes):
    """What is asked."""

    prompt: str | list[str]
    echo: Literal[False] | None = None
    logprobs: int | None = Field(None, ge=0, le=5)

    @property
    def top(self) -> int | None:
        """How many of the likeliest tokens are told at each step; None: nothing is told of tokens."""
        return self.logprobs


class CompletionChoice(BaseModel):
    """One answer."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: Literal["stop", "length"] | None


class CompletionResponse(BaseModel):
    """All answers, or a part of a streamed one."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None


def routes(state: State) -> APIRouter:
    """Return the endpoint."""
    router = APIRouter()

    @router.post(
        "/v1/completions",
        response_model=CompletionResponse,
        responses=streamed(400, 404, 413, 429, 503, 504),
    )
    async def completions(request: Request, asked: CompletionRequest) -> Response:
        """Answer inputs, or let a base model continue texts; with ``stream``, as server-sent events."""
        model = state.served.model(asked.model)
        texts = inputs_of(asked.prompt, "prompt")
        questions: list[Question | BaseQuestion]
        if isinstance(model, ServedBase):
            sampling = asked.of_base(model)
            guide = sampling.guide
            questions = [BaseQuestion(text, sampling) for text in texts]
        else:
            limits, guide = asked.of_product(model), asked.guide(model)
            questions = [Question(text, limits, guide) for text in texts]
        await state.check(guide)
        wanted = ToWrite(model, questions, bool(asked.stream), asked.include_usage)
        return await write(state, request, wanted, _form(model.name))

    return router


def _form(name: str) -> Form:
    """Return how this endpoint's responses are written."""
    own, created = new_id("cmpl"), int(time.time())

    def response(choices: list[CompletionChoice], usage: Usage | None = None) -> CompletionResponse:
        more = {"usage": usage} if usage is not None else {}
        return CompletionResponse(
            id=own, object="text_completion", created=created, model=name, choices=choices, **more
        )

    def whole(outcomes: Sequence[Outcome]) -> CompletionResponse:
        choices: list[CompletionChoice] = []
        for outcome in outcomes:
            for place, (text, reason) in enumerate(zip(outcome.texts, outcome.reasons, strict=True)):
                told = for_completion(tokens_of(outcome.steps[place], text)) if outcome.steps else None
                choices.append(CompletionChoice(index=len(choices), text=text, logprobs=told, finish_reason=reason))
        return response(choices, usage_of(outcomes))

    def part(piece: Piece | None) -> CompletionResponse:
        told = {"logprobs": for_completion(piece.tokens)} if piece is not None and piece.tokens else {}
        return response([CompletionChoice(index=0, text=piece.text if piece else "", finish_reason=None, **told)])

    def last(outcome: Outcome) -> CompletionResponse:
        return response([CompletionChoice(index=0, text="", finish_reason=outcome.reasons[0])])

    return Form(whole, part, last, counts=lambda outcome: response([], usage_of([outcome])), param="prompt")
