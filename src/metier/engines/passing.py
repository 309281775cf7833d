"""An engine that stands before another, and passes on what it does not do itself. Knows nothing about either."""

from __future__ import annotations

from collections.abc import Sequence

from metier.engines.base import Engine, EngineStats, Generation, GenerationRequest, Progress, Scores, ScoringRequest


class PassingEngine:
    """Passes everything on.

    Args:
        engine: Does it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def stats(self) -> EngineStats:
        """What the engine has done."""
        return self._engine.stats

    @property
    def context_length(self) -> int:
        """The most tokens a prompt and its answer may have together."""
        return self._engine.context_length

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return self._engine.count_tokens(texts)

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Continue every prompt; see `Engine.generate`."""
        return self._engine.generate(requests, progress)

    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Score every prompt's continuations; see `Engine.score`."""
        return self._engine.score(requests, progress)
