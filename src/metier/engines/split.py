"""Generates with one engine, and scores with another if the first cannot score. Knows nothing about either."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from metier.engines.base import CannotScore, Engine, EngineStats, Progress, Scores, ScoringRequest
from metier.engines.passing import PassingEngine


class SplitEngine(PassingEngine):
    """One engine made of two: one generates, and another scores if need be.

    Args:
        writer: Generates, and scores if it can.
        open_scorer: Opens the engine that scores if the writer cannot; called once, at first need.
    """

    def __init__(self, writer: Engine, open_scorer: Callable[[], Engine]) -> None:
        super().__init__(writer)
        self._open_scorer = open_scorer
        self._scorer: Engine | None = None

    @property
    def stats(self) -> EngineStats:
        """What both have done together."""
        if self._scorer is None:
            return self._engine.stats
        both = zip(dataclasses.astuple(self._engine.stats), dataclasses.astuple(self._scorer.stats), strict=True)
        return EngineStats(*(one + other for one, other in both))

    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Score with the first engine, or with the second once the first has failed with `CannotScore`."""
        if self._scorer is None:
            try:
                return self._engine.score(requests, progress)
            except CannotScore:
                self._scorer = self._open_scorer()
        return self._scorer.score(requests, progress)
