"""Generates continuations, many rows at a time: as rows end, waiting prompts take their places.

A batch that only shrinks leaves the machine idle while its longest row continues. Here ended rows leave, and once
enough places are free, the next prompts are read and added, until none is waiting. Each row draws from its own random
stream by its own step, so its text does not depend on its neighbours. Knows nothing about what requests are for.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from metier.engines.attention import Beginning
from metier.engines.base import EngineStats, Generation, GenerationRequest
from metier.engines.forward import Forward
from metier.engines.guidance import Guidance
from metier.engines.kv_cache import joined, set_rows
from metier.engines.rows import Rows
from metier.engines.sampling import next_tokens, uniforms
from metier.engines.vocabulary import Vocabulary
from metier.models.tokenizer import Tokenizer

_REFILL = 4  # prompts are added when 1/4 of the places are free: each addition copies the cache
_LEAVE = 8  # ended rows leave when 1/8 of the rows have ended: that copies the cache too


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """A request to continue, as tokens.

    Attributes:
        key: The caller's name for it.
        request: What is asked for.
        rest: Its prompt's tokens after the shared prefix.
    """

    key: int
    request: GenerationRequest
    rest: tuple[int, ...]


class Decoder:
    """Decodes requests that share a prefix and a ``top_k``.

    Args:
        forward: The model.
        end_tokens: Tokens that end an answer.
        tokenizer: Turns tokens into text.
        vocabulary: The model's tokens, for requests that are guided.

    Attributes:
        apart: Whether what all begin with is kept once, where the model can.
    """

    apart = True

    def __init__(
        self, forward: Forward, end_tokens: frozenset[int], tokenizer: Tokenizer, vocabulary: Vocabulary
    ) -> None:
        self._forward = forward
        self._end_tokens = end_tokens
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary

    @property
    def device(self) -> str:
        """Where the model is."""
        return self._forward.device

    @property
    def stats(self) -> EngineStats:
        """What was read and written."""
        return self._forward.stats

    def decode(
        self, prefix: tuple[int, ...], waiting: Sequence[Waiting], most_rows: int, most_tokens: int
    ) -> Iterator[tuple[int, Generation]]:
        """Yield each request's key and continuations as they finish.

        Args:
            prefix: Tokens that all prompts begin with.
            waiting: The requests; they start in this order.
            most_rows: Rows decoded at once; exceeded only by a single request with more samples.
            most_tokens: Columns times rows held at once, with the same exception.
        """
        forward = self._forward
        samples = [w.request.samples for w in waiting]
        owner = np.repeat(np.arange(len(waiting)), samples)  # row -> request
        first = np.concatenate([[0], np.cumsum(samples)])
        requests = [waiting[o].request for o in owner.tolist()]
        rows = self.rows(requests)
        steps = max(w.request.max_tokens for w in waiting)
        draws = torch.from_numpy(np.concatenate([draws_of(w.request, steps) for w in waiting])).to(forward.device)
        temperature = torch.tensor([r.temperature for r in requests], device=forward.device)
        step = torch.zeros(len(owner), dtype=torch.long, device=forward.device)
        left = collections.Counter(owner.tolist())
        queue = collections.deque(range(len(waiting)))
        state: State | None = None
        held = 0 if self.apart and forward.keeps_apart(prefix) else len(prefix)  # columns of every row
        while queue or state is not None:
            if begun := _next_to_begin(queue, waiting, state, held, most_rows, most_tokens):
                new = torch.tensor([r for w in begun for r in range(first[w], first[w + 1])], device=forward.device)
                fresh = self.begun(prefix, [waiting[w] for w in begun], new, apart=self.apart)
                state = fresh if state is None else joined_states(state, fresh)
            assert state is not None
            live = state.live
            tokens = next_tokens(
                rows.limited(state.logits, live.tolist()),
                temperature[live],
                requests[0].top_k,
                draws[live, step[live].clamp(max=steps - 1)],
            )
            step[live] += 1
            forward.stats.generated_tokens += rows.add(live.tolist(), tokens.tolist(), state.logits)
            ended = [i for i, row in enumerate(live.tolist()) if rows.ended[row]]
            for row in rows.newly_ended(live[ended].tolist()):
                request = int(owner[row])
                left[request] -= 1
                if not left[request]:
                    yield waiting[request].key, rows.generation(int(first[request]), int(first[request + 1]))
            if len(ended) == len(live):
                state = None
                continue
            # Dropping ended rows copies the cache, so it waits until enough rows have ended.
            if len(ended) * _LEAVE >= len(live) or (queue and len(ended) * _REFILL >= most_rows):
                gone = set(ended)
                keep = torch.tensor([i for i in range(len(live)) if i not in gone], device=forward.device)
                state, tokens = state.kept(keep), tokens[keep]
            self.advance(state, tokens)

    def rows(self, requests: list[GenerationRequest]) -> Rows:
        """Return rows without tokens, guided if a request asks for that."""
        guided = any(request.schema is not None or request.top is not None for request in requests)
        guidance = Guidance(requests, self._vocabulary) if guided else None
        return Rows(requests, self._end_tokens, self._tokenizer, guidance)

    def begun(self, prefix: tuple[int, ...], requests: Sequence[Waiting], live: torch.Tensor, *, apart: bool) -> State:
        """Read the prompts of some requests; each takes one of the rows ``live`` per sample.

        Args:
            prefix: What all begin with.
            requests: The requests.
            live: Their rows.
            apart: Keep what all begin with once: such rows are joined only with those that begin alike.
        """
        read = self._forward.prefill(prefix, [w.rest for w in requests], apart=apart)
        if len(live) > len(requests):
            spread = [i for i, w in enumerate(requests) for _ in range(w.request.samples)]
            places = torch.tensor(spread, device=self._forward.device)
            set_rows(read.cache, places)
            read.mask, read.positions, read.logits = (t[places] for t in (read.mask, read.positions, read.logits))
        return State(read.cache, read.mask, read.positions, read.logits, live, read.beginning)

    def advance(self, state: State, tokens: torch.Tensor) -> None:
        """Read one more token of every row."""
        state.mask = torch.cat([state.mask, state.mask.new_ones(len(state.live), 1)], dim=1)
        state.positions = state.positions + 1
        state.logits = self._forward.read(
            state.cache, tokens.unsqueeze(1), state.mask, state.positions.unsqueeze(1), state.beginning
        )


@dataclasses.dataclass(slots=True)
class State:
    """Rows being decoded: their cache, mask, positions and next logits, which rows they are, what all begin with."""

    cache: Any
    mask: torch.Tensor
    positions: torch.Tensor
    logits: torch.Tensor
    live: torch.Tensor
    beginning: Beginning | None = None

    def kept(self, keep: torch.Tensor) -> State:
        """Return the state of some of the rows, without columns that none of them uses."""
        mask = self.mask[keep]
        unused = int((mask.sum(dim=0) == 0).long().cumprod(dim=0).sum())
        set_rows(self.cache, keep, unused)
        positions, logits, live = (t[keep] for t in (self.positions, self.logits, self.live))
        return State(self.cache, mask[:, unused:], positions, logits, live, self.beginning)


def draws_of(request: GenerationRequest, steps: int) -> npt.NDArray[np.float32]:
    """Return the random numbers of a request's samples, ``[samples, steps]``; drawn for its own length, then padded."""
    own = uniforms(request.seed, request.samples, request.max_tokens, request.first_sample)
    return np.pad(own, ((0, 0), (0, steps - request.max_tokens)))


def joined_states(one: State, other: State) -> State:
    """Return both states as one, with their last columns aligned; what is kept apart has to be the same."""
    width = max(one.mask.shape[1], other.mask.shape[1])
    masks = [torch.nn.functional.pad(s.mask, (width - s.mask.shape[1], 0)) for s in (one, other)]
    return State(
        joined(one.cache, other.cache),
        torch.cat(masks),
        torch.cat([one.positions, other.positions]),
        torch.cat([one.logits, other.logits]),
        torch.cat([one.live, other.live]),
        one.beginning,
    )


def _next_to_begin(
    queue: collections.deque[int],
    waiting: Sequence[Waiting],
    state: State | None,
    prefix: int,
    most_rows: int,
    most_tokens: int,
) -> list[int]:
    """Take as many requests from the queue as fit; none while too few places are free to be worth a pass."""
    held = 0 if state is None else len(state.live)
    if not queue or (held and (most_rows - held) * _REFILL < most_rows):
        return []
    width = 0 if state is None else state.mask.shape[1]
    begun: list[int] = []
    while queue:
        request, rest = waiting[queue[0]].request, waiting[queue[0]].rest
        width = max(width, prefix + len(rest)) + (0 if begun else request.max_tokens)
        rows = held + request.samples
        if (held or begun) and (rows > most_rows or rows * width > most_tokens):
            break
        begun.append(queue.popleft())
        held = rows
    return begun
