"""Typed records to JSON and back: the one codec for what steps are given, what they make, and what a run says.

Handles dataclasses, pydantic models, tuples, mappings with text keys, literals, unions with None, and plain values.
What is written is read back equal, as the type it was.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import pydantic

T = TypeVar("T")


class CodecError(ValueError):
    """A value is not what its type says; the message names the place."""


def encode(value: Any) -> Any:
    """Return a record as plain JSON values.

    A number that is not finite becomes None: JSON has no word for it. A path is refused, as it means nothing on another
    machine: wrap what is at it in `core.step.Artifact`.

    Raises:
        CodecError: A value has no JSON form.
    """
    if hasattr(value, "__encode__"):
        return value.__encode__()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, pydantic.BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [encode(item) for item in value]
    if isinstance(value, Path):
        raise CodecError(f"{value}: a path is not a value that can be kept")
    raise CodecError(f"{type(value).__name__} cannot be encoded")


def decode(kind: type[T], data: Any, where: str = "") -> T:
    """Return JSON values as a record of a type.

    Args:
        kind: What they are: a dataclass, a pydantic model, or any type that `encode` takes.
        data: What `encode` returned.
        where: Names the place in errors.

    Raises:
        CodecError: A key is missing or unknown, or a value is not of its type.
    """
    return typing.cast(T, _decode(kind, data, where or _name(kind)))


def _decode(kind: Any, data: Any, where: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(kind, data, where)
    if origin is Literal:
        if data not in get_args(kind):
            raise CodecError(f"{where}: {data!r} is not one of {', '.join(map(repr, get_args(kind)))}")
        return data
    if origin is not None and issubclass(origin, Mapping):
        return {
            str(key): _decode(get_args(kind)[1], item, f"{where}.{key}") for key, item in _dict(data, where).items()
        }
    if origin is tuple:
        return _decode_tuple(kind, data, where)
    if kind is Any or kind is object:
        return data
    if hasattr(kind, "__decode__"):
        return kind.__decode__(data)
    if dataclasses.is_dataclass(kind):
        return _decode_record(kind, _dict(data, where), where)
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        try:
            return kind.model_validate(data)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            raise CodecError(f"{'.'.join(map(str, (where, *first['loc'])))}: {first['msg']}") from error
    return _plain(kind, data, where)


def _decode_union(kind: Any, data: Any, where: str) -> Any:
    parts = get_args(kind)
    if data is None and type(None) in parts:
        return None
    rest = [part for part in parts if part is not type(None)]
    problems = []
    for part in rest:
        try:
            return _decode(part, data, where)
        except CodecError as error:
            problems.append(error)
    raise problems[0]


def _decode_tuple(kind: Any, data: Any, where: str) -> tuple[Any, ...]:
    parts = get_args(kind)
    if not isinstance(data, list | tuple):
        raise CodecError(f"{where}: expected a list, found {type(data).__name__}")
    if len(parts) == 2 and parts[1] is Ellipsis:
        return tuple(_decode(parts[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if len(parts) != len(data):
        raise CodecError(f"{where}: expected {len(parts)} values, found {len(data)}")
    return tuple(_decode(part, item, f"{where}[{i}]") for i, (part, item) in enumerate(zip(parts, data, strict=True)))


def _decode_record(kind: Any, data: Mapping[str, Any], where: str) -> Any:
    hints = _hints(kind)
    if unknown := sorted(set(data) - set(hints)):
        raise CodecError(f"{where}: {unknown[0]!r} is not known")
    fields = dataclasses.fields(kind)
    missing = [
        f.name
        for f in fields
        if f.name not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise CodecError(f"{where}: {missing[0]!r} is missing")
    return kind(**{name: _decode(hints[name], item, f"{where}.{name}") for name, item in data.items()})


def _plain(kind: Any, data: Any, where: str) -> Any:
    if kind is float and isinstance(data, int | float) and not isinstance(data, bool):
        return float(data)
    if kind is float and data is None:
        return math.nan  # what `encode` makes of a number that is not finite
    if isinstance(kind, type) and isinstance(data, kind) and (kind is not int or not isinstance(data, bool)):
        return data
    raise CodecError(f"{where}: expected {_name(kind)}, found {type(data).__name__}")


def _dict(data: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise CodecError(f"{where}: expected an object, found {type(data).__name__}")
    return data


@cache
def _hints(kind: Any) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: hint for name, hint in typing.get_type_hints(kind).items() if name in names}


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))
