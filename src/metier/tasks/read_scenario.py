"""Reads a scenario: a folder with a ``mixture.yaml`` and task files, or one of the ready ones by its name."""

from __future__ import annotations

import difflib
import importlib.resources
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from metier.core import storage
from metier.core.errors import UserError
from metier.core.remote import is_url
from metier.tasks.explain import explain, line_of, override
from metier.tasks.read_task import load_task, new_folder, resolve_path
from metier.tasks.scenario import MixtureFile, Scenario, check
from metier.tasks.task import Shared, Task
from metier.tasks.yamltext import parse, read_text

MIXTURE = "mixture.yaml"


def scenario_file(name: Path) -> Path | None:
    """Return the mixture file that a command's argument means; None where it means something else (a task file).

    Args:
        name: A mixture file, a folder that holds one, or the name of a ready scenario.
    """
    if name.name == MIXTURE or (name / MIXTURE).is_file():
        return name if name.name == MIXTURE else name / MIXTURE
    ready = ready_scenarios()
    if name.exists() or str(name) not in ready:
        return None
    return ready[str(name)]


def ready_scenarios() -> dict[str, Path]:
    """Return the mixture files of the scenarios that come with Metier, by name."""
    folder = Path(str(importlib.resources.files("metier.scenarios")))
    return {path.parent.name: path for path in sorted(folder.glob(f"*/{MIXTURE}"))}


def copy_scenario(ready: str, folder: Path, name: str) -> Path:
    """Copy a ready scenario's files into ``NAME/`` to start from, and return the mixture file's path.

    Raises:
        UserError: There is no such scenario, the name cannot be one, or the folder already exists.
    """
    known = ready_scenarios()
    if ready not in known:
        raise UserError(f"there is no ready scenario {ready!r}", hint=f"one of {', '.join(known)}")
    target = new_folder(folder, name)
    for path in sorted(known[ready].parent.iterdir()):
        if path.suffix in (".yaml", ".jsonl"):
            text = read_text(path)
            if path.name == MIXTURE:
                text = re.sub(rf"^name: {re.escape(ready)}$", f"name: {name}", text, flags=re.MULTILINE)
                text = text.replace(f"metier run {ready}", f"metier run {name}")
            storage.write_text(target / path.name, text)
    return target / MIXTURE


def load_scenario(path: Path, overrides: Sequence[str] = ()) -> Scenario:
    """Read a scenario and its task files.

    Args:
        path: The mixture file.
        overrides: Settings that win over the file's, as ``tasks.grammar.rows=100``; values are read as YAML.

    Raises:
        UserError: A file cannot be read, or says something that is not allowed; each problem with its line and key.
    """
    data, lines = parse(read_text(path), str(path))
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected a mapping (name: …, tasks: …)")
    for setting in overrides:
        override(MixtureFile, data, lines, setting)
    if isinstance(data.get("tasks"), dict):
        data["tasks"] = {name: {} if entry is None else entry for name, entry in data["tasks"].items()}
    try:
        scenario = MixtureFile.model_validate({k: v for k, v in data.items() if v is not None})
    except ValidationError as error:
        raise UserError(explain(MixtureFile, error, path, lines)) from error
    given = {setting.partition("=")[0].strip() for setting in overrides}
    if scenario.prompt.specialist_demonstrations:
        raise UserError(f"{path}: prompt.specialist_demonstrations: a model of many tasks is asked without examples")
    scenario = _with_paths(scenario, path, from_here={"data", "generic.data", "model"} & given)
    whole = Scenario(scenario, {name: _task(scenario, path, name) for name in scenario.tasks})
    if scenario.data is not None and all(scenario.data not in (t.train, t.test) for t in whole.tasks.values()):
        raise UserError(
            f"{path}{line_of(('data',), lines)}: data: no task takes rows from it",
            hint="say in the task files which rows are theirs, as in train_where: {task: NAME, split: train} and "
            "test_where: {task: NAME, split: test}, or leave data out",
        )
    check(whole)
    return whole


def scenario_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a ``mixture.yaml``, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **MixtureFile.model_json_schema()}


def _task(scenario: MixtureFile, path: Path, name: str) -> Task:
    """Return a task as its file has it, under what the scenario says for all."""
    file = path.parent / (scenario.tasks[name].file or f"{name}.yaml")
    if not file.exists():
        near = difflib.get_close_matches(file.name, [p.name for p in file.parent.glob("*.yaml")], n=1)
        hint = f"did you mean {near[0]}?" if near else f"tasks.{name}.file names it"
        raise UserError(f"{path}: task {name}: there is no file {file}", hint=hint)
    task = load_task(file)
    update: dict[str, Any] = {key: getattr(scenario, key) for key in Shared.model_fields}
    update["name"] = name
    if scenario.data is not None:
        if task.train is None and task.train_where is not None:
            update["train"] = scenario.data
        if task.test is None and task.test_where is not None:
            update["test"] = scenario.data
    return task.but(**update)


def _with_paths(scenario: MixtureFile, path: Path, *, from_here: set[str]) -> MixtureFile:
    """Make paths absolute: those of the file start at its folder, those of the command line where it was given."""

    def whole(key: str, value: str) -> str:
        if is_url(value):
            return value
        there = Path(value).expanduser().resolve() if key in from_here else resolve_path(path, value)
        is_path = value.startswith((".", "/", "~")) or value.endswith(".gguf") or there.exists()
        return str(there) if is_path or (key != "model" and "/" not in value) else value

    update: dict[str, Any] = {"model": whole("model", scenario.model)}
    if scenario.data is not None:
        update["data"] = whole("data", scenario.data)
    if scenario.generic is not None:
        generic = scenario.generic
        update["generic"] = generic.but(data=whole("generic.data", generic.data))
    return scenario.but(**update)
