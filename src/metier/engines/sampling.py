"""Draws the next token of every row from its logits. Knows nothing about models.

Each request has its own random stream (Philox, keyed by its seed) with one number for each sample and step, so a
sample depends only on its request, not on the rows that share the batch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch


def uniforms(seed: int, samples: int, steps: int, first: int = 0) -> npt.NDArray[np.float32]:
    """Return one request's random numbers in [0, 1), ``[samples, steps]``, starting at its sample ``first``."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    return generator.random((first + samples, steps), dtype=np.float32)[first:]


def next_tokens(logits: torch.Tensor, temperature: torch.Tensor, top_k: int, draws: torch.Tensor) -> torch.Tensor:
    """Return the next token of every row, ``[rows]``.

    Args:
        logits: ``[rows, vocabulary]``.
        temperature: ``[rows]``; a row at 0 takes its most likely token.
        top_k: Sample from the k most likely tokens; 0: from all.
        draws: One uniform number in [0, 1) per row, ``[rows]``.
    """
    likeliest = logits.argmax(dim=-1)
    sampled = temperature > 0
    if not bool(sampled.any()):
        return likeliest
    scaled = logits.float() / temperature.clamp(min=1e-4).unsqueeze(1)
    if 0 < top_k < logits.shape[-1]:
        values, tokens = scaled.topk(top_k, dim=-1)
        picked = _inverse_cdf(values.softmax(dim=-1), draws)
        chosen = tokens.gather(1, picked.unsqueeze(1)).squeeze(1)
    else:
        chosen = _inverse_cdf(scaled.softmax(dim=-1), draws)
    return torch.where(sampled, chosen, likeliest)


def _inverse_cdf(probabilities: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    cumulative = probabilities.cumsum(dim=-1)
    # float32 probabilities do not sum to exactly 1: scale the draw to their sum.
    targets = draws.unsqueeze(1) * cumulative[:, -1:]
    picked = torch.searchsorted(cumulative, targets, right=True).clamp(max=probabilities.shape[-1] - 1)
    # A draw next to 1 may be rounded to the whole sum, behind the last token that is possible.
    impossible = probabilities.gather(1, picked) == 0
    return torch.where(impossible, probabilities.argmax(dim=-1, keepdim=True), picked).squeeze(1)
