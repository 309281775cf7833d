"""Runs a causal model over prompts: the beginning they share once, the rest in one pass. Knows nothing about requests.

Rows are padded on the left, so that all of them end in the same column; positions are given, so padding moves none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from metier.engines.base import EngineStats
from metier.engines.kv_cache import cache_from_prefix, new_cache


@dataclasses.dataclass(slots=True)
class Prefilled:
    """Prompts that have been read.

    Attributes:
        cache: Keys and values of all rows.
        mask: 1 where a column holds a token, ``[rows, columns]``.
        positions: Each row's last position, ``[rows]``.
        logits: What follows each row, ``[rows, vocabulary]``.
    """

    cache: Any
    mask: torch.Tensor
    positions: torch.Tensor
    logits: torch.Tensor


class Forward:
    """A model on a device, with the last shared beginning it has read.

    Args:
        model: A causal language model of transformers, ready to run.
        device: Where it is.
        stats: Where what it reads is counted.
    """

    def __init__(self, model: Any, device: str, stats: EngineStats) -> None:
        self.model = model
        self.device = device
        self.stats = stats
        self.layers: int = model.config.get_text_config().num_hidden_layers
        self.vocabulary: int = model.config.get_text_config().vocab_size or 0
        # The last position as an index, not as a slice: a slice is not contiguous, and the product with the output
        # embeddings would then copy them once for every row of the batch (seconds, on a CPU).
        self.last = torch.tensor([-1], device=device)
        self._prefix: tuple[tuple[int, ...], Any] = ((), None)

    def prefill(self, prefix: tuple[int, ...], rests: Sequence[Sequence[int]]) -> Prefilled:
        """Read prompts that all begin with ``prefix`` (may be empty) and go on with ``rests`` (none empty)."""
        cache, ids, mask, positions = self.laid_out(prefix, rests)
        logits = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=self.last,
        ).logits[:, -1]
        return Prefilled(cache, mask, positions[:, -1], logits)

    def laid_out(
        self, prefix: tuple[int, ...], rests: Sequence[Sequence[int]]
    ) -> tuple[Any, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what reading prompts takes: the prefix's cache for every row, and the rests as tensors.

        Returns:
            The cache; tokens ``[rows, width]``; mask ``[rows, prefix + width]``; positions ``[rows, width]``.
        """
        cache = cache_from_prefix(self._prefix_cache(prefix), self.layers, len(rests))
        width = max(len(rest) for rest in rests)
        ids = torch.zeros(len(rests), width, dtype=torch.long)
        mask = torch.ones(len(rests), len(prefix) + width, dtype=torch.long)
        for row, rest in enumerate(rests):
            ids[row, width - len(rest) :] = torch.tensor(rest)
            mask[row, len(prefix) : len(prefix) + width - len(rest)] = 0
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, len(prefix) :]
        self.stats.prompt_tokens += sum(len(rest) for rest in rests)
        return cache, ids.to(self.device), mask.to(self.device), positions.to(self.device)

    def forget(self) -> None:
        """Let the shared beginning go, and the memory it takes."""
        self._prefix = ((), None)

    def _prefix_cache(self, prefix: tuple[int, ...]) -> Any:
        """Return the one-row cache of a prefix, computed once; None for no prefix."""
        if not prefix:
            return None
        if self._prefix[0] != prefix:
            cache = new_cache(self.layers)
            ids = torch.tensor([prefix], device=self.device)
            self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=self.last)
            self.stats.prompt_tokens += len(prefix)
            self._prefix = (prefix, cache)
        return self._prefix[1]
