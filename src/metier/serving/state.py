"""What all endpoints share: what is served, the thread that answers, and how an endpoint asks it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, TypeVar

from fastapi import Request

from metier.serving.counts import Counts
from metier.serving.errors import ApiError
from metier.serving.guided import Guide
from metier.serving.model import Model, Outcome, Piece
from metier.serving.schema_check import SchemaCheck
from metier.serving.served import Served
from metier.serving.settings import ServeSettings
from metier.serving.worker import Job, QueueFull, Stopping, Worker

T = TypeVar("T")
_GONE = 499  # nobody reads it: the client has closed the connection


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """What all endpoints share."""

    settings: ServeSettings
    served: Served
    worker: Worker
    counts: Counts
    schemas: SchemaCheck

    def deadline(self) -> float:
        """Return by when a request that comes now has to be answered, by the event loop's clock."""
        return asyncio.get_running_loop().time() + self.settings.timeout

    async def check(self, guide: Guide) -> None:
        """Refuse a guide whose schema cannot be followed.

        Raises:
            ApiError: It cannot, or the server has too many to try.
        """
        if guide.schema is not None:
            await self.schemas.check(guide.schema, self.deadline())

    async def ask(
        self, request: Request | None, model: Model, questions: Sequence[Any], until: float | None = None
    ) -> list[Outcome]:
        """Put questions to a model and wait for what it answers.

        Args:
            request: Where they come from; None: whoever sends the response notices if the client goes.
            model: Who answers.
            questions: What is asked.
            until: What `deadline` said when the request came, where it asks more than once.

        Raises:
            ApiError: The queue is full, the server stops, it took too long, or the client has gone.
        """
        begun = time.monotonic()
        job = self._taken(lambda: self.worker.ask(model, questions))
        answered: asyncio.Future[list[Outcome]] = asyncio.wrap_future(job.future)
        try:
            outcomes = await self._before(answered, until or self.deadline(), request)
        finally:
            self.worker.drop(job)
        self._finished(model, questions, outcomes, begun)
        return outcomes

    async def stream(self, request: Request, model: Model, question: Any) -> AsyncGenerator[Piece | Outcome]:
        """Yield a model's answer to a question piece by piece, and the outcome; closing the iterator stops the model.

        Until the first piece is there, nothing of the response has been sent, and it is here that is noticed if the
        client goes; after that, whoever sends the response notices it.

        Raises:
            ApiError: The queue is full, the server stops, it took too long, or the client has gone.
        """
        begun = time.monotonic()
        loop, until = asyncio.get_running_loop(), self.deadline()
        pieces: asyncio.Queue[Piece | Outcome | Exception] = asyncio.Queue()

        def told(piece: Piece | Outcome | Exception) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended with the server
                loop.call_soon_threadsafe(pieces.put_nowait, piece)

        job = self._taken(lambda: self.worker.stream(model, question, told))
        watched: Request | None = request
        try:
            while True:
                next_one = asyncio.ensure_future(pieces.get())
                piece = await self._before(next_one, until, watched)
                if isinstance(piece, Exception):
                    raise piece
                if watched is not None:
                    self.counts.begun(model.name, time.monotonic() - begun)
                watched = None
                if isinstance(piece, Outcome):
                    self._finished(model, [question], [piece], begun)
                    yield piece
                    return
                yield piece
        finally:
            self.worker.drop(job)

    def _finished(self, model: Model, questions: Sequence[Any], outcomes: Sequence[Outcome], begun: float) -> None:
        self.counts.answered(model.name, outcomes, time.monotonic() - begun)
        if self.settings.log_text:
            for question, outcome in zip(questions, outcomes, strict=True):
                told = {"model": model.name, "asked": str(question), "answered": outcome.texts}
                print(json.dumps(told, ensure_ascii=False), file=sys.stderr, flush=True)

    async def _before(self, wanted: asyncio.Future[T], until: float, request: Request | None) -> T:
        """Return a result, if it is there before the time is over or the client goes."""
        gone = asyncio.ensure_future(_gone(request)) if request is not None else None
        waited: set[asyncio.Future[Any]] = {wanted} if gone is None else {wanted, gone}
        try:
            left = until - asyncio.get_running_loop().time()
            await asyncio.wait(waited, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
            if wanted.done():
                return wanted.result()
            if gone is not None and gone.done():
                raise ApiError(_GONE, "the client has gone")
            raise ApiError(504, f"not answered within {self.settings.timeout:g} seconds", code="timeout")
        finally:
            wanted.cancel()
            if gone is not None:
                gone.cancel()

    @staticmethod
    def _taken(put: Callable[[], Job]) -> Job:
        try:
            return put()
        except QueueFull as error:
            raise ApiError(429, f"{error.message}; try again later", code="queue_full", retry_after=1) from error
        except Stopping as error:
            raise ApiError(503, error.message, code="stopping", retry_after=5) from error


async def _gone(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
