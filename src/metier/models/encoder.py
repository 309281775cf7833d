"""Turns texts into vectors: a sentence encoder, the student itself, static embeddings. Knows nothing about their use.

A text's vector is the mean over its tokens of the encoder's last hidden state, scaled to length 1 (Reimers & Gurevych
2019, arXiv 1908.10084), so that the dot product of two is their cosine. The student can serve as encoder in the same
way (LTD: Chen et al. 2023, arXiv 2305.09246). Static embeddings (model2vec) look words up, which is hundreds of times
as fast but ignores word order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from metier.core.errors import MetierError, UserError, first_line, is_out_of_memory
from metier.models.load import pick_device, pick_dtype

_BATCH_TOKENS = 8192
LONGEST = 256
"""Tokens of a text that are read; the rest is cut off, as in the training of these encoders."""


class Encoder(Protocol):
    """Turns texts into vectors of length 1."""

    def encode(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the texts' vectors, ``[texts, width]``, in their order."""
        ...


class SentenceEncoder:
    """An encoder, or a language model used as one, loaded once.

    Args:
        folder: Its weights in safetensors, with its tokenizer.
        device: auto, cpu, cuda …
        dtype: float32, or auto for what the hardware multiplies fastest.

    Raises:
        MetierError: No encoder can be loaded from the folder.
    """

    def __init__(self, folder: Path, *, device: str = "auto", dtype: str = "float32") -> None:
        import transformers
        from transformers import AutoModel, AutoTokenizer

        transformers.logging.disable_progress_bar()
        self._device = pick_device(device)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
            precision = pick_dtype(dtype, self._device)
            model: Any = AutoModel.from_pretrained(str(folder), use_safetensors=True, dtype=precision)
        except Exception as error:  # what a wrong config makes transformers raise is of many kinds
            if is_out_of_memory(error):
                raise
            raise MetierError(f"{folder}: cannot load an encoder from this folder ({first_line(error)})") from error
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._model = model.to(self._device).eval()
        limit = min(LONGEST, int(getattr(model.config, "max_position_embeddings", LONGEST)))
        self._limit = min(limit, int(self._tokenizer.model_max_length))

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        return sum(p.numel() for p in self._model.parameters())

    def encode(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the texts' vectors, ``[texts, width]``, in their order; texts of similar length share a batch."""
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


class StaticEncoder:
    """Static embeddings of model2vec.

    Args:
        name: Folder or hub id of the embeddings.

    Raises:
        UserError: model2vec is not installed.
        MetierError: The embeddings cannot be loaded.
    """

    def __init__(self, name: str) -> None:
        try:
            from model2vec import StaticModel
        except ImportError as error:
            raise UserError(
                "selection.encoder: model2vec is not installed", hint="pip install 'metier[static]'"
            ) from error
        try:
            self._model: Any = StaticModel.from_pretrained(name)
        except Exception as error:  # the hub's client raises many kinds of errors
            raise MetierError(f"{name}: cannot load static embeddings ({first_line(error)})") from error

    def encode(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the texts' vectors, ``[texts, width]``; a text without known words has the zero vector."""
        found = np.asarray(self._model.encode(list(texts)), np.float32)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        if progress:
            progress(len(texts), 0)
        return np.asarray(found / np.where(lengths > 0, lengths, 1), np.float32)


def _batches(order: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Group places into batches of at most `_BATCH_TOKENS` tokens, padding included; ``order`` is shortest first."""
    batches: list[list[int]] = []
    current: list[int] = []
    for place in order:
        if current and (len(current) + 1) * lengths[place] > _BATCH_TOKENS:
            batches.append(current)
            current = []
        current.append(place)
    return [*batches, current] if current else batches
