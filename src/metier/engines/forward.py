"""Runs a causal model over prompts: their shared prefix once, the rest in one pass. Knows nothing about requests.

Rows are padded on the left, so that all end in the same column; explicit positions keep padding from shifting them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from metier.engines.attention import Beginning, beginning_with, keeps_apart
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
        beginning: Keys and values that all rows begin with, apart from the cache and its mask; None: there are none.
    """

    cache: Any
    mask: torch.Tensor
    positions: torch.Tensor
    logits: torch.Tensor
    beginning: Beginning | None = None


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
        self._apart = keeps_apart(model)
        self._prefix: tuple[tuple[int, ...], Any] = ((), None)

    def prefill(self, prefix: tuple[int, ...], rests: Sequence[Sequence[int]], *, apart: bool = False) -> Prefilled:
        """Read prompts that begin with ``prefix`` (may be empty) and continue with ``rests`` (none empty).

        Args:
            prefix: What all begin with.
            rests: What follows it.
            apart: Keep what all begin with once, where the model can.
        """
        if not (apart and self.keeps_apart(prefix)):
            cache, ids, mask, positions = self.laid_out(prefix, rests)
            logits = self.read(cache, ids, mask, positions)
            return Prefilled(cache, mask, positions[:, -1], logits)
        beginning = [(layer.keys, layer.values) for layer in self._prefix_cache(prefix).layers]
        cache, ids, mask, positions = self.laid_out((), rests)
        positions = positions + len(prefix)
        logits = self.read(cache, ids, mask, positions, beginning)
        return Prefilled(cache, mask, positions[:, -1], logits, beginning)

    def keeps_apart(self, prefix: tuple[int, ...]) -> bool:
        """Whether what prompts begin with can be kept once for all rows."""
        return bool(prefix) and self._apart

    def read(
        self,
        cache: Any,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        beginning: Beginning | None = None,
    ) -> torch.Tensor:
        """Return the logits for each row's next token, ``[rows, vocabulary]``, after it has read some more.

        Args:
            cache: Keys and values of what was read before; it grows.
            ids: What is read now, ``[rows, width]``.
            mask: 1 where a column of the cache, with the new ones, holds a token, ``[rows, columns]``.
            positions: Of the new tokens, ``[rows, width]``.
            beginning: Keys and values that all rows begin with.
        """
        how: dict[str, Any] = {
            "input_ids": ids,
            "position_ids": positions,
            "past_key_values": cache,
            "use_cache": True,
            "logits_to_keep": self.last,
        }
        if beginning is None:
            logits: torch.Tensor = self.model(attention_mask=mask, **how).logits
            return logits[:, -1]
        seen = seen_by_last(mask, ids.shape[1]).unsqueeze(1)
        added = torch.zeros(seen.shape, dtype=beginning[0][0].dtype, device=seen.device)
        with beginning_with(beginning):
            logits = self.model(attention_mask=added.masked_fill_(~seen, -torch.inf), **how).logits
        return logits[:, -1]

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


def seen_by_last(mask: torch.Tensor, queries: int) -> torch.Tensor:
    """Return which columns the last ones may see, ``[rows, queries, columns]``: themselves, and tokens before them.

    Args:
        mask: 1 where a column holds a token, ``[rows, columns]``.
        queries: How many are the last.
    """
    columns = mask.shape[1]
    before = torch.ones(queries, columns, dtype=torch.bool, device=mask.device).tril(columns - queries)
    seen = before & mask.bool().unsqueeze(1)
    # A padding column must see something, or its softmax would be NaN.
    places = torch.arange(queries, device=mask.device)
    seen[:, places, columns - queries + places] = True
    return seen
