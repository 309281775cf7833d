"""Cuts an answer at the first stop string, or after so many tokens, also while it is being written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

Reason = Literal["stop", "length"]
Count = Callable[[Sequence[str]], list[int]]


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Where an answer is to end.

    Attributes:
        stop: Strings that end it; they are not part of it.
        tokens: The most tokens it may have; None: as many as the model gives it.
    """

    stop: tuple[str, ...] = ()
    tokens: int | None = None


NO_LIMITS = Limits()


class Cutter:
    """Passes on the part of an answer that is within its limits.

    Args:
        limits: Where it is to end.
        count: Counts texts' tokens.

    Attributes:
        text: What has been passed on.
        reason: Why it was cut; None while it was not.
    """

    def __init__(self, limits: Limits, count: Count) -> None:
        self._limits = limits
        self._count = count
        self._held = ""
        self.text = ""
        self.reason: Reason | None = None

    def pieces(self, given: Iterable[str]) -> Iterator[str]:
        """Yield an answer that comes in pieces up to where it is cut."""
        for piece in given:
            if told := self._next(piece):
                yield told
            if self.reason is not None:
                return
        if told := self._passed_on(self._held):
            yield told

    def whole(self, text: str) -> str:
        """Return a whole answer up to where it is cut."""
        return "".join(self.pieces([text]))

    def _next(self, piece: str) -> str:
        self._held += piece
        places = [place for stop in self._limits.stop if (place := self._held.find(stop)) >= 0]
        if places:
            told = self._passed_on(self._held[: min(places)])
            self.reason = self.reason or "stop"
            return told
        begun = max((_begun(self._held, stop) for stop in self._limits.stop), default=0)
        ready = self._held[: len(self._held) - begun]
        self._held = self._held[len(ready) :]
        return self._passed_on(ready)

    def _passed_on(self, ready: str) -> str:
        most = self._limits.tokens
        if most is not None and self._count([self.text + ready])[0] > most:
            ready = self._within(ready, most)
            self.reason = "length"
        self.text += ready
        return ready

    def _within(self, ready: str, most: int) -> str:
        """Return the longest beginning that keeps the answer within so many tokens."""
        low, high = 0, len(ready)
        while low < high:
            middle = (low + high + 1) // 2
            if self._count([self.text + ready[:middle]])[0] <= most:
                low = middle
            else:
                high = middle - 1
        return ready[:low]


def _begun(text: str, stop: str) -> int:
    """Return how many characters at the end of a text may be the beginning of a stop string."""
    return next((size for size in range(len(stop) - 1, 0, -1) if text.endswith(stop[:size])), 0)
