"""``POST /rewrite``: a text rewritten sentence by sentence, as ``metier rewrite`` does, with what changed in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import anyio.from_thread
import anyio.to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel

from metier.rewriting.diff import word_diff
from metier.rewriting.pieces import Piece, pieces
from metier.rewriting.rewrite import Proposal, Rewritten
from metier.runs.rewriting import check_rewrites, rewrite_pieces
from metier.serving.errors import documented
from metier.serving.served import Question, ServedProduct
from metier.serving.shapes import Asked
from metier.serving.state import State
from metier.serving.texts import inputs_of

_OPS: dict[str, Literal["equal", "insert", "delete"]] = {"same": "equal", "new": "insert", "gone": "delete"}


class RewriteRequest(Asked):
    """What is asked."""

    model: str
    text: str
    by: Literal["sentence", "paragraph"] = "sentence"


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


def routes(state: State) -> APIRouter:
    """Return the endpoint."""
    router = APIRouter()

    @router.post("/rewrite", responses=documented(400, 404, 413, 429, 503, 504))
    async def rewrite(request: Request, asked: RewriteRequest) -> RewriteResponse:
        """Return a text with its prose rewritten, and what became of each piece."""
        model = state.served.product(asked.model)
        check_rewrites(model.product)
        inputs_of(asked.text, "text")
        return await anyio.to_thread.run_sync(_rewritten, state, request, model, asked, state.deadline())

    return router


def _rewritten(
    state: State, request: Request, model: ServedProduct, asked: RewriteRequest, until: float
) -> RewriteResponse:
    """Rewrite in a thread of its own, which asks for a few sentences at a time, so that others are not kept waiting."""

    def propose(texts: Sequence[str]) -> list[Proposal]:
        questions = [Question(text) for text in texts]
        outcomes = anyio.from_thread.run(state.ask, request, model, questions, until)
        return [Proposal(outcome.texts[0], outcome.reasons[0] == "stop") for outcome in outcomes]

    parts = pieces(asked.text, by=asked.by)
    made = rewrite_pieces(parts, propose)
    return RewriteResponse(
        model=model.name,
        text="".join(piece.after for piece in made),
        pieces=[_told(part, piece) for part, piece in zip(parts, made, strict=True)],
    )


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
