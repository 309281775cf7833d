"""Writes the answers of several products over one base model in the same passes, before each is asked by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from metier.engines.base import Engine, Generation, GenerationRequest, Progress
from metier.engines.mixed import write_mixed
from metier.engines.passing import PassingEngine
from metier.engines.transformers import TransformersEngine
from metier.engines.weights import Weights
from metier.systems.base import ROWS
from metier.systems.guarded import Guarded
from metier.systems.product import OpenProduct
from metier.systems.written import Writer


def writes_with(product: OpenProduct) -> Weights | None:
    """Return the model in memory that a product writes with, in passes that others may share; None: there is none."""
    learned = product.learned
    if isinstance(learned, Writer | Guarded) and isinstance(learned.asker.engine, TransformersEngine):
        return learned.asker.engine.weights
    return None


def written_together(asked: Sequence[tuple[OpenProduct, Sequence[str]]]) -> list[OpenProduct]:
    """Return the products so that they know what their models write for some inputs; other inputs they are asked for.

    Args:
        asked: Products that write with one model in memory, and their inputs.

    Raises:
        MetierError: The model failed.
    """
    parts = [_part(product, texts) for product, texts in asked]
    made = write_mixed(parts)
    known = [dict(zip(requests, found, strict=True)) for (_, requests), found in zip(parts, made, strict=True)]
    return [_knowing(product, some) for (product, _), some in zip(asked, known, strict=True)]


class Known(PassingEngine):
    """An engine that has written some of what it will be asked for.

    Args:
        engine: Does all else.
        made: What it has written.
    """

    def __init__(self, engine: Engine, made: Mapping[GenerationRequest, Generation]) -> None:
        super().__init__(engine)
        self._made = made

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Return what is known, and continue the other prompts."""
        others = [request for request in requests if request not in self._made]
        fresh = iter(self._engine.generate(others, progress) if others else ())
        return [self._made[request] if request in self._made else next(fresh) for request in requests]


def _part(product: OpenProduct, texts: Sequence[str]) -> tuple[TransformersEngine, list[GenerationRequest]]:
    learned = product.learned
    assert isinstance(learned, Writer | Guarded) and isinstance(learned.asker.engine, TransformersEngine)
    asked, fitting = learned.asker.requests(texts[:ROWS])
    return learned.asker.engine, [asked[i] for i in fitting]


def _knowing(product: OpenProduct, made: Mapping[GenerationRequest, Generation]) -> OpenProduct:
    learned = product.learned
    assert isinstance(learned, Writer | Guarded)
    asker = dataclasses.replace(learned.asker, engine=Known(learned.asker.engine, made))
    return dataclasses.replace(product, learned=dataclasses.replace(learned, asker=asker))
