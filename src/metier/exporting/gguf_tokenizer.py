"""A tokenizer.json as GGUF metadata: tokens, their kinds, merges or scores, and which pre-tokenizer llama.cpp must use.

The inverse of what transformers reads from a GGUF file. A pre-tokenizer that is not known for certain is refused: a
near one gives other tokens for some texts only, which nobody would notice.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metier.core.errors import UserError

_NORMAL, _UNKNOWN, _CONTROL, _USER, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6  # llama.cpp's kinds of tokens
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"\p{N}| ?", r"\p{N}{1,3}| ?")
_REGEXES: Mapping[str, str] = {_QWEN2: "qwen2", _LLAMA3: "llama-bpe"}
_CONVERTER = "llama.cpp's convert_hf_to_gguf.py may know it: export with --to merged and give it that folder"


@dataclasses.dataclass(frozen=True, slots=True)
class GgufTokenizer:
    """A tokenizer as GGUF metadata.

    Attributes:
        model: llama.cpp's name of the algorithm: ``gpt2`` (byte-level BPE) or ``llama`` (SentencePiece).
        pre: Its name of the pre-tokenizer.
        tokens: By id.
        kinds: By id.
        merges: Of BPE, in order.
        scores: Of SentencePiece, by id.
        special: Ids by what they are for (``bos``, ``eos``, ``pad``, ``unk``).
        composes: Whether the tokenizer composes characters (NFC) first, which llama.cpp does not.
        prefixes_space: Whether a space is put in front of a text.
    """

    model: str
    pre: str
    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    merges: tuple[str, ...]
    scores: tuple[float, ...]
    special: Mapping[str, int]
    composes: bool
    prefixes_space: bool


def read_tokenizer(folder: Path, vocabulary: int) -> GgufTokenizer:
    """Return a model folder's tokenizer.

    Args:
        folder: With ``tokenizer.json`` and ``tokenizer_config.json``.
        vocabulary: Rows of the model's embeddings: ids without a token are filled up.

    Raises:
        UserError: The tokenizer is of a kind whose tokens llama.cpp is not known to make the same.
    """
    data = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    model, added = data["model"], data["added_tokens"]
    bpe = model["type"] == "BPE"
    sentencepiece = model["type"] == "Unigram" or (bpe and model.get("byte_fallback"))
    if not bpe and not sentencepiece:
        raise UserError(f"--to gguf: its tokenizer ({model['type']}) is of a kind not known here", hint=_CONVERTER)
    by_text = model["vocab"] if bpe else {text: i for i, (text, _) in enumerate(model["vocab"])}
    tokens, kinds = _tokens(by_text, added, vocabulary, sentencepiece, str(config.get("unk_token") or ""))
    return GgufTokenizer(
        model="llama" if sentencepiece else "gpt2",
        pre="default" if sentencepiece else _pre_tokenizer(data["pre_tokenizer"]),
        tokens=tokens,
        kinds=kinds,
        merges=() if sentencepiece else tuple(_merge(pair) for pair in model["merges"]),
        scores=_scores(model, tokens) if sentencepiece else (),
        special=_special(config, {text: i for i, text in enumerate(tokens)}),
        composes=_has(data["normalizer"], "NFC"),
        prefixes_space=_has(data["normalizer"], "Prepend")
        or (data["pre_tokenizer"] or {}).get("prepend_scheme") in ("always", "first"),
    )


def _tokens(
    by_text: Mapping[str, int], added: Sequence[Mapping[str, Any]], size: int, bytes_too: bool, unknown: str
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    tokens = [f"[PAD{i}]" for i in range(size)]
    kinds = [_UNUSED] * size
    for text, i in by_text.items():
        tokens[i] = text
        kinds[i] = _BYTE if bytes_too and len(text) == 6 and text.startswith("<0x") else _NORMAL
    for one in added:
        tokens[one["id"]] = one["content"]
        kinds[one["id"]] = _CONTROL if one["special"] else _USER
    if bytes_too and unknown in tokens:
        kinds[tokens.index(unknown)] = _UNKNOWN
    return tuple(tokens), tuple(kinds)


def _pre_tokenizer(found: Mapping[str, Any] | None) -> str:
    """Return llama.cpp's name of a byte-level pre-tokenizer."""
    parts = list(found["pretokenizers"]) if found and found["type"] == "Sequence" else [found or {"type": "none"}]
    last = parts[-1]
    if last["type"] == "ByteLevel" and not last.get("add_prefix_space"):
        before, own = parts[:-1], last.get("use_regex", True)
        if own and not before:
            return "gpt-2"
        if own and [(p["type"], p.get("individual_digits")) for p in before] == [("Digits", True)]:
            return "smollm"
        if not own and len(before) == 1 and before[0]["type"] == "Split" and before[0]["behavior"] == "Isolated":
            name = _REGEXES.get(before[0]["pattern"].get("Regex", ""))
            if name is not None:
                return name
    raise UserError("--to gguf: its pre-tokenizer is not one known here", hint=_CONVERTER)


def _scores(model: Mapping[str, Any], tokens: Sequence[str]) -> tuple[float, ...]:
    """Return each token's score; of merges, the earlier one has the higher."""
    if model["type"] == "Unigram":
        found = {text: float(score) for text, score in model["vocab"]}
    else:
        found = {}
        for rank, pair in enumerate(model["merges"]):
            found.setdefault(_merge(pair).replace(" ", "", 1), -float(rank))
    return tuple(found.get(text, -1e9) for text in tokens)


def _merge(pair: str | Sequence[str]) -> str:
    return pair if isinstance(pair, str) else " ".join(pair)


def _special(config: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, int]:
    found = {}
    for name in ("bos", "eos", "pad", "unk"):
        token = config.get(f"{name}_token")
        text = token["content"] if isinstance(token, dict) else token
        if isinstance(text, str) and text in ids:
            found[name] = ids[text]
    return found


def _has(normalizer: Mapping[str, Any] | None, kind: str) -> bool:
    """Whether a normalizer, or a part of it, is of a kind."""
    if normalizer is None:
        return False
    return normalizer["type"] == kind or any(_has(part, kind) for part in normalizer.get("normalizers", ()))
