"""What all rows begin with, kept apart from their own, is attended to as if each row held it."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metier.engines import attention
from metier.engines.base import EngineStats, GenerationRequest
from metier.engines.forward import Forward
from metier.engines.prompts import Prompt
from metier.engines.transformers import TransformersEngine

SIZE = 16


@given(
    rows=st.integers(1, 5),
    heads=st.sampled_from([(1, 1), (4, 2), (6, 2), (3, 3)]),
    queries=st.integers(1, 4),
    before=st.integers(1, 40),
    own=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_it_is_attention_to_all_of_it(
    rows: int, heads: tuple[int, int], queries: int, before: int, own: int, seed: int
) -> None:
    """Reference: torch's attention over the keys of both parts."""
    made = torch.Generator().manual_seed(seed)
    query = torch.randn(rows, heads[0], queries, SIZE, generator=made)
    shared = [torch.randn(1, heads[1], before, SIZE, generator=made) for _ in range(2)]
    mine = [torch.randn(rows, heads[1], own + queries, SIZE, generator=made) for _ in range(2)]
    seen = torch.rand(rows, queries, own + queries, generator=made) < 0.6
    seen[:, torch.arange(queries), own + torch.arange(queries)] = True
    added = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf).unsqueeze(1)
    module: Any = types.SimpleNamespace(layer_idx=1)
    with attention.beginning_with([(torch.empty(0), torch.empty(0)), (shared[0], shared[1])]):
        found, _ = attention._attention(module, query, mine[0], mine[1], added, scaling=0.3)
    keys, values = (torch.cat([a.expand(rows, -1, -1, -1), b], dim=2) for a, b in zip(shared, mine, strict=True))
    mask = torch.cat([torch.zeros(rows, 1, queries, before), added], dim=3)
    wanted = torch.nn.functional.scaled_dot_product_attention(
        query, keys, values, attn_mask=mask, scale=0.3, enable_gqa=True
    )
    assert torch.allclose(found, wanted.transpose(1, 2), atol=1e-5)


def test_prompts_are_read_as_where_each_row_holds_its_beginning(smollm2: Path) -> None:
    one = TransformersEngine(smollm2, dtype="float32", device="cpu")
    prefix = tuple(one.tokenizer("Name the section of the newspaper that the sentence is from.\n\n")["input_ids"])
    rests = [one.tokenizer(text)["input_ids"] for text in ("The match ended 2:1", "Soup", "She flew to Rome in May")]
    with torch.inference_mode():
        whole = one.forward.prefill(prefix, rests)
        apart = one.forward.prefill(prefix, rests, apart=True)
    assert apart.beginning is not None and whole.beginning is None
    assert apart.mask.shape[1] == whole.mask.shape[1] - len(prefix), "a row's cache is its own text alone"
    assert torch.allclose(apart.logits, whole.logits, atol=1e-3)
    assert torch.equal(apart.positions, whole.positions)


@pytest.mark.parametrize(
    "unlike",
    [{"layer_types": ["sliding_attention", "full_attention"]}, {"kv_lora_rank": 512}, {"_attn_implementation": "sdpa"}],
)
def test_a_model_of_another_kind_keeps_nothing_apart(
    smollm2: Path, unlike: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = TransformersEngine(smollm2, dtype="float32", device="cpu").forward.model
    assert attention.keeps_apart(model)
    for name, value in unlike.items():
        monkeypatch.setattr(model.config, name, value, raising=False)
    assert not attention.keeps_apart(model)
    assert not Forward(model, "cpu", EngineStats()).keeps_apart((1, 2))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_texts_are_those_of_prompts_that_share_nothing(smollm2: Path, dtype: str) -> None:
    one = TransformersEngine(smollm2, dtype=dtype, device="cpu")
    ask = "Rewrite the official sentence in plain, short English. Keep its meaning.\n\n"
    prompts = [Prompt(f"{ask}{text}\n", len(ask)) for text in ("Kindly refrain from smoking.", "The door is shut.")]
    asked = [GenerationRequest(prompt, max_tokens=10) for prompt in prompts]
    alone = [GenerationRequest(Prompt(prompt.text), max_tokens=10) for prompt in prompts]
    same = sum(a == b for a, b in zip(one.generate(asked), one.generate(alone), strict=True))
    assert same >= (2 if dtype == "float32" else 1)
