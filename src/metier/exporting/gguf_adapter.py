"""Writes a PEFT adapter as a GGUF file, which llama.cpp puts on a GGUF file of its base model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from metier.core import storage
from metier.core.errors import MetierError, UserError, first_line
from metier.exporting.gguf_writer import Floats, architecture_of, arranged, tensor_names

_PREFIX, _ENDS = "base_model.model.", {".lora_A.weight": ".lora_a", ".lora_B.weight": ".lora_b"}


def write_gguf_adapter(adapter: Path, base: Path, target: Path) -> None:
    """Write an adapter's matrices in float32.

    Args:
        adapter: Folder of the PEFT adapter.
        base: Folder of its base model, of which the config is read.
        target: The file.

    Raises:
        UserError: The architecture is not known here, or the adapter is of a kind that llama.cpp does not have.
        MetierError: It is not an adapter of this model.
    """
    import gguf
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(str(base))
    architecture = architecture_of(config)
    with storage.explained(target):
        writer: Any = gguf.GGUFWriter(str(target), architecture)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, _alpha(adapter))
        for name, values in _matrices(adapter, config, architecture):
            writer.add_tensor(name, np.ascontiguousarray(values))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _alpha(adapter: Path) -> float:
    """Return the number that llama.cpp divides by the rank for an adapter's scale."""
    path = adapter / "adapter_config.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        rank, alpha = int(told["r"]), float(told["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MetierError(f"{adapter}: is not an adapter ({first_line(error)})") from error
    for key in ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save"):
        if told.get(key):
            raise UserError(f"{path}: llama.cpp has no adapters with {key}", hint="export the merged model")
    return alpha * rank**0.5 if told.get("use_rslora") else alpha


def _matrices(adapter: Path, config: Any, architecture: str) -> Iterator[tuple[str, Floats]]:
    """Yield an adapter's matrices by llama.cpp's names."""
    from safetensors import safe_open

    names = tensor_names(config, architecture)
    with safe_open(str(adapter / "adapter_model.safetensors"), "pt") as file:
        for key in file.keys():  # noqa: SIM118 - not a mapping
            end = next((end for end in _ENDS if key.endswith(end)), None)
            whole = key.removeprefix(_PREFIX).removesuffix(end or "") + ".weight"
            name = names.get_name(whole, try_suffixes=(".weight",)) if end is not None else None
            if end is None or name is None:
                raise MetierError(f"{adapter}: {key} has no place in a GGUF adapter of a {architecture} model")
            values: Floats = file.get_tensor(key).float().numpy()
            # The rows of the second are the layer's outputs, and go where the layer's own rows go.
            yield (
                name + _ENDS[end],
                arranged(values, whole, config, architecture) if end == ".lora_B.weight" else values,
            )
