"""Attention for decoding on a CPU: what is read once for several queries or rows is not read again for each.

**Heads.** torch's attention on a CPU reads the keys and values once for every query head. In decoding each head has one
query and many keys, so reading the keys is nearly all the work. Grouped heads (three to a key head in SmolLM2, seven in
Qwen2.5-0.5B) read them once instead: six to ten times as fast, with the same result.

**Rows.** Prompts of a batch begin alike, with an instruction and demonstrations. The keys and values of that beginning
are kept once, apart from the rows' own; the queries of all rows attend to it in one product, and what they find there
and among their own keys is added up by how much weight each part has (Juravsky et al. 2024, arXiv 2402.05099).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import torch

NAME = "metier_grouped"

Beginning = Sequence[tuple[torch.Tensor, torch.Tensor]]
"""Of each layer, the keys and values of what all rows begin with: ``[1, key_heads, tokens, size]``."""

_BEGINNING: ContextVar[Beginning | None] = ContextVar("beginning", default=None)


def use_grouped(model: Any) -> None:
    """Switch a model from torch's attention to this one; models with another attention are left as they are."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    if model.config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def keeps_apart(model: Any) -> bool:
    """Whether what rows begin with may be kept apart.

    The model has to use this attention, each layer to see all, and keys to be as long as values (latent attention's
    are not, and torch's kernel that tells the scores' sum wants it).
    """
    config = model.config.get_text_config()
    latent = getattr(config, "kv_lora_rank", None)
    return model.config._attn_implementation == NAME and sees_all(config) and not latent


def sees_all(config: Any) -> bool:
    """Whether every layer of a text model lets a token see all tokens before it, by the model's config."""
    kinds = set(getattr(config, "layer_types", None) or ())
    return kinds == {"full_attention"} or not (kinds or getattr(config, "sliding_window", None))


@contextlib.contextmanager
def beginning_with(beginning: Beginning) -> Iterator[None]:
    """Let all rows see what they begin with, before the keys and values that their cache holds.

    The mask of a pass inside is of the rows' own columns, ``[rows, 1, queries, columns]``, added to the scores.
    """
    token = _BEGINNING.set(beginning)
    try:
        yield
    finally:
        _BEGINNING.reset(token)


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
    beginning = _BEGINNING.get()
    if beginning is not None:
        assert attention_mask is not None  # `Forward.read` gives one
        layer: Any = module.layer_idx
        return _cascade(query, key, value, attention_mask, scaling, beginning[layer]), None
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


def _cascade(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    scaling: float | None,
    beginning: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Attend to what all rows begin with and to each row's own; return ``[rows, queries, heads, size]``."""
    rows, heads, queries, size = query.shape
    shared = key.shape[1]
    groups = heads // shared
    grouped = query.reshape(rows, shared, groups * queries, size)
    of_all = grouped.transpose(0, 1).reshape(1, shared, -1, size)
    seen, weight = _attended(of_all, *beginning, None, scaling)
    seen = seen.reshape(shared, rows, groups * queries, size).transpose(0, 1)
    weight = weight.reshape(shared, rows, groups * queries).transpose(0, 1)
    own_mask = mask.unsqueeze(2).expand(-1, -1, groups, -1, -1).reshape(rows, 1, groups * queries, -1)
    own, own_weight = _attended(grouped, key, value, own_mask, scaling)
    share = torch.sigmoid(weight - own_weight).unsqueeze(-1).to(own.dtype)
    return torch.lerp(own, seen, share).reshape(rows, heads, queries, size).transpose(1, 2)


def _attended(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what queries find, ``[rows, heads, queries, size]``, and the logarithm of their scores' sum."""
    found, weight = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, attn_mask=mask, scale=scaling
    )
    return found, weight


def _one_for_all_heads(mask: torch.Tensor | None) -> bool:
    """Whether all heads share one mask, so that heads may be treated as queries."""
    return mask is None or mask.shape[1] == 1
