"""Attention for decoding on a CPU: query heads that share keys are treated as queries of one head.

torch's attention on a CPU reads the keys and values once for every query head. In decoding each head has one query and
many keys, so reading the keys is nearly all the work. Grouped heads (three to a key head in SmolLM2, seven in
Qwen2.5-0.5B) read them once instead: six to ten times as fast, with the same result.
"""

from __future__ import annotations

from typing import Any

import torch

NAME = "metier_grouped"


def use_grouped(model: Any) -> None:
    """Switch a model from torch's attention to this one; models with another attention are left as they are."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    if model.config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """Attend; ``query`` is ``[rows, heads, queries, size]``, key and value ``[rows, key_heads, keys, size]``."""
    rows, heads, queries, size = query.shape
    groups = heads // key.shape[1]
    if queries > 1 or groups == 1 or rest.get("dropout") or not _one_for_all_heads(attention_mask):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **rest)
        return attended, None
    folded = query.reshape(rows, heads // groups, groups, size)
    mask = None if attention_mask is None else attention_mask.expand(-1, -1, groups, -1)
    out = torch.nn.functional.scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scaling)
    return out.reshape(rows, 1, heads, size), None


def _one_for_all_heads(mask: torch.Tensor | None) -> bool:
    """Whether all heads share one mask, so that heads may be treated as queries."""
    return mask is None or mask.shape[1] == 1
