"""Models that are wrong: GGUF and safetensors files, model folders, names."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from tests.torture.rubbish import Change, Content, Rubbish, put

_MAGIC = b"GGUF"
_TEXT, _ARRAY, _UINT32 = 8, 9, 4


def _text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def _gguf(version: int = 3, tensors: int = 0, pairs: int = 0, rest: bytes = b"") -> bytes:
    return _MAGIC + struct.pack("<IQQ", version, tensors, pairs) + rest


def _pair(key: bytes, kind: int, value: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + value


def _tensor(dimensions: int, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    head = _text(b"w") + struct.pack(f"<I{len(shape)}Q", dimensions, *shape)
    return head + struct.pack("<IQ", kind, offset)


_MOST = 2**64 - 1
_NESTED = struct.pack("<IQ", _ARRAY, 1) * 200
GGUFS: dict[str, bytes] = {
    "nothing": b"",
    "two bytes": b"GG",
    "the magic alone": _MAGIC,
    "another magic": b"GGML" + bytes(100),
    "text": b"not a model\n" * 10,
    "a big-endian one": _MAGIC + struct.pack(">IQQ", 3, 0, 0),
    "version 0": _gguf(0),
    "version 1": _gguf(1),
    "version 99": _gguf(99),
    "no tensors and no facts": _gguf(),
    "tensors without end": _gguf(tensors=_MOST),
    "facts without end": _gguf(pairs=_MOST),
    "both without end": _gguf(tensors=_MOST, pairs=_MOST),
    "a key that is too long": _gguf(pairs=1, rest=struct.pack("<Q", _MOST) + b"abc"),
    "a text that is too long": _gguf(pairs=1, rest=_pair(b"k", _TEXT, struct.pack("<Q", 2**40))),
    "an array that is too long": _gguf(pairs=1, rest=_pair(b"k", _ARRAY, struct.pack("<IQ", 4, 2**62))),
    "an array of empty texts without end": _gguf(
        pairs=1, rest=_pair(b"k", _ARRAY, struct.pack("<IQ", 8, _MOST) + bytes(800_000))
    ),
    "arrays of arrays": _gguf(pairs=1, rest=_pair(b"k", _ARRAY, _NESTED)),
    "an unknown type": _gguf(pairs=1, rest=_pair(b"k", 77, bytes(8))),
    "an alignment of 0": _gguf(pairs=1, rest=_pair(b"general.alignment", _UINT32, bytes(4))),
    "an alignment that is a text": _gguf(pairs=1, rest=_pair(b"general.alignment", _TEXT, _text(b"x"))),
    "a tensor of a thousand dimensions": _gguf(tensors=1, rest=_tensor(1000, (1,) * 4)),
    "a tensor that is too large": _gguf(tensors=1, rest=_tensor(4, (2**60,) * 4)),
    "a tensor of an unknown kind": _gguf(tensors=1, rest=_tensor(1, (32,), kind=250)),
    "a tensor beyond the end": _gguf(tensors=1, rest=_tensor(1, (32,), offset=2**50)),
    "a tensor without bytes": _gguf(tensors=1, rest=_tensor(1, (32,))),
    "an architecture nobody knows": _gguf(pairs=1, rest=_pair(b"general.architecture", _TEXT, _text(b"magic"))),
    "an architecture that is not UTF-8": _gguf(pairs=1, rest=_pair(b"general.architecture", _TEXT, _text(b"\xff"))),
}


def _safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def _one(kind: str = "F32", shape: object = (2,), offsets: object = (0, 8)) -> bytes:
    return json.dumps({"w": {"dtype": kind, "shape": shape, "data_offsets": offsets}}).encode()


SAFETENSORS: dict[str, bytes] = {
    "nothing": b"",
    "four bytes": bytes(4),
    "text": b"not weights\n" * 10,
    "a header of no length": _safetensors(b"", b"", 0),
    "a header without end": _safetensors(b"{}", b"", _MOST),
    "a header of ninety megabytes": _safetensors(b"{}", b"", 90_000_000),
    "a header that is not JSON": _safetensors(b"{w: 1}"),
    "a header that is a list": _safetensors(b"[]"),
    "a header nested without end": _safetensors(b"[" * 100_000),
    "a header that is not UTF-8": _safetensors(b"\xff\xfe"),
    "no tensors": _safetensors(b"{}"),
    "an unknown kind": _safetensors(_one("X99"), bytes(8)),
    "a negative shape": _safetensors(_one(shape=(-2,)), bytes(8)),
    "a shape that is too large": _safetensors(_one(shape=(2**62, 2**62)), bytes(8)),
    "offsets beyond the end": _safetensors(_one(offsets=(0, 2**40)), bytes(8)),
    "offsets backwards": _safetensors(_one(offsets=(8, 0)), bytes(8)),
    "data that is missing": _safetensors(_one()),
    "data too many": _safetensors(_one(), bytes(80)),
    "other tensors": _safetensors(_one(), bytes(8)),
    "a pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
}


def _without(*names: str) -> Change:
    def change(here: Path) -> None:
        for name in names:
            (here / name).unlink()

    return change


def _emptied(here: Path) -> None:
    for path in here.iterdir():
        path.unlink()


def _as_link(here: Path) -> None:
    (here / "config.json").unlink()
    (here / "config.json").symlink_to(here / "config.json")


_NO_MODELS: dict[str, Change] = {
    "nothing": _emptied,
    "no config": _without("config.json"),
    "no weights": _without("model.safetensors"),
    "a config that is a link to itself": _as_link,
    "a pickle alone": lambda here: (here / "model.safetensors").rename(here / "pytorch_model.bin"),
}
_FOLDERS: dict[str, Change] = {
    "no tokenizer": _without("tokenizer.json", "tokenizer_config.json"),
    "a config that is cut off": put("config.json", '{"model_type": "llama"'),
    "a config that is a list": put("config.json", "[]"),
    "a config of nothing": put("config.json", "{}"),
    "a config of an unknown kind": put("config.json", '{"model_type": "magic"}'),
    "a config of an encoder": put("config.json", '{"model_type": "bert"}'),
    "a config with a size in words": put("config.json", '{"model_type": "llama", "hidden_size": "many"}'),
    "a config with no heads": put(
        "config.json", '{"model_type": "llama", "hidden_size": 32, "num_attention_heads": 0}'
    ),
    "a config of its own code": put(
        "config.json", '{"auto_map": {"AutoConfig": "x.C", "AutoModelForCausalLM": "x.M"}}'
    ),
    "a tokenizer that is cut off": put("tokenizer.json", '{"version": "1.0"'),
    "a tokenizer of nothing": put("tokenizer.json", "{}"),
    "a tokenizer of its own class": put("tokenizer_config.json", '{"tokenizer_class": "Magic"}'),
}
_NAMES = {
    "nothing": "''",
    "a name nobody knows": "smollm",
    "a file that is not there": "none.gguf",
    "a folder that is not there": "./none",
    "a path of zero bytes": '"a\\0b"',
    "a path that is too long": "a" * 5000,
    "an unknown URL": "gopher://example.invalid/m",
    "three parts": "a/b/c",
    "a GGUF that is a folder": "folder.gguf",
}


def _task(model: str) -> str:
    return f"""\
name: t
instruction: Name the team.
labels: [billing, delivery]
examples: [{{input: charged twice, output: billing}}, {{input: parcel late, output: delivery}}]
engine: {{device: cpu, dtype: float32}}
model: {model}
"""


def _used(name: str, change: Change, code: int = 1) -> Rubbish:
    """Return a copy of the tiny model that is changed and then asked."""
    command = ("synthesize", "{here}/task.yaml", "--smoke", "--quiet", "--out", "{here}/out")

    def made(here: Path) -> None:
        (here / "model").mkdir()
        for path in list(here.iterdir()):
            if path.is_file():
                path.rename(here / "model" / path.name)
        change(here / "model")
        put("task.yaml", _task("./model"))(here)

    return Rubbish(name, command, change=made, copies="model", code=code)


def all_models() -> list[Rubbish]:
    """Return the wrong models."""
    found = []
    for name, content in GGUFS.items():
        files: dict[str, Content] = {"m.gguf": content}
        found.append(Rubbish(f"GGUF: {name}", ("models", "fetch", "{here}/m.gguf", "--quiet"), files))
    found += [_used(f"weights: {name}", put("model.safetensors", content)) for name, content in SAFETENSORS.items()]
    found += [_used(f"model folder: {name}", change, 2) for name, change in _NO_MODELS.items()]
    found += [_used(f"model folder: {name}", change) for name, change in _FOLDERS.items()]
    for name, model in _NAMES.items():
        command = ("synthesize", "{here}/task.yaml", "--smoke", "--quiet", "--out", "{here}/out")
        files = {"task.yaml": _task(model), "folder.gguf/x": ""}
        found.append(Rubbish(f"model name: {name}", command, files))
    return found
