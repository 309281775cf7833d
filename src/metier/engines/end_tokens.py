"""Which tokens end an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metier.models.tokenizer import Tokenizer

_END_OF_TURN = ("<|im_end|>", "<end_of_turn>", "<|eot_id|>", "<|end|>", "<|endoftext|>")


def end_tokens(model: Any, tokenizer: Tokenizer) -> frozenset[int]:
    """Return the tokens that end an answer: the tokenizer's, the model's own, and known ends of a turn."""
    return _ends(model.generation_config.eos_token_id, tokenizer)


def end_tokens_in(folder: Path, tokenizer: Tokenizer) -> frozenset[int]:
    """Return the tokens that end an answer of the model in a folder; it need not be loaded."""
    from transformers import AutoConfig, GenerationConfig

    config: Any
    try:
        config = GenerationConfig.from_pretrained(str(folder))
    except OSError:  # a model may have none; transformers then goes by the model's own
        config = AutoConfig.from_pretrained(str(folder)).get_text_config()
    return _ends(config.eos_token_id, tokenizer)


def _ends(configured: Any, tokenizer: Tokenizer) -> frozenset[int]:
    found = {tokenizer.eos_token_id}
    found.update(configured if isinstance(configured, list) else [configured])
    known = tokenizer.get_added_vocab()
    found.update(known[token] for token in _END_OF_TURN if token in known)
    return frozenset(token for token in found if token is not None)
