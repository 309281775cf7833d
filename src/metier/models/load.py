"""Loads a model folder into memory, on the right device and in the right precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.core.errors import MetierError, UserError, first_line, is_out_of_memory
from metier.models.processor import cpu_prefers_bf16
from metier.models.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch


def load_causal(path: Path, *, dtype: str, device: str, trust_remote_code: bool = False) -> tuple[Any, Tokenizer]:
    """Return a causal language model, ready to run, and its tokenizer.

    Args:
        path: Folder with config, safetensors and tokenizer; other weight formats are not read.
        dtype: ``auto``, ``bfloat16`` or ``float32``.
        device: ``cpu``, ``cuda`` …
        trust_remote_code: Run code that lies beside the weights.

    Raises:
        MetierError: No causal language model can be loaded from the folder.
    """
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    transformers.logging.disable_progress_bar()
    precision = pick_dtype(dtype, device)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=trust_remote_code)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(path),
            dtype=precision,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except Exception as error:  # what a wrong config makes transformers raise is of many kinds
        if is_out_of_memory(error):
            raise
        raise MetierError(
            f"{path}: cannot load a model from this folder ({first_line(error)})",
            hint="it must hold a complete causal language model in safetensors; metier models fetch NAME gets one",
        ) from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        # transformers would fill them with random values: the folder holds an encoder, or a file is missing.
        raise MetierError(
            f"{path}: {len(missing)} weights of a causal language model are missing ({missing[0]} …)",
            hint="an encoder cannot generate text; if this is a language model, download its files again",
        )
    if tokenizer.eos_token_id is None:
        raise MetierError(f"{path}: the tokenizer has no end token, so no answer would ever end")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(device).eval(), tokenizer


def pick_device(device: str) -> str:
    """Return the device that ``auto`` means on this machine, or the one that was asked for.

    Raises:
        UserError: The device cannot be used.
    """
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"engine.device: {device!r} cannot be used ({first_line(error)})",
            hint="engine.device=auto picks one that works",
        ) from error
    return device


def pick_dtype(dtype: str, device: str) -> torch.dtype:
    """Return the precision to run in; ``auto`` is bfloat16 where the hardware multiplies it faster, else float32.

    Args:
        dtype: ``auto``, ``bfloat16`` or ``float32``.
        device: ``cpu``, ``cuda`` …
    """
    import torch

    if dtype != "auto":
        return {"bfloat16": torch.bfloat16, "float32": torch.float32}[dtype]
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if device == "mps" or cpu_prefers_bf16() else torch.float32
