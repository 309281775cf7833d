"""Writes for several adapters over one model in memory at once: one pass reads a token of every row.

Each prompt is read with its own adapter alone, since a pass of several adapters reads prompts no faster than a pass for
each. When tokens are written, most of a pass is reading the model's own weights, which all rows share.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from metier.engines.base import Generation, GenerationRequest
from metier.engines.decoding import Decoder, State, Waiting, joined_states
from metier.engines.transformers import Encoded, TransformersEngine

Part = tuple[TransformersEngine, Sequence[GenerationRequest]]
"""An engine, and what it is asked."""


@torch.inference_mode()
def write_mixed(parts: Sequence[Part]) -> list[list[Generation]]:
    """Return the continuations of each part's requests, in order; in float32 they are what each engine writes alone.

    Args:
        parts: Engines over one model in memory (`TransformersEngine.beside`), and what each is asked.

    Raises:
        ValueError: The engines do not share a model, or requests differ in ``top_k``.
        MetierError: A prompt and its answer do not fit the model's context.
    """
    every = [(engine, request) for engine, requests in parts for request in requests]
    if len({id(engine.weights) for engine, _ in every}) > 1 or len({request.top_k for _, request in every}) > 1:
        raise ValueError("what is written together has one model and one top_k")
    if not every:
        return [[] for _ in parts]
    encoded = [one for engine, requests in parts for one in engine.encoded(requests)]
    # Longest first, as an engine by itself does: rows added later are then never wider than those already there.
    order = sorted(range(len(every)), key=lambda k: (-len(encoded[k].rest), k))
    waiting = [Waiting(k, every[k][1], encoded[k].rest) for k in order]
    decoder = _MixedDecoder({k: (every[k][0], encoded[k]) for k in order}, waiting)
    longest = max((one.prefix for one in encoded), key=len)
    limits = every[0][0].batching
    made = dict(decoder.decode(longest, waiting, limits.rows, limits.tokens))
    turn = iter(range(len(every)))
    return [[made[next(turn)] for _ in requests] for _, requests in parts]


class _MixedDecoder(Decoder):
    """Decodes requests of several engines over one model.

    Args:
        asked: By a request's key, its engine and its prompt.
        waiting: The requests, in the order in which they are decoded.
    """

    apart = False  # each adapter has its own

    def __init__(self, asked: dict[int, tuple[TransformersEngine, Encoded]], waiting: Sequence[Waiting]) -> None:
        engine = next(engine for engine, _ in asked.values())
        super().__init__(engine.forward, engine.weights.end_tokens, engine.tokenizer, engine.weights.vocabulary)
        self._weights = engine.weights
        self._asked = asked
        self._adapters = [asked[w.key][0].adapter for w in waiting for _ in range(w.request.samples)]

    def begun(self, prefix: tuple[int, ...], requests: Sequence[Waiting], live: torch.Tensor, *, apart: bool) -> State:
        """Read the prompts of some requests, of each engine those that begin alike in one pass."""
        first = 0
        groups: dict[tuple[int, tuple[int, ...]], list[tuple[Waiting, torch.Tensor]]] = {}
        for one in requests:
            engine, encoded = self._asked[one.key]
            own = live[first : first + one.request.samples]
            groups.setdefault((id(engine), encoded.prefix), []).append((one, own))
            first += one.request.samples
        state: State | None = None
        for (_, beginning), group in groups.items():
            engine = self._asked[group[0][0].key][0]
            engine.use()
            rows = torch.cat([own for _, own in group])
            fresh = engine.decoder.begun(beginning, [one for one, _ in group], rows, apart=apart)
            state = fresh if state is None else joined_states(state, fresh)
        assert state is not None
        return state

    def advance(self, state: State, tokens: torch.Tensor) -> None:
        """Read one more token of every row, each with its adapter."""
        with self._weights.each_with([self._adapters[row] for row in state.live.tolist()]):
            super().advance(state, tokens)
