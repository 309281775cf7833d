from __future__ import annotations

import numpy as np
import pytest
import torch

from metier.engines.sampling import next_tokens, uniforms


def test_a_requests_numbers_are_its_own() -> None:
    assert np.array_equal(uniforms(7, 3, 5), uniforms(7, 3, 5))
    assert not np.array_equal(uniforms(7, 3, 5), uniforms(8, 3, 5))


def test_temperature_zero_takes_the_likeliest() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, 0.0, 0.0]])
    assert next_tokens(logits, torch.zeros(2), 0, torch.rand(2)).tolist() == [1, 0]


@pytest.mark.parametrize("top_k", [0, 3])
def test_tokens_come_as_often_as_they_are_likely(top_k: int) -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -50.0])
    draws = torch.linspace(0, 1 - 1e-6, 20_000)
    tokens = next_tokens(logits.expand(20_000, -1), torch.full((20_000,), 2.0), top_k, draws)
    found = torch.bincount(tokens, minlength=4) / 20_000
    assert torch.allclose(found, (logits / 2).softmax(0), atol=2e-3)


def test_top_k_never_draws_another_token() -> None:
    logits = torch.randn(1000, 50, generator=torch.Generator().manual_seed(0))
    tokens = next_tokens(logits, torch.full((1000,), 5.0), 4, torch.rand(1000))
    assert all(t in top for t, top in zip(tokens.tolist(), logits.topk(4).indices.tolist(), strict=True))


def test_a_draw_of_almost_one_stays_inside_the_vocabulary() -> None:
    logits = torch.zeros(1, 1000)
    assert int(next_tokens(logits, torch.ones(1), 0, torch.tensor([1 - 1e-7]))) < 1000
