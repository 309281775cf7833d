"""Reads YAML with every scalar kept as the text that was written, and the line of every key.

Tags construct nothing. Duplicate keys are rejected, and so are aliases, which can make a small file expand without end.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from metier.core.errors import UserError

_NULLS = ("", "~", "null", "Null", "NULL")
_MOST_BYTES = 5_000_000

Key = tuple[str | int, ...]
"""Where a value is: the keys and list indices that lead to it."""


def read_text(path: Path) -> str:
    """Return a small text file's text.

    Raises:
        UserError: It does not exist, is a folder, is larger than 5 MB, cannot be read, or is not UTF-8.
    """
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder", hint=f"name a task file in it, such as {path / 'task.yaml'}")
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.y*ml")], n=1)
        hint = f"did you mean {path.parent / near[0]}?" if near else "metier init NAME writes a task file to start from"
        raise UserError(f"{path}: no such file", hint=hint) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if len(raw) > _MOST_BYTES:
        raise UserError(f"{path}: larger than {_MOST_BYTES // 10**6} MB", hint="put large data in separate files")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: not UTF-8 (byte {raw[error.start]:#04x} at offset {error.start})",
            hint="save the file as UTF-8",
        ) from error


def parse(
    text: str, where: str, *, at: Key = (), keeps_null: Callable[[Key], bool] = lambda key: False
) -> tuple[Any, dict[Key, int]]:
    """Return YAML as nested dicts and lists of text (None for null), and the line of every key.

    Args:
        text: The YAML.
        where: What errors call it.
        at: The key that the text is the value of.
        keeps_null: Whether a null word (null, ~) at a key stays text.

    Raises:
        UserError: It is not YAML, or contains aliases, duplicate keys, or a key that is not a scalar.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UserError(f"{where}{place}: not YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{where}:{line}: not YAML: character #x{int(error.character):04x} is not allowed") from error
    except RecursionError as error:
        raise UserError(f"{where}: nested too deeply") from error
    lines: dict[Key, int] = {}
    return _value(node, at, lines, where, keeps_null, set()), lines


def key_name(key: Key) -> str:
    """Return a key as people write it: ``examples[1].output``."""
    out = ""
    for part in key:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out or "the file"


def _value(
    node: Any, key: Key, lines: dict[Key, int], where: str, keeps_null: Callable[[Key], bool], seen: set[int]
) -> Any:
    if node is None:
        return None
    line = lines[key] = node.start_mark.line + 1
    if id(node) in seen:  # the same node twice is an alias
        raise UserError(f"{where}:{line}: {key_name(key)}: YAML aliases are not allowed", hint="write the value out")
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise UserError(f"{where}:{place}: {key_name(key)}: a key must be a single word")
            inner = (*key, str(key_node.value))
            if key_node.value in out:
                raise UserError(f"{where}:{place}: {key_name(inner)}: this key appears twice")
            out[key_node.value] = _value(value_node, inner, lines, where, keeps_null, seen)
            lines[inner] = place
        return out
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*key, i), lines, where, keeps_null, seen) for i, item in enumerate(node.value)]
    plain_null = node.style is None and node.value in _NULLS
    return None if plain_null and not (node.value and keeps_null(key)) else node.value
