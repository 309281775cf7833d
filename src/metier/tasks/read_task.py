"""Reads a task file: YAML in, a checked `Task` out, and errors that name file, line and key.

Scalars come as the text that was written (yes, no, on, 1 and null are
labels like others); the schema turns into numbers what must be one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from metier.core import storage
from metier.core.errors import UserError
from metier.core.remote import is_hub_id, is_url
from metier.tasks.explain import explain, line_of, override
from metier.tasks.recipes import recipe_settings
from metier.tasks.task import RecipeName, Task
from metier.tasks.yamltext import Key, parse, read_text

_PATH_KEYS = ("test", "train", "unlabelled", "pool", "model")
_NESTED_PATHS = (("launch", "accelerate_config"),)


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
    data, lines = parse(read_text(path), str(path), keeps_null=_null_is_text)
    if not isinstance(data, dict):
        found = "an empty file" if data is None else type(data).__name__
        raise UserError(
            f"{path}: expected a mapping (name: …, instruction: …), found {found}", hint="metier init NAME writes one"
        )
    for setting in overrides:
        override(Task, data, lines, setting, _null_is_text)
    try:
        task = Task.model_validate(_merged(_recipe(data), data))
    except ValidationError as error:
        raise UserError(explain(Task, error, path, lines)) from error
    return _with_paths(task, path, lines)


def resolve_path(task_file: Path, value: str) -> Path:
    """Return a path as a task file means it: ``~`` is a home folder, a relative path starts at the file's folder.

    Raises:
        OSError, RuntimeError, ValueError: The value cannot be a path here.
    """
    return (task_file.resolve().parent / Path(value).expanduser()).resolve()


def task_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a task file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Task.model_json_schema()}


def template(name: str) -> str:
    """Return a commented task file to start from."""
    return _TEMPLATE.replace("NAME", name)


def write_template(folder: Path, name: str) -> Path:
    """Write ``NAME/task.yaml`` and ``NAME/test.jsonl`` to start from, and return the task file's path.

    Raises:
        UserError: The name cannot be one, or the folder already exists.
    """
    target = new_folder(folder, name)
    storage.write_text(target / "task.yaml", template(name))
    storage.write_lines(target / "test.jsonl", [dict(zip(("input", "output"), row, strict=True)) for row in _TEST_ROWS])
    return target / "task.yaml"


def new_folder(folder: Path, name: str) -> Path:
    """Return where the files of a new task or scenario go.

    Raises:
        UserError: The name cannot be one, or the folder already exists.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise UserError(f"{name!r} cannot be a name", hint="use letters, digits, '.', '_' and '-'")
    target = folder / name
    if target.exists():
        raise UserError(f"{target} already exists", hint="choose another name, or remove it first")
    return target


def _null_is_text(key: Key) -> bool:
    """Whether a null word at a key is text: a label or an example's answer may well be the word null."""
    return len(key) > 1 and key[0] in ("labels", "examples")


def _recipe(data: Mapping[str, Any]) -> dict[str, Any]:
    name = data.get("recipe") or Task.model_fields["recipe"].default
    # The schema reports a wrong name, with its line.
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


def _with_paths(task: Task, path: Path, lines: Mapping[Key, int]) -> Task:
    update: dict[str, str] = {}
    for key in _PATH_KEYS:
        value = getattr(task, key)
        if value is None:
            continue
        try:
            if not value.strip():
                raise ValueError("it is empty")
            there = resolve_path(path, value)
            if _is_path(key, value, there):
                update[key] = str(there)
        except (OSError, RuntimeError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise UserError(f"{path}{line_of((key,), lines)}: {key}: {value[:60]!r} cannot be used ({why})") from error
    parts: dict[str, Any] = dict(update)
    for section, key in _NESTED_PATHS:
        settings = getattr(task, section)
        value = getattr(settings, key, None)
        # ddp, or a file that is not there, stays as it is: who reads it says what is wrong.
        if value is not None and not is_url(value) and resolve_path(path, value).exists():
            parts[section] = settings.but(**{key: str(resolve_path(path, value))})
    return task.but(**parts)


def _is_path(key: str, value: str, there: Path) -> bool:
    if is_url(value):
        return False
    if key == "model":
        return value.startswith((".", "/", "~")) or value.endswith(".gguf") or there.is_dir()
    return there.exists() or not is_hub_id(value)


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
