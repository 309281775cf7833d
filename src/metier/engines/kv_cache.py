"""A key-value cache for batched decoding: it grows in place and starts from a prefix computed once.

Knows nothing about prompts or sampling. The cache of transformers copies itself at every token, which on a CPU costs
more than computing the token once prompts are a few hundred tokens long.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

_SPARE = 64  # extra tokens at each growth: copies stay rare, and little memory is unused


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values, ``[rows, heads, tokens, head_dim]``, in a buffer with spare room."""

    def __init__(self) -> None:
        super().__init__()
        self._length = 0
        self._key_buffer: torch.Tensor | None = None
        self._value_buffer: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append ``[rows, heads, new_tokens, head_dim]`` and return everything held so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self._length + key_states.shape[2]
        if self._key_buffer is None or self._value_buffer is None or end > self._key_buffer.shape[2]:
            self._key_buffer = self._grown(self._key_buffer, key_states, end + _SPARE)
            self._value_buffer = self._grown(self._value_buffer, value_states, end + _SPARE)
        self._key_buffer[:, :, self._length : end] = key_states
        self._value_buffer[:, :, self._length : end] = value_states
        self._length = end
        self.keys = self._key_buffer[:, :, :end]
        self.values = self._value_buffer[:, :, :end]
        return self.keys, self.values

    def set_rows(self, rows: torch.Tensor, unused: int = 0) -> None:
        """Keep (or repeat) the given rows, in the given order, without their first ``unused`` columns."""
        if self._key_buffer is None or self._value_buffer is None:
            return
        # Only the filled part is copied; spare room is added again at the next growth.
        self._key_buffer = self._key_buffer[rows, :, unused : self._length]
        self._value_buffer = self._value_buffer[rows, :, unused : self._length]
        self._length -= unused
        self.keys, self.values = self._key_buffer, self._value_buffer

    def _grown(self, buffer: torch.Tensor | None, like: torch.Tensor, capacity: int) -> torch.Tensor:
        rows, heads, _, width = like.shape
        grown = like.new_empty(rows, heads, capacity, width)
        if buffer is not None:
            grown[:, :, : self._length] = buffer[:, :, : self._length]
        return grown


def new_cache(layers: int) -> DynamicCache:
    """Return an empty cache of growing layers."""
    cache = DynamicCache()
    cache.layers = [GrowingLayer() for _ in range(layers)]
    return cache


def cache_from_prefix(prefix: DynamicCache | None, layers: int, rows: int) -> DynamicCache:
    """Return a cache of ``rows`` rows that all begin with the (one-row) prefix; the prefix is unchanged."""
    cache = new_cache(layers)
    if prefix is not None:
        for layer, source in zip(cache.layers, prefix.layers, strict=True):
            layer.update(source.keys.expand(rows, -1, -1, -1), source.values.expand(rows, -1, -1, -1))
    return cache


def set_rows(cache: DynamicCache, rows: torch.Tensor, unused: int = 0) -> None:
    """Keep (or repeat) rows of every layer, without its first columns; ``rows`` is an index ``[new_rows]``."""
    for layer in cache.layers:
        layer.set_rows(rows, unused)


def joined(one: DynamicCache, other: DynamicCache) -> DynamicCache:
    """Return both caches as one; the shorter is padded on the left, so that both end in the same column."""
    cache = new_cache(len(one.layers))
    for layer, first, second in zip(cache.layers, one.layers, other.layers, strict=True):
        width = max(first.keys.shape[2], second.keys.shape[2])
        layer.update(*(_stacked(a, b, width) for a, b in ((first.keys, second.keys), (first.values, second.values))))
    return cache


def _stacked(one: torch.Tensor, other: torch.Tensor, width: int) -> torch.Tensor:
    _, heads, _, size = one.shape
    both = one.new_zeros(len(one) + len(other), heads, width, size)
    both[: len(one), :, width - one.shape[2] :] = one
    both[len(one) :, :, width - other.shape[2] :] = other
    return both


def cache_from_rows(cache: DynamicCache, rows: torch.Tensor, layers: int) -> DynamicCache:
    """Return a copy of a cache that holds the given rows; the cache itself is unchanged."""
    copy = new_cache(layers)
    for layer, source in zip(copy.layers, cache.layers, strict=True):
        layer.update(source.keys[rows], source.values[rows])
    return copy
