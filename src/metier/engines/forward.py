"""Runs a causal model over prompts: their shared prefix once, the rest in one pass. Knows nothing about requests.

Rows are padded on the left, so that all end in the same column; explicit positions keep padding from shifting them.
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
    """Prompts that the model has read.

    Attributes:
        cache: Keys and values of all rows.
        mask: 1 where a column holds a token, ``[rows, columns]``.
        positions: Each row's last position, ``[rows]``.
        logits: For the next token of each row, ``[rows, vocabulary]``.
    """

    cache: Any
    mask: torch.Tensor
    positions: torch.Tensor
    logits: torch.Tensor


class Forward:
    """A model on a device, with the last shared prefix it has read.

    Args:
        model: A transformers causal language model, ready to run.
        device: Where it is.
        stats: Counts the tokens it reads.
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
        """Read prompts that begin with ``prefix`` (may be empty) and continue with ``rests`` (none empty)."""
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
        """Return the inputs for reading prompts: the prefix's cache for every row, and the rests as tensors.

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
        """Drop the shared prefix and free its memory."""
        self._prefix = ((), None)

    def _prefix_cache(self, prefix: tuple[int, ...]) -> Any:
        """Return the one-row cache of a prefix, computed once; None without a prefix."""
        if not prefix:
            return None
        if self._prefix[0] != prefix:
            cache = new_cache(self.layers)
            ids = torch.tensor([prefix], device=self.device)
            self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=self.last)
            self.stats.prompt_tokens += len(prefix)
            self._prefix = (prefix, cache)
        return self._prefix[1]
