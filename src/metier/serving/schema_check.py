"""Whether the JSON schemas that requests bring can be followed; each is tried once, in a process of its own."""

from __future__ import annotations

import asyncio
import collections

import anyio
import anyio.to_thread

from metier.engines.schemas import NotTried, why_not
from metier.serving.errors import ApiError, clean

_KEPT = 256  # schemas whose outcome is kept
_AT_ONCE = 2  # processes
_PARAM = "response_format"


class SchemaCheck:
    """Tries schemas.

    Args:
        waiting: Requests that wait for it at most; more are refused.
    """

    def __init__(self, waiting: int) -> None:
        self._most = waiting + _AT_ONCE
        self._inside = 0
        self._known: collections.OrderedDict[str, str | None] = collections.OrderedDict()
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def check(self, schema: str, until: float) -> None:
        """Refuse a schema that cannot be followed.

        Args:
            schema: The schema.
            until: When to give up, by the event loop's clock.

        Raises:
            ApiError: It cannot, too many wait, or it took too long.
        """
        if schema not in self._known:
            self._keep(schema, await self._tried(schema, until))
        self._known.move_to_end(schema)
        if (reason := self._known[schema]) is not None:
            raise ApiError(
                400, f"{_PARAM}: the schema cannot be followed: {clean(reason)}", param=_PARAM, code="invalid_value"
            )

    async def _tried(self, schema: str, until: float) -> str | None:
        if self._inside >= self._most:
            raise ApiError(429, "too many schemas wait to be tried; try again later", code="queue_full", retry_after=1)
        self._inside += 1
        try:
            async with asyncio.timeout_at(until):
                return await anyio.to_thread.run_sync(why_not, schema, limiter=self._limiter)
        except (TimeoutError, NotTried) as error:
            raise ApiError(504, "the schema was not compiled in time", code="timeout") from error
        finally:
            self._inside -= 1

    def _keep(self, schema: str, reason: str | None) -> None:
        self._known[schema] = reason
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
