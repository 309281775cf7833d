"""Does a stage's work shard by shard: finished shards are read from file, an engine or its workers make the others.

A job is a function of an engine whose result can be saved as JSON. A single engine does jobs one after the other; an
engine with many workers gets all unfinished jobs and works ahead. Either way every job is done once, its result is
saved when its turn comes, and results come in order. Knows nothing about what the jobs ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

from metier.engines.base import Engine, GenerationRequest, ScoringRequest

Shard = Callable[[str, Callable[[], Any]], Any]
"""Returns a part of a stage by name: read from file, or made now and saved."""

Job = Callable[[Engine], Any]


@runtime_checkable
class KnowsWhatIsDone(Protocol):
    """Shards that know which of them are on file."""

    def has(self, name: str) -> bool:
        """Whether the shard of that name is on file."""
        ...


@runtime_checkable
class ManyWorkers(Protocol):
    """An engine whose workers do jobs side by side."""

    def each(self, jobs: Sequence[Job]) -> Iterator[Any]:
        """Yield the jobs' results in order, while workers do later jobs."""
        ...


def in_shards(engine: Engine, shard: Shard, jobs: Sequence[tuple[str, Job]]) -> Iterator[Any]:
    """Yield the result of every named job, in order."""
    if not isinstance(engine, ManyWorkers):
        for name, job in jobs:
            yield shard(name, partial(job, engine))
        return
    known = shard if isinstance(shard, KnowsWhatIsDone) else None
    results = engine.each([job for name, job in jobs if known is None or not known.has(name)])
    for name, _ in jobs:
        yield shard(name, lambda: next(results))


def unkept(name: str, make: Callable[[], Any]) -> Any:
    """Stand in for a stage's shards where results are not saved."""
    return make()


def texts_and_ends(asked: Sequence[GenerationRequest], engine: Engine) -> list[tuple[list[str], list[bool]]]:
    """Return every request's continuations, and whether the model ended each of them."""
    return [(list(g.texts), list(g.finished)) for g in engine.generate(asked)]


def first_texts(asked: Sequence[GenerationRequest], engine: Engine) -> list[str]:
    """Return every request's first continuation."""
    return [g.texts[0] for g in engine.generate(asked)]


def logprobs(asked: Sequence[ScoringRequest], engine: Engine) -> dict[str, list[Any]]:
    """Return the log-probabilities of every request's continuations, and the token counts of the first request's."""
    scores = engine.score(asked)
    return {"logprobs": [list(s.logprobs) for s in scores], "tokens": list(scores[0].tokens)}


def logprob_per_token(asked: Sequence[ScoringRequest], engine: Engine) -> list[float]:
    """Return the mean log-probability per token of every request's first continuation."""
    return [first for first, *_ in logprobs_per_token(asked, engine)]


def logprobs_per_token(asked: Sequence[ScoringRequest], engine: Engine) -> list[list[float]]:
    """Return the mean log-probability per token of every request's continuations."""
    return [[total / size for total, size in zip(s.logprobs, s.tokens, strict=True)] for s in engine.score(asked)]
