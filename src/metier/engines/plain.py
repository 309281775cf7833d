"""What an engine answered as plain lists, which can be put on file. Knows nothing about what was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from metier.engines.base import Engine, GenerationRequest, ScoringRequest


def sampled_texts(engine: Engine, asked: Sequence[GenerationRequest]) -> list[list[str]]:
    """Return every request's continuations."""
    return [list(g.texts) for g in engine.generate(asked)]


def logprob_per_token(engine: Engine, asked: Sequence[ScoringRequest]) -> list[float]:
    """Return the mean log-probability of a token of every request's first continuation."""
    return [s.logprobs[0] / s.tokens[0] for s in engine.score(asked)]
