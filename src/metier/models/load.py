"""Loads a model folder into memory, on the right device and in the right precision. Knows nothing about its origin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.errors import MetierError, UserError

if TYPE_CHECKING:
    import torch


def load_causal(path: Path, *, dtype: str, device: str, trust_remote_code: bool = False) -> tuple[Any, Any]:
    """Return a causal language model, ready to run, and its tokenizer.

    Args:
        path: Folder with config, safetensors and tokenizer; weights in any other form are not read.
        dtype: ``auto``, ``bfloat16`` or ``float32``.
        device: ``cpu``, ``cuda`` …
        trust_remote_code: Run code that lies beside the weights.

    Raises:
        MetierError: The folder holds no such model.
    """
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    transformers.logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=trust_remote_code)
        model = AutoModelForCausalLM.from_pretrained(
            str(path),
            dtype=pick_dtype(dtype, device),
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
        )
    except (OSError, ValueError, KeyError) as error:
        raise MetierError(
            f"{path}: no model could be loaded from it ({str(error).splitlines()[0][:300]})",
            hint="is it a whole causal language model in safetensors? metier models fetch NAME brings one",
        ) from error
    if tokenizer.eos_token_id is None:
        raise MetierError(f"{path}: its tokenizer has no end token, so no answer would ever end")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(device).eval(), tokenizer


def pick_device(device: str) -> str:
    """Return the device that ``auto`` stands for here, or the one that was asked for.

    Raises:
        UserError: The device is not there.
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
            f"engine.device: {device!r} cannot be used ({str(error).splitlines()[0][:200]})",
            hint="auto finds what is here",
        ) from error
    return device


def pick_dtype(dtype: str, device: str) -> torch.dtype:
    """Return the precision to run in; ``auto`` is bfloat16 where the hardware multiplies it, else float32."""
    import torch

    if dtype != "auto":
        return {"bfloat16": torch.bfloat16, "float32": torch.float32}[dtype]
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if device == "mps" or cpu_has_bf16() else torch.float32


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 itself (AVX-512 BF16, AMX, or Arm's BF16)."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return False
    flags = info.read_text(errors="replace")
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16 "))
