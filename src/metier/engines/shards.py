"""Walks a stage's work shard by shard: what is on file is brought back, the rest is made by an engine or its workers.

A job is a function of an engine whose result can be put on file as JSON. One engine does jobs one after the other; an
engine of many workers is given all that are still to be done and works ahead. Either way every job is done once, its
result is put on file when its turn comes, and results come in order. Knows nothing about what the jobs ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

from metier.engines.base import Engine, GenerationRequest, ScoringRequest

Shard = Callable[[str, Callable[[], Any]], Any]
"""Returns a part of a stage by name: as it is on file, or made now and put on file."""

Job = Callable[[Engine], Any]


@runtime_checkable
class KnowsWhatIsDone(Protocol):
    """Shards that can tell which of them are on file."""

    def has(self, name: str) -> bool:
        """Whether the shard of that name is on file."""
        ...


@runtime_checkable
class ManyWorkers(Protocol):
    """An engine whose workers do jobs side by side."""

    def each(self, jobs: Sequence[Job]) -> Iterator[Any]:
        """Yield the jobs' results in their order; later jobs are worked on meanwhile."""
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
    """Stand for a stage's shards where results are not kept."""
    return make()


def texts_and_ends(asked: Sequence[GenerationRequest], engine: Engine) -> list[tuple[list[str], list[bool]]]:
    """Return every request's continuations, and whether each of them was ended by the model."""
    return [(list(g.texts), list(g.finished)) for g in engine.generate(asked)]


def first_texts(asked: Sequence[GenerationRequest], engine: Engine) -> list[str]:
    """Return every request's first continuation."""
    return [g.texts[0] for g in engine.generate(asked)]


def logprobs(asked: Sequence[ScoringRequest], engine: Engine) -> dict[str, list[Any]]:
    """Return the log-probabilities of every request's continuations, and the tokens of the first request's."""
    scores = engine.score(asked)
    return {"logprobs": [list(s.logprobs) for s in scores], "tokens": list(scores[0].tokens)}


def logprob_per_token(asked: Sequence[ScoringRequest], engine: Engine) -> list[float]:
    """Return the mean log-probability of a token of every request's first continuation."""
    return [s.logprobs[0] / s.tokens[0] for s in engine.score(asked)]
