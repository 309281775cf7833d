"""Writes a model folder as a GGUF file: the inverse of ``models/gguf_file.py``, for the catalogue's architectures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from metier.core import storage
from metier.core.errors import MetierError, UserError
from metier.exporting.gguf_tokenizer import GgufTokenizer, read_tokenizer

Quant = Literal["f16", "q8_0", "q4_0"]
QUANTS: tuple[Quant, ...] = get_args(Quant)
_ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2", "gemma3_text": "gemma3"}
_FILE_TYPES = {"f16": 1, "q8_0": 7, "q4_0": 2}  # llama.cpp's numbers for "mostly"
_EMBEDDINGS = ("token_embd.weight", "output.weight")
_BLOCK = 32  # numbers that a quantised block holds
_CONVERTER = "export with --to merged and give that folder to llama.cpp's convert_hf_to_gguf.py"

Floats = npt.NDArray[np.float32]


def write_gguf(folder: Path, target: Path, quant: Quant, *, name: str, licence: str | None) -> GgufTokenizer:
    """Write a model's folder as one GGUF file, its chat template included, if it has a file of its own.

    Weights are kept as ``quant``; norms and biases in float32. Under q4_0 the embeddings stay at q8_0, since they are
    the output layer too. No start token is added by itself: the template writes the one the product has, if any.

    Args:
        folder: safetensors, config and tokenizer.
        target: The file.
        quant: How numbers are kept.
        name: What the model is called.
        licence: The base model's.

    Returns:
        The tokenizer as it was written.

    Raises:
        UserError: The architecture, a setting of it or the tokenizer is not known here.
    """
    import gguf
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(str(folder))
    architecture = architecture_of(config)
    embeddings = config.vocab_size
    tokenizer = read_tokenizer(folder, embeddings)
    with storage.explained(target):
        writer: Any = gguf.GGUFWriter(str(target), architecture, use_temp_file=True)
        writer.add_name(name)
        if licence:
            writer.add_license(licence)
        writer.add_file_type(_FILE_TYPES[quant])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        _add_sizes(writer, config, architecture)
        _add_tokenizer(writer, tokenizer)
        template = folder / "chat_template.jinja"
        if template.exists():
            writer.add_chat_template(template.read_text(encoding="utf-8"))
        writer.add_sampling_temp(0.0)
        for tensor, values in _tensors(folder, config, architecture):
            kind = _kind(tensor, values, quant)
            writer.add_tensor(tensor, gguf.quants.quantize(values, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return tokenizer


def architecture_of(config: Any) -> str:
    """Return llama.cpp's name of a model's architecture.

    Raises:
        UserError: It, or a setting of it, is not known here.
    """
    kind = config.model_type
    if kind not in _ARCHITECTURES:
        raise UserError(
            f"--to gguf: models of type {kind!r} are not written here (only {', '.join(_ARCHITECTURES)})",
            hint=_CONVERTER,
        )
    for one in _ropes(config):
        if one.get("rope_type", "default") != "default":
            raise UserError(f"--to gguf: position scaling {one['rope_type']!r} is not written here", hint=_CONVERTER)
    if kind == "qwen2" and config.use_sliding_window:
        raise UserError("--to gguf: a sliding window of attention is not written here", hint=_CONVERTER)
    return _ARCHITECTURES[kind]


def tensor_names(config: Any, architecture: str) -> Any:
    """Return gguf's map from transformers' names of a model's tensors to llama.cpp's."""
    import gguf

    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    return gguf.get_tensor_name_map(kinds[architecture], config.num_hidden_layers)


def arranged(values: Floats, key: str, config: Any, architecture: str) -> Floats:
    """Return a tensor, or another matrix with a tensor's rows, as llama.cpp wants it; ``key`` is transformers' name."""
    if architecture == "llama" and ".self_attn.q_proj." in key:
        return _interleaved(values, config.num_attention_heads)
    if architecture == "llama" and ".self_attn.k_proj." in key:
        return _interleaved(values, config.num_key_value_heads)
    if architecture == "gemma3" and key.endswith("norm.weight"):
        return values + 1  # Gemma multiplies by one more than the weight
    return values


def _ropes(config: Any) -> list[dict[str, Any]]:
    """Return the settings of rotary positions: of all layers, or of those with full attention and the others."""
    found = config.rope_parameters
    if "full_attention" in found:
        return [found["full_attention"], found["sliding_attention"]]
    return [found]


def _add_sizes(writer: Any, config: Any, architecture: str) -> None:
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    ropes = _ropes(config)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(ropes[0]["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    if architecture == "llama":
        writer.add_rope_dimension_count(head)
    if architecture == "gemma3":
        writer.add_sliding_window(config.sliding_window)
        writer.add_rope_freq_base_swa(ropes[-1]["rope_theta"])


def _add_tokenizer(writer: Any, tokenizer: GgufTokenizer) -> None:
    writer.add_tokenizer_model(tokenizer.model)
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(list(tokenizer.tokens))
    writer.add_token_types(list(tokenizer.kinds))
    if tokenizer.merges:
        writer.add_token_merges(list(tokenizer.merges))
    if tokenizer.scores:
        writer.add_token_scores(list(tokenizer.scores))
    adders = {
        "bos": writer.add_bos_token_id,
        "eos": writer.add_eos_token_id,
        "pad": writer.add_pad_token_id,
        "unk": writer.add_unk_token_id,
    }
    for name, i in tokenizer.special.items():
        adders[name](i)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(tokenizer.prefixes_space)


def _tensors(folder: Path, config: Any, architecture: str) -> Iterator[tuple[str, Floats]]:
    """Yield a model's tensors by llama.cpp's names, in float32."""
    from safetensors import safe_open

    names = tensor_names(config, architecture)
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(str(path), "pt") as file:
            for key in file.keys():  # noqa: SIM118 - not a mapping
                if key == "lm_head.weight" and config.tie_word_embeddings:
                    continue
                name = names.get_name(key, try_suffixes=(".weight", ".bias"))
                if name is None:
                    raise MetierError(f"--to gguf: {key} has no place in a {architecture} GGUF file")
                yield name, arranged(file.get_tensor(key).float().numpy(), key, config, architecture)


def _interleaved(values: Floats, heads: int) -> Floats:
    """Return rows with each head's two halves taking turns, as llama.cpp turns positions in pairs of neighbours."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(values.shape))


def _kind(name: str, values: Floats, quant: Quant) -> Any:
    import gguf

    if values.ndim == 1:
        return gguf.GGMLQuantizationType.F32
    if quant == "f16" or values.shape[-1] % _BLOCK:
        return gguf.GGMLQuantizationType.F16
    if quant == "q8_0" or name in _EMBEDDINGS:
        return gguf.GGMLQuantizationType.Q8_0
    return gguf.GGMLQuantizationType.Q4_0
