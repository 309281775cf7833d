"""Applies command-line settings to a parsed YAML file, and explains schema errors with their line and key.

Works for any pydantic model; the hint about missing ``examples`` is the one thing it knows of task files.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from metier.core.errors import UserError
from metier.tasks.yamltext import Key, key_name, parse

_COMMAND_LINE = 0  # line number of a setting that was given on the command line


def override(
    model: type[BaseModel],
    data: dict[str, Any],
    lines: dict[Key, int],
    setting: str,
    keeps_null: Callable[[Key], bool] = lambda key: False,
) -> None:
    """Apply one setting, ``key.sub=value`` with a YAML value, to a parsed file; changes both mappings.

    Raises:
        UserError: The schema has no such setting, or the value is not YAML.
    """
    name, equals, text = setting.partition("=")
    parts = tuple(name.strip().split("."))
    if not equals or not all(parts):
        raise UserError(f"{setting!r} is not a setting", hint="write KEY=VALUE, such as training.epochs=2")
    _check_known(model, parts, setting)
    value, _ = parse(text, f"setting {name}", at=parts, keeps_null=keeps_null)
    place = data
    for part in parts[:-1]:
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            return  # the schema rejects what the file has there, and the error names its line
    place[parts[-1]] = value
    for inner in [key for key in lines if key[: len(parts)] == parts]:
        del lines[inner]
    lines[parts] = _COMMAND_LINE


def explain(model: type[BaseModel], error: ValidationError, path: Path, lines: Mapping[Key, int]) -> str:
    """Return a schema's objections to a file, one per line, each with its place in the file."""
    problems = error.errors()
    places = [tuple(problem["loc"]) for problem in problems]
    listed = []
    for key, problem in zip(places, problems, strict=True):
        if problem["type"] == "too_short" and any(other[:1] == key and len(other) > 1 for other in places):
            continue  # the list only seems too short because its items were rejected
        message = _in_words(model, problem, key)
        named = re.match(r"([a-z_]+)(?:\[(\d+)\])?(?:\.([a-z_]+))?:", message)
        if problem["type"] == "value_error" and named and not key:
            key = tuple(int(part) if part.isdigit() else part for part in named.groups() if part is not None)
            message = message[named.end() :].strip()
        listed.append(f"{path}{line_of(key, lines)}: {key_name(key)}: {message}")
    return "\n".join(listed)


def line_of(key: Key, lines: Mapping[Key, int]) -> str:
    """Return ``:LINE`` of a key or its nearest parent, or that the command line set it; empty if unknown."""
    for length in range(len(key), -1, -1):
        line = lines.get(key[:length])
        if line:
            return f":{line}"
        if line == _COMMAND_LINE:
            return " (set on the command line)"
    return ""


def _check_known(model: type[BaseModel], parts: Sequence[str], setting: str) -> None:
    here: Any = model
    for depth, part in enumerate(parts):
        if here is None:
            fields: Any = {}
        elif issubclass(here, BaseModel):
            fields = here.model_fields
        else:
            return  # a mapping whose keys the user chooses
        if part not in fields:
            near = difflib.get_close_matches(part, fields, n=1)
            path = ".".join(parts[: depth + 1])
            hint = (
                f"did you mean {'.'.join([*parts[:depth], near[0]])}?" if near else "metier schema lists all settings"
            )
            raise UserError(f"{setting!r}: no such setting: {path}", hint=hint)
        here = _inside(fields[part].annotation)


def _inside(annotation: Any) -> type[Any] | None:
    """Return the model, or ``dict`` for a mapping, that a field may hold; None for anything else."""
    for kind in _kinds(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
        if get_origin(kind) in (dict, Mapping):
            return dict
    return None


def _in_words(model: type[BaseModel], problem: ErrorDetails, key: Key) -> str:
    kind, value = problem["type"], problem["input"]
    if kind == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return f"no such key{_near(model, key)}"
    if key == ("examples",) and kind in ("missing", "too_short"):
        return "at least one is needed, about three are good (- {input: …, output: …})"
    if kind == "string_type" and isinstance(value, (dict, list)):
        return "must be text; put it in quotes"
    if value is None and kind.endswith("_type"):
        return "is empty"
    if kind in _WORDS:
        return _WORDS[kind]
    if kind == "literal_error" and isinstance(value, str):
        return f"{value[:60]!r} is not known{_nearest(value, problem)}"
    return f"{problem['msg']} (found {value[:60]!r})" if isinstance(value, str) else problem["msg"]


def _nearest(value: str, problem: ErrorDetails) -> str:
    """Return which allowed value was probably meant, or the list of them."""
    expected = re.findall(r"'([^']+)'", str(problem.get("ctx", {}).get("expected", "")))
    near = difflib.get_close_matches(value, expected, n=1)
    return f", did you mean {near[0]!r}?" if near else f"; use one of {', '.join(expected)}"


def _near(model: type[BaseModel], key: Key) -> str:
    here: type[BaseModel] = model
    named = False  # whether the next part is a name that the user chose, in a mapping of models
    for part in key[:-1]:
        if named or isinstance(part, int):
            named = False
            continue
        annotation = here.model_fields[part].annotation
        kinds = [kind for kind in _kinds(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not kinds:
            return ""
        here, named = kinds[0], get_origin(annotation) is dict
    near = difflib.get_close_matches(str(key[-1]), here.model_fields, n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _kinds(annotation: Any) -> list[Any]:
    return [annotation, *get_args(annotation)]


_WORDS = {
    "missing": "is missing",
    "string_type": "must be text",
    "string_too_short": "is empty",
    "string_unicode": "is not Unicode text (half of a surrogate pair)",
    "string_pattern_mismatch": "must be at most 64 letters, digits, '.', '_' or '-', starting with a letter or digit",
    "tuple_type": "must be a list",
    "model_type": "must be a mapping (key: value)",
}
