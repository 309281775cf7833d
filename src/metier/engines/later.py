"""An engine that is opened when it is first asked. Knows nothing about what it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metier.engines.base import (
    Engine,
    EngineStats,
    Generation,
    GenerationRequest,
    Progress,
    Scores,
    ScoringRequest,
)


class LaterEngine:
    """Stands for an engine that cannot be opened yet.

    Args:
        open_engine: Opens it; called once, when something is first generated or scored.
        count_tokens: Counts the tokens of texts.
        context_length: The most tokens of a prompt and its answer.
    """

    def __init__(
        self,
        open_engine: Callable[[], Engine],
        count_tokens: Callable[[Sequence[str]], list[int]],
        context_length: int,
    ) -> None:
        self._open_engine = open_engine
        self._count, self._context = count_tokens, context_length
        self._engine: Engine | None = None

    @property
    def stats(self) -> EngineStats:
        """What the engine has done."""
        return self._engine.stats if self._engine is not None else EngineStats()

    @property
    def context_length(self) -> int:
        """The most tokens a prompt and its answer may have together."""
        return self._context

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return self._count(texts)

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Continue every prompt; see `Engine.generate`."""
        return self._opened().generate(requests, progress)

    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Score every prompt's continuations; see `Engine.score`."""
        return self._opened().score(requests, progress)

    def _opened(self) -> Engine:
        if self._engine is None:
            self._engine = self._open_engine()
        return self._engine
