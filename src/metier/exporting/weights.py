"""Writes an export's model folder: the merged model or the adapter, each with its tokenizer and the task's template."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

from metier.core import storage
from metier.core.errors import UserError
from metier.exporting.source import LanguageModel
from metier.exporting.template import chat_template
from metier.report.facts import PromptTemplate

_ADAPTER_CONFIG, _ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def write_merged(source: LanguageModel, prompt: PromptTemplate, folder: Path) -> None:
    """Write whole weights that plain transformers loads, in the base model's precision.

    An adapter is added in float32, so that its small steps are rounded once and not twice.

    Args:
        source: The model.
        prompt: How it is asked; becomes the chat template.
        folder: Where to; must exist.

    Raises:
        MetierError: The base model or the adapter cannot be loaded.
    """
    from metier.engines.end_tokens import end_tokens
    from metier.models.load import load_causal

    whole = source.weights if source.weights is not None and not source.has_adapter else source.base.path
    trusted = source.how.engine.trust_remote_code
    model, tokenizer = load_causal(whole, dtype="float32", device="cpu", trust_remote_code=trusted)
    if source.has_adapter:
        from peft import PeftModel

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT's own, about transformers
            model = PeftModel.from_pretrained(model, str(source.weights)).merge_and_unload()
    model = model.to(_precision(whole))
    ends = sorted(end_tokens(model, tokenizer))
    model.generation_config = _greedy(model.generation_config, ends, prompt.max_tokens)
    with storage.explained(folder):
        model.save_pretrained(str(folder))
    _write_tokenizer(source, prompt, folder)


def write_adapter(source: LanguageModel, prompt: PromptTemplate, folder: Path) -> None:
    """Write the PEFT adapter with its tokenizer; its base is named as the hub knows it, never by a path of this disk.

    Raises:
        UserError: The model has no adapter.
    """
    if source.weights is None or not source.has_adapter:
        why = "it is the base model under a prompt" if source.weights is None else "all of its weights were tuned"
        raise UserError(f"--to adapter: {source.title} has no adapter ({why})", hint="use --to merged")
    with storage.explained(folder):
        shutil.copy2(source.weights / _ADAPTER_WEIGHTS, folder / _ADAPTER_WEIGHTS)
    config = storage.read_json(source.weights / _ADAPTER_CONFIG)
    storage.write_json(folder / _ADAPTER_CONFIG, config | {"base_model_name_or_path": source.base.card_name})
    _write_tokenizer(source, prompt, folder)


def _write_tokenizer(source: LanguageModel, prompt: PromptTemplate, folder: Path) -> None:
    tokenizer = source.slot().tokenizer
    tokenizer.chat_template = chat_template(prompt)
    with storage.explained(folder):
        tokenizer.save_pretrained(str(folder))
    _without_machine(folder / "tokenizer_config.json")


def _without_machine(path: Path) -> None:
    """Take out what says only where the tokenizer was loaded from."""
    config = json.loads(path.read_text(encoding="utf-8"))
    storage.write_json(path, {k: v for k, v in config.items() if k not in ("is_local", "local_files_only")})


def _precision(folder: Path) -> Any:
    """Return the precision in which a model folder's weights are kept."""
    import torch
    from safetensors import safe_open

    with safe_open(str(sorted(folder.glob("*.safetensors"))[0]), "pt") as file:
        name = next(iter(file.keys()))
        kept = file.get_tensor(name).dtype
    return kept if kept in (torch.float16, torch.bfloat16) else torch.float32


def _greedy(config: Any, ends: list[int], max_tokens: int) -> Any:
    """Return a generation config that answers as the product does: the likeliest token, up to its longest answer."""
    import copy

    made = copy.deepcopy(config)
    made.do_sample = False
    made.temperature = made.top_p = made.top_k = None
    made.eos_token_id = ends
    made.max_new_tokens = max_tokens
    return made
