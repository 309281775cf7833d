"""Checks that a GGUF file is complete, and converts its model to safetensors. Knows nothing about where it is from."""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path
from typing import Any

from metier.core import storage
from metier.core.errors import MetierError, UserError, first_line

# Sizes in bytes of the metadata value types 0 to 12 of the GGUF specification; 8 is a string and 9 an array.
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY, _UINT32 = 8, 9, 4
_DEEPEST = 4  # arrays in arrays
_MOST_DIMENSIONS = 8


def check_gguf(path: Path) -> None:
    """Raise an error unless a file is a GGUF file with all of its tensors.

    Raises:
        UserError: It does not exist, is not a GGUF file, or is shorter than its header says.
    """
    if not path.is_file():
        raise UserError(f"model: {path}: no such file")
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(4)
        if magic != b"GGUF":
            raise UserError(f"model: {path} is not a GGUF file (it begins with {magic!r})")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                promised = promised_bytes(data)
            except _Cut as error:
                raise UserError(
                    f"model: {path} is cut off: its {size} bytes do not even hold the header",
                    hint="download it again",
                ) from error
            except ValueError as error:
                raise UserError(f"model: {path} is damaged or not supported: {error}") from error
    if size < promised:
        raise UserError(
            f"model: {path} is cut off: it has {size} bytes, but its header says {promised}",
            hint="download it again",
        )


def promised_bytes(data: bytes | mmap.mmap) -> int:
    """Return how many bytes a GGUF file must have to hold every tensor that its header names.

    Reads only the header and trusts nothing in it. The gguf package's reader would map the tensors too, and fail on a
    file that is cut off before it could say how much is missing.

    Args:
        data: The file, complete or not. Versions 2 and 3, little-endian.

    Raises:
        ValueError: The header cannot be parsed. Its subclass ``_Cut``: the data ends inside the header.
    """
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    header = _Header(data)
    (version,) = header.take("I")
    if version not in (2, 3):
        raise ValueError(f"GGUF version {version} is not supported, only 2 and 3")
    tensors, pairs = header.take("QQ")
    alignment = 32
    for _ in range(pairs):
        key = header.text()
        (kind,) = header.take("I")
        if key == b"general.alignment" and kind == _UINT32:
            (alignment,) = header.take("I")
        else:
            header.skip_value(kind)
    if alignment == 0:
        raise ValueError("its alignment is 0")
    end = 0
    for _ in range(tensors):
        header.text()
        (dimensions,) = header.take("I")
        if dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"a tensor has {dimensions} dimensions")
        shape = header.take(f"{dimensions}Q")
        kind, offset = header.take("IQ")
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        end = max(end, offset + math.prod(shape) // block * size)
    start = -(-header.at // alignment) * alignment
    return start + end


def convert_gguf(gguf: Path, target: Path) -> None:
    """Write a GGUF file's model as bfloat16 safetensors with its tokenizer and chat template.

    Raises:
        MetierError: transformers cannot read this model, or some of its weights are missing.
    """
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    transformers.logging.disable_progress_bar()
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(**where)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            **where,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise MetierError(f"{gguf}: transformers cannot read it ({first_line(error)})") from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        raise MetierError(f"{gguf}: {len(missing)} of the model's weights are missing ({missing[0]} …)")
    with storage.explained(target):
        model.save_pretrained(str(target))
        tokenizer.save_pretrained(str(target))


class _Cut(ValueError):
    """The data ends inside the header."""


class _Header:
    """A position in a GGUF header that advances as values are taken."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        self.at = 4  # after the magic

    def take(self, form: str) -> tuple[Any, ...]:
        """Return the next little-endian values."""
        size = struct.calcsize(f"<{form}")
        start = self._pass(size)
        return struct.unpack_from(f"<{form}", self._data, start)

    def text(self) -> bytes:
        """Return the next string."""
        start = self._pass(*self.take("Q"))
        return self._data[start : self.at]

    def skip_value(self, kind: int, depth: int = 0) -> None:
        """Skip a metadata value."""
        if kind in _SIZES:
            self._pass(_SIZES[kind])
        elif kind == _STRING:
            self._pass(*self.take("Q"))
        elif kind == _ARRAY and depth < _DEEPEST:
            item, count = self.take("IQ")
            if item in _SIZES:
                self._pass(_SIZES[item] * count)
            else:
                for _ in range(count):
                    self.skip_value(item, depth + 1)
        else:
            raise ValueError(f"a metadata value has the unknown type {kind}")

    def _pass(self, size: int) -> int:
        start = self.at
        if start + size > len(self._data):
            raise _Cut(f"the header continues beyond byte {len(self._data)}")
        self.at = start + size
        return start
