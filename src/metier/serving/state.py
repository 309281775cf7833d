"""What all endpoints share: what is served, the thread that answers, and how an endpoint asks it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import Request

from metier.serving.errors import ApiError
from metier.serving.served import Served
from metier.serving.settings import ServeSettings
from metier.serving.worker import Job, Model, Outcome, QueueFull, Stopping, Worker

_GONE = 499  # nobody reads it: the client has closed the connection


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """What all endpoints share."""

    settings: ServeSettings
    served: Served
    worker: Worker

    async def ask(self, request: Request, model: Model, questions: Sequence[Any]) -> list[Outcome]:
        """Put questions to a model and wait for what it answers.

        Raises:
            ApiError: The queue is full, the server stops, it took too long, or the client has gone.
        """
        job = self._taken(lambda: self.worker.ask(model, questions))
        answered: asyncio.Future[Any] = asyncio.wrap_future(job.future)
        gone: asyncio.Future[Any] = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait({answered, gone}, timeout=self.settings.timeout, return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                return answered.result()
            raise ApiError(_GONE, "the client has gone") if gone.done() else self.too_long()
        finally:
            gone.cancel()
            self.worker.drop(job)

    async def stream(self, model: Model, question: Any) -> AsyncIterator[str]:
        """Yield a model's answer to a question piece by piece; closing the iterator stops the model.

        Raises:
            ApiError: The queue is full, the server stops, or it took too long.
        """
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | Exception | None] = asyncio.Queue()

        def told(piece: str | Exception | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended with the server
                loop.call_soon_threadsafe(pieces.put_nowait, piece)

        job = self._taken(lambda: self.worker.stream(model, question, told))
        end = loop.time() + self.settings.timeout
        try:
            while True:
                try:
                    piece = await asyncio.wait_for(pieces.get(), end - loop.time())
                except TimeoutError as error:
                    raise self.too_long() from error
                if piece is None:
                    return
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.worker.drop(job)

    def too_long(self) -> ApiError:
        """Return the error for a request that takes too long."""
        return ApiError(504, f"not answered within {self.settings.timeout:g} seconds", code="timeout")

    @staticmethod
    def _taken(put: Any) -> Job:
        try:
            job: Job = put()
        except QueueFull as error:
            raise ApiError(429, f"{error.message}; try again later", code="queue_full", retry_after=1) from error
        except Stopping as error:
            raise ApiError(503, error.message, code="stopping", retry_after=5) from error
        return job


async def _gone(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
