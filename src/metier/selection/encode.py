"""Turns texts into vectors with a sentence encoder. Knows nothing about what the vectors are for.

A text's vector is the mean over its tokens of the encoder's last hidden state, brought to length 1 (Reimers & Gurevych
2019, arXiv 1908.10084), so that the product of two is their cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.errors import MetierError, first_line
from metier.models.load import pick_device

_BATCH_TOKENS = 8192
_LONGEST = 512  # tokens; what follows is not read, as is usual for these encoders


class SentenceEncoder:
    """An encoder, loaded once.

    Args:
        folder: Its weights in safetensors, with its tokenizer.
        device: auto, cpu, cuda …

    Raises:
        MetierError: The folder holds no encoder.
    """

    def __init__(self, folder: Path, *, device: str = "auto") -> None:
        import transformers
        from safetensors import SafetensorError
        from transformers import AutoModel, AutoTokenizer

        transformers.logging.disable_progress_bar()
        self._device = pick_device(device)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
            model: Any = AutoModel.from_pretrained(str(folder), use_safetensors=True)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise MetierError(f"{folder}: no encoder could be loaded from it ({first_line(error)})") from error
        self._model = model.to(self._device).eval()
        limit = min(_LONGEST, int(getattr(model.config, "max_position_embeddings", _LONGEST)))
        self._limit = min(limit, int(self._tokenizer.model_max_length))

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        return sum(p.numel() for p in self._model.parameters())

    def encode(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the texts' vectors, ``[texts, width]``, in their order; batches are made of texts of like length."""
        import torch

        if not texts:
            return np.empty((0, int(self._model.config.hidden_size)), np.float32)
        ids = self._tokenizer(list(texts), truncation=True, max_length=self._limit)["input_ids"]
        order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
        out = np.empty((len(texts), int(self._model.config.hidden_size)), np.float32)
        done = 0
        for batch in _batches(order, [len(x) for x in ids]):
            padded = self._tokenizer.pad({"input_ids": [ids[i] for i in batch]}, return_tensors="pt").to(self._device)
            with torch.inference_mode():
                states = self._model(**padded).last_hidden_state.float()
            mask = padded["attention_mask"].unsqueeze(-1).float()
            means = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            out[batch] = torch.nn.functional.normalize(means, dim=1).cpu().numpy()
            done += len(batch)
            if progress:
                progress(done, 0)
        return out


def _batches(order: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Return places in batches of at most `_BATCH_TOKENS` tokens, padding counted; they come shortest first."""
    batches: list[list[int]] = []
    current: list[int] = []
    for place in order:
        if current and (len(current) + 1) * lengths[place] > _BATCH_TOKENS:
            batches.append(current)
            current = []
        current.append(place)
    return [*batches, current] if current else batches
