"""Reads a task file: YAML in, a checked `Task` out, and errors that name file, line and key.

Knows nothing about what a task is used for. Two things YAML does behind the user's back are undone: every scalar
stays the text that was written (yes, no, on and 1 are labels, not booleans and numbers; the schema turns into numbers
what must be one), and a key that is there twice is refused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from metier import storage
from metier.errors import UserError
from metier.recipes import recipe_settings
from metier.task import RecipeName, Task

_NULLS = ("", "~", "null", "Null", "NULL")
_FILE_KEYS = ("test", "train")
_MOST_BYTES = 50_000_000

Key = tuple[str | int, ...]


def load_task(path: Path, overrides: Sequence[str] = ()) -> Task:
    """Read a task file.

    Args:
        path: The YAML file.
        overrides: Settings that win over the file's, as ``key.sub=value``; values are read as YAML.

    Returns:
        The task, its recipe's settings laid under its own, its paths made absolute.

    Raises:
        UserError: The file cannot be read, or says something that is not allowed; each problem with its line and key.
    """
    data, lines = _parse(_read(path), str(path))
    if not isinstance(data, dict):
        raise UserError(
            f"{path}: a task file is a mapping (name: …, instruction: …)", hint="metier init NAME writes one"
        )
    for override in overrides:
        key = _override(data, override)
        lines[key] = 0
    _check_demonstrations(data, path, lines)
    base = _recipe(data)
    try:
        task = Task.model_validate(_merged(base, data))
    except ValidationError as error:
        raise UserError(_explain(error, path, lines)) from error
    return _with_paths(task, path)


def task_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a task file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Task.model_json_schema()}


def template(name: str) -> str:
    """Return a commented task file to start from."""
    return _TEMPLATE.replace("NAME", name)


def write_template(folder: Path, name: str) -> Path:
    """Write ``NAME/task.yaml`` and ``NAME/test.jsonl`` to start from, and return the task file's path.

    Raises:
        UserError: The name cannot be one, or the folder is there already.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise UserError(f"{name!r} cannot be a task's name", hint="use letters, digits, '.', '_' and '-'")
    target = folder / name
    if target.exists():
        raise UserError(f"{target} is there already", hint="choose another name, or remove it first")
    storage.write_text(target / "task.yaml", template(name))
    storage.write_lines(target / "test.jsonl", [dict(zip(("input", "output"), row, strict=True)) for row in _TEST_ROWS])
    return target / "task.yaml"


def _read(path: Path) -> str:
    if path.is_dir():
        raise UserError(f"{path} is a folder", hint=f"name the task file in it, such as {path / 'task.yaml'}")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UserError(f"{path}: larger than {_MOST_BYTES // 10**6} MB", hint="put large data in files of its own")
        raw = path.read_bytes()
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.y*ml")], n=1)
        raise UserError(
            f"{path}: no such file",
            hint=f"did you mean {path.parent / near[0]}?"
            if near
            else "metier init NAME writes a task file to start from",
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: not UTF-8 (byte {raw[error.start]:#04x} at offset {error.start})",
            hint="save the file as UTF-8",
        ) from error


def _parse(text: str, where: str) -> tuple[Any, dict[Key, int]]:
    """Return YAML as nested values whose scalars are the text as written, and the line of every key."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UserError(f"{where}{place}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{where}: not YAML: {error}") from error
    lines: dict[Key, int] = {}
    return _value(node, (), lines, where, set()), lines


def _value(node: Any, key: Key, lines: dict[Key, int], where: str, open_nodes: set[int]) -> Any:
    if node is None:
        return None
    line = node.start_mark.line + 1
    lines[key] = line
    if id(node) in open_nodes:
        # One node in two places is an alias: files that expand themselves without end are made of them.
        raise UserError(f"{where}:{line}: {_name(key)}: YAML aliases are not allowed", hint="write it out")
    open_nodes.add(id(node))
    if isinstance(node, yaml.MappingNode):
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            name = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            if name in out:
                raise UserError(
                    f"{where}:{key_node.start_mark.line + 1}: {_name((*key, name))}: this key is there twice"
                )
            out[name] = _value(value_node, (*key, name), lines, where, open_nodes)
            lines[(*key, name)] = key_node.start_mark.line + 1
        return out
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*key, i), lines, where, open_nodes) for i, item in enumerate(node.value)]
    plain_null = node.style is None and node.value in _NULLS
    return None if plain_null else node.value


def _override(data: dict[str, Any], override: str) -> Key:
    name, equals, text = override.partition("=")
    parts = name.strip().split(".")
    if not equals or not all(parts):
        raise UserError(f"{override!r} is not a setting", hint="write KEY=VALUE, such as training.epochs=2")
    _known(parts, override)
    value, _ = _parse(text, f"setting {name}")
    place = data
    for part in parts[:-1]:
        inner = place.get(part)
        if not isinstance(inner, dict):
            inner = place[part] = {}
        place = inner
    place[parts[-1]] = value
    return tuple(parts)


def _known(parts: Sequence[str], override: str) -> None:
    model: type[BaseModel] | None = Task
    for depth, part in enumerate(parts):
        fields = model.model_fields if model is not None else {}
        if part not in fields:
            near = difflib.get_close_matches(part, fields, n=1)
            path = ".".join(parts[: depth + 1])
            hint = f"did you mean {'.'.join([*parts[:depth], near[0]])}?" if near else "metier schema lists them"
            raise UserError(f"{override!r}: there is no setting {path}", hint=hint)
        annotation = fields[part].annotation
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _check_demonstrations(data: Mapping[str, Any], path: Path, lines: Mapping[Key, int]) -> None:
    if not data.get("examples"):
        line = lines.get(("examples",))
        raise UserError(
            f"{path}{f':{line}' if line else ''}: examples: there are none; one is needed, about three are good",
            hint="examples:\n    - {input: …, output: …}",
        )


def _recipe(data: Mapping[str, Any]) -> dict[str, Any]:
    name = data.get("recipe") or Task.model_fields["recipe"].default
    # A wrong name is told by the schema, with its line.
    return recipe_settings(name, classification=bool(data.get("labels"))) if name in get_args(RecipeName) else {}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(out.get(key), Mapping):
            out[key] = _merged(out[key], value)
        elif value is None and key in Task.model_fields and isinstance(base.get(key, {}), Mapping) and key in base:
            continue  # "synthesis:" with nothing under it
        else:
            out[key] = value
    return {k: v for k, v in out.items() if not (v is None and k in Task.model_fields and not _nullable(k))}


def _nullable(key: str) -> bool:
    return type(None) in get_args(Task.model_fields[key].annotation)


def _explain(error: ValidationError, path: Path, lines: Mapping[Key, int]) -> str:
    told = []
    for problem in error.errors():
        key = tuple(part for part in problem["loc"] if not (isinstance(part, str) and part.startswith("function-")))
        message = problem["msg"]
        if problem["type"] == "value_error":
            message = message.removeprefix("Value error, ")
            named = re.match(r"([a-z_]+)(?:\[(\d+)\])?(?:\.([a-z_]+))?:", message)
            if named and not key:
                key = tuple(int(x) if x.isdigit() else x for x in named.groups() if x is not None)
                message = message[named.end() :].strip()
        elif problem["type"] == "extra_forbidden":
            message = f"no such key{_near(key)}"
        elif problem["type"] == "missing":
            message = "is missing"
        told.append(f"{path}{_line(key, lines)}: {_name(key)}: {message}")
    return "\n".join(told)


def _near(key: Key) -> str:
    model: Any = Task
    for part in key[:-1]:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        inner = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
        if not inner:
            return ""
        model = inner[0]
    near = difflib.get_close_matches(str(key[-1]), model.model_fields, n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _line(key: Key, lines: Mapping[Key, int]) -> str:
    for length in range(len(key), -1, -1):
        line = lines.get(key[:length])
        if line:
            return f":{line}"
        if line == 0:
            return " (set on the command line)"
    return ""


def _name(key: Key) -> str:
    out = ""
    for part in key:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out or "the file"


def _with_paths(task: Task, path: Path) -> Task:
    folder = path.resolve().parent
    update: dict[str, str] = {}
    for key in _FILE_KEYS:
        value = getattr(task, key)
        if value is not None and not _is_hub_id(folder, value):
            update[key] = str((folder / Path(value).expanduser()).resolve())
    model = task.model
    if model.startswith((".", "/", "~")) or model.endswith(".gguf") or (folder / model).is_dir():
        update["model"] = str((folder / Path(model).expanduser()).resolve())
    return task.model_copy(update=update)


def _is_hub_id(folder: Path, value: str) -> bool:
    """Whether a data file's name is owner/name on the hub: no such path here, and no file ending."""
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", value)) and not (folder / value).exists() and not Path(value).suffix


_TEST_ROWS = (
    ("The invoice shows the old company address, please correct it.", "billing"),
    ("Nobody rang, yet the tracking page says you could not deliver.", "delivery"),
    ("The screen stays white after the last update.", "technical"),
)

_TEMPLATE = f"""\
# Run it:  metier run NAME/task.yaml        Check it first:  metier validate NAME/task.yaml
# Any setting can be overridden there:  metier run NAME/task.yaml training.epochs=2

name: NAME

# What to do, as you would tell a person. For labels, say what each one means.
instruction: >-
  Name the team that should answer the customer's message.
  billing: charges and invoices. delivery: parcels on their way. technical: the app or website does not work.

# The possible answers. Leave the key out for a task with free text as its answer.
labels: [billing, delivery, technical]

# About three hand-written pairs; for labels, one for each.
examples:
  - input: I was charged twice this month.
    output: billing
  - input: The parcel should have been here on Monday.
    output: delivery
  - input: The app closes as soon as I open it.
    output: technical

# Rows the specialist is judged on (JSONL, CSV, TSV, Parquet; columns input and output). About 150 or more,
# written by people, none of them among the examples. Without it nothing can be said about how good it is.
test: test.jsonl

# model: {Task.model_fields["model"].default}     # or another of: metier models list; a hub id; a folder; a .gguf file
# recipe: backward                 # or self-guide, the published method
# metric: exact_match              # default: exact_match with labels, rouge_l without
# train: labelled.jsonl            # labelled pairs, if you have some; mixed with the synthetic ones
# seed: 0
# synthesis: {{inputs: 480}}
# training: {{method: lora, epochs: 3}}
"""
