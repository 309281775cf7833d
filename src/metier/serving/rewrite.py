"""``POST /rewrite``: a text rewritten sentence by sentence, as ``metier rewrite`` does, with what changed in each."""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from typing import Literal

import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, format_sse_event
from pydantic import BaseModel

from metier.core.errors import MetierError
from metier.rewriting.diff import word_diff
from metier.rewriting.pieces import Piece, pieces
from metier.rewriting.rewrite import Proposal, Rewritten, one_line
from metier.runs.rewriting import check_rewrites, rewrite_pieces
from metier.serving.errors import ApiError, api_error, streamed
from metier.serving.served import Question, ServedProduct
from metier.serving.shapes import Asked
from metier.serving.state import State
from metier.serving.texts import inputs_of

_OPS: dict[str, Literal["equal", "insert", "delete"]] = {"same": "equal", "new": "insert", "gone": "delete"}
_ANSWERED = 64  # sentences that are asked for together
_STREAMED = 8  # the same, where they are waited for


class RewriteRequest(Asked):
    """What is asked."""

    model: str
    text: str
    by: Literal["sentence", "paragraph"] = "sentence"
    stream: bool = False


class Change(BaseModel):
    """A part of a piece: both versions have it, or one of them has."""

    op: Literal["equal", "insert", "delete"]
    text: str


class RewrittenPiece(BaseModel):
    """A piece of the text.

    Attributes:
        before: As it was.
        after: What replaces it.
        prose: Whether it is a sentence or paragraph that may be rewritten.
        changed: Whether it is different now.
        reason: Why a change was rejected; None if it was made, or there was none.
        diff: What changed, word by word.
    """

    before: str
    after: str
    prose: bool
    changed: bool
    reason: str | None
    diff: list[Change]


class RewriteResponse(BaseModel):
    """The new text, and the pieces that it is joined of."""

    model: str
    text: str
    pieces: list[RewrittenPiece]


class RewriteEvent(BaseModel):
    """A piece of a streamed text.

    Attributes:
        index: Its place.
        of: How many pieces there are.
        piece: What became of it.
    """

    index: int
    of: int
    piece: RewrittenPiece


def routes(state: State) -> APIRouter:
    """Return the endpoint."""
    router = APIRouter()

    @router.post("/rewrite", response_model=RewriteResponse, responses=streamed(400, 404, 413, 429, 503, 504))
    async def rewrite(request: Request, asked: RewriteRequest) -> Response:
        """Return a text with its prose rewritten, and what became of each piece; with ``stream``, a piece an event."""
        model = state.served.product(asked.model)
        check_rewrites(model.product)
        inputs_of(asked.text, "text")
        events = _rewritten(state, request, model, asked)
        if asked.stream:
            return EventSourceResponse(_sent(await anext(events), events))
        made = [event.piece async for event in events]
        whole = RewriteResponse(model=model.name, text="".join(piece.after for piece in made), pieces=made)
        return Response(whole.model_dump_json(), media_type="application/json")

    return router


async def _rewritten(
    state: State, request: Request, model: ServedProduct, asked: RewriteRequest
) -> AsyncGenerator[RewriteEvent]:
    """Yield the pieces in order; a few sentences are asked for at a time, so that others are not kept waiting."""
    until = state.deadline()
    at_once = _STREAMED if asked.stream else _ANSWERED
    parts = await anyio.to_thread.run_sync(functools.partial(pieces, by=asked.by), asked.text)
    known: dict[str, Proposal] = {}
    watched: Request | None = request
    index = 0
    for some in _portions(parts, at_once):
        texts = list(dict.fromkeys(one_line(part.text) for part in some if part.prose))
        if new := [text for text in texts if text not in known]:
            outcomes = await state.ask(watched, model, [Question(text) for text in new], until)
            known |= {t: Proposal(o.texts[0], o.reasons[0] == "stop") for t, o in zip(new, outcomes, strict=True)}
        for piece in await anyio.to_thread.run_sync(_decided, some, known):
            yield RewriteEvent(index=index, of=len(parts), piece=piece)
            index += 1
            watched = None if asked.stream else request


def _portions(parts: Sequence[Piece], prose: int) -> Iterator[list[Piece]]:
    """Yield the pieces of a text in portions with so many pieces of prose."""
    portion: list[Piece] = []
    for part in parts:
        if part.prose and sum(one.prose for one in portion) == prose:
            yield portion
            portion = []
        portion.append(part)
    if portion:
        yield portion


def _decided(parts: Sequence[Piece], known: Mapping[str, Proposal]) -> list[RewrittenPiece]:
    made = rewrite_pieces(parts, lambda texts: [known[text] for text in texts])
    return [_told(part, piece) for part, piece in zip(parts, made, strict=True)]


async def _sent(first: RewriteEvent, rest: AsyncGenerator[RewriteEvent]) -> AsyncIterator[bytes]:
    """Yield a streamed response; where rewriting fails, an error takes the place of what is missing."""
    try:
        yield format_sse_event(data_str=first.model_dump_json())
        async for event in rest:
            yield format_sse_event(data_str=event.model_dump_json())
        yield format_sse_event(data_str="[DONE]")
    except (ApiError, MetierError) as error:
        yield format_sse_event(data_str=json.dumps(api_error(error).body))
    finally:
        await rest.aclose()


def _told(part: Piece, made: Rewritten) -> RewrittenPiece:
    changes = word_diff(made.before, made.after) if made.changed else [("same", made.before)]
    return RewrittenPiece(
        before=made.before,
        after=made.after,
        prose=part.prose,
        changed=made.changed,
        reason=made.reason,
        diff=[Change(op=_OPS[kind], text=text) for kind, text in changes],
    )
