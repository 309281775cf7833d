"""Generates with one engine, and scores with another if the first cannot score. Knows nothing about either."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from metier.engines.base import (
    CannotScore,
    Engine,
    EngineStats,
    Generation,
    GenerationRequest,
    Progress,
    Scores,
    ScoringRequest,
)


class SplitEngine:
    """One engine made of two: one generates, and another scores if need be.

    Args:
        writer: Generates, and scores if it can.
        open_scorer: Opens the engine that scores if the writer cannot; called once, at first need.
    """

    def __init__(self, writer: Engine, open_scorer: Callable[[], Engine]) -> None:
        self._writer = writer
        self._open_scorer = open_scorer
        self._scorer: Engine | None = None

    @property
    def stats(self) -> EngineStats:
        """What both have done together."""
        if self._scorer is None:
            return self._writer.stats
        both = zip(dataclasses.astuple(self._writer.stats), dataclasses.astuple(self._scorer.stats), strict=True)
        return EngineStats(*(one + other for one, other in both))

    @property
    def context_length(self) -> int:
        """The most tokens a prompt and its answer may have together."""
        return self._writer.context_length

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return self._writer.count_tokens(texts)

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Continue every prompt with the first engine."""
        return self._writer.generate(requests, progress)

    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Score with the first engine, or with the second once the first has failed with `CannotScore`."""
        if self._scorer is None:
            try:
                return self._writer.score(requests, progress)
            except CannotScore:
                self._scorer = self._open_scorer()
        return self._scorer.score(requests, progress)
