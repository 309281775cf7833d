"""The gradient of each example's loss on an adapter's weights, projected to a few numbers.

Source: Xia et al. 2024 (LESS, arXiv 2402.04333). The projection is a count sketch (Charikar et al. 2002): every weight
is added, with a random sign, to one of the sketch's numbers. Inner products are preserved in expectation, at the cost
of one pass over the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.models.load import load_causal, pick_device
from metier.tasks.settings import EngineSettings
from metier.training.examples import EncodedExample

WIDTH = 4096


def example_gradients(
    model: Path,
    adapter: Path,
    examples: Sequence[EncodedExample],
    engine: EngineSettings,
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.float32]:
    """Return each example's projected gradient, scaled to length 1, ``[examples, WIDTH]``.

    Args:
        model: The base model's folder.
        adapter: A LoRA adapter on it, after a short warm-up.
        examples: What to compute the loss on.
        engine: Device and precision.
        seed: Seeds the projection; only projections with the same seed can be compared.
        progress: Called with examples done.
    """
    import torch
    from peft import PeftModel

    device = pick_device(engine.device)
    loaded, _ = load_causal(model, dtype=engine.float_dtype, device=device, trust_remote_code=engine.trust_remote_code)
    tuned: Any = PeftModel.from_pretrained(loaded, str(adapter), is_trainable=True)
    weights = [w for w in tuned.parameters() if w.requires_grad]
    generator = torch.Generator().manual_seed(seed % 2**63)
    total = sum(w.numel() for w in weights)
    bucket = torch.randint(WIDTH, (total,), generator=generator).to(device)
    sign = (torch.randint(2, (total,), generator=generator).float() * 2 - 1).to(device)
    out = np.empty((len(examples), WIDTH), np.float32)
    for number, example in enumerate(examples):
        ids = torch.tensor([example.input_ids], device=device)
        labels = torch.tensor(example.labels, device=device)
        predicting = (labels[1:] != -100).nonzero()[:, 0]
        logits = tuned(input_ids=ids, use_cache=False, logits_to_keep=predicting).logits[0]
        loss = torch.nn.functional.cross_entropy(logits.float(), labels[1:][predicting])
        gradient = torch.cat([g.flatten().float() for g in torch.autograd.grad(loss, weights)])
        sketch = torch.zeros(WIDTH, device=device).index_add_(0, bucket, gradient * sign)
        out[number] = torch.nn.functional.normalize(sketch, dim=0).cpu().numpy()
        if progress:
            progress(number + 1, 0)
    return out
