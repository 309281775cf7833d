"""What ``/v1/chat/completions`` and ``/v1/completions`` have in common: they ask, and send what comes.

Only the form of a response differs, whole or in parts; an endpoint gives it as functions.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

from fastapi import Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, format_sse_event
from pydantic import BaseModel

from metier.core.errors import MetierError
from metier.serving.base_model import BaseQuestion, ServedBase
from metier.serving.errors import ApiError, api_error
from metier.serving.model import Outcome, Piece
from metier.serving.served import Question, ServedProduct
from metier.serving.state import State
from metier.serving.texts import check_fits


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """How an endpoint writes its responses.

    Attributes:
        whole: From all outcomes to a response.
        part: From a piece of the text, or None at the beginning, to a part of a streamed one.
        last: From the outcome to the last part.
        counts: From the outcome to a part that has the counts of tokens alone.
        param: What the request calls its input.
    """

    whole: Callable[[Sequence[Outcome]], BaseModel]
    part: Callable[[Piece | None], BaseModel]
    last: Callable[[Outcome], BaseModel]
    counts: Callable[[Outcome], BaseModel]
    param: str


@dataclasses.dataclass(frozen=True, slots=True)
class ToWrite:
    """A request to write.

    Attributes:
        model: Who writes.
        questions: What to answer.
        stream: Whether it is sent in parts.
        include_usage: Whether a stream ends with the counts of tokens.
    """

    model: ServedProduct | ServedBase
    questions: Sequence[Question | BaseQuestion]
    stream: bool
    include_usage: bool


async def write(state: State, request: Request, wanted: ToWrite, form: Form) -> Response:
    """Answer a request to write.

    Raises:
        ApiError: It cannot be answered.
    """
    if not wanted.stream:
        outcomes = await state.ask(request, wanted.model, wanted.questions)
        check_fits(outcomes, form.param)
        return Response(form.whole(outcomes).model_dump_json(), media_type="application/json")
    if len(wanted.questions) > 1:
        raise ApiError(400, f"{form.param}: a stream answers one", param=form.param, code="unsupported_value")
    pieces = state.stream(request, wanted.model, wanted.questions[0])
    first = await anext(pieces)
    if isinstance(first, Outcome):
        check_fits([first], form.param)
    return EventSourceResponse(_sent(first, pieces, form, wanted.include_usage))


async def _sent(
    first: Piece | Outcome, rest: AsyncGenerator[Piece | Outcome], form: Form, include_usage: bool
) -> AsyncIterator[bytes]:
    """Yield a streamed response; where writing fails, an error takes the place of what is missing."""
    try:
        yield _event(form.part(None))
        piece: Piece | Outcome | None = first
        while isinstance(piece, Piece):
            yield _event(form.part(piece))
            piece = await anext(rest)
        assert piece is not None
        yield _event(form.last(piece))
        if include_usage:
            yield _event(form.counts(piece))
        yield format_sse_event(data_str="[DONE]")
    except (ApiError, MetierError) as error:
        yield format_sse_event(data_str=json.dumps(api_error(error).body))
    finally:
        await rest.aclose()


def _event(part: BaseModel) -> bytes:
    return format_sse_event(data_str=part.model_dump_json(exclude_unset=True))
