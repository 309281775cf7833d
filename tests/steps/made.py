"""Tasks, scenarios and a context whose model is scripted, for steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from metier.core.progress import Reporter
from metier.core.records import Example
from metier.core.run_folder import Run
from metier.engines.prompts import PromptFormat
from metier.models.locate import ModelFiles
from metier.steps.context import Context
from metier.steps.gather import TaskRows
from metier.steps.slot import Slot, running
from metier.tasks.scenario import MixtureFile, Scenario, of_one
from metier.tasks.task import Shared, Task
from tests.scripted import ByteTokenizer
from tests.systems.scripted import Scripted


class ScriptedSlot:
    """A slot that holds the scripted engine, whatever is opened."""

    def __init__(self, engine: Scripted) -> None:
        self.engine = engine
        self.prompts = PromptFormat(ByteTokenizer(chat=False))

    def open(self, tuned: Path | None = None) -> Scripted:
        return self.engine

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self.engine.count_tokens(texts)

    def close(self) -> None:
        return None


class Heard(Reporter):
    """A reporter that remembers what was said."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def make_task(name: str = "routing", **changes: Any) -> Task:
    """Return a task with two labels; free text with ``labels=None``."""
    base = {
        "name": name,
        "instruction": f"Do {name}.",
        "labels": ["billing", "delivery"],
        "examples": [
            {"input": "I was charged twice.", "output": "billing"},
            {"input": "The parcel is late.", "output": "delivery"},
        ],
    }
    return Task.model_validate(base | changes)


def make_scenario(*tasks: Task, entries: Mapping[str, Mapping[str, Any]] | None = None, **changes: Any) -> Scenario:
    """Return a scenario of several tasks, each under the scenario's settings."""
    settings = MixtureFile.model_validate(
        {"name": "mine", "tasks": {t.name: dict((entries or {}).get(t.name, {})) for t in tasks}} | changes
    )
    shared = {key: getattr(settings, key) for key in Shared.model_fields}
    return Scenario(settings, {task.name: task.but(**shared) for task in tasks})


def make_context(folder: Path, scenario: Scenario, engine: Scripted | None = None) -> Context:
    """Return a context in a folder, with the scripted engine for a model."""
    return Context(
        Run(folder / "run"),
        ModelFiles(folder / "model", "model", "made up", None, "model", "digest of the model"),
        running(scenario.settings),
        cast(Slot, ScriptedSlot(engine or Scripted())),
        Heard(),
        scenario.alone,
    )


def said(c: Context) -> str:
    """Return all that a context's reporter was told."""
    return "\n".join(cast(Heard, c.reporter).said)


def make_rows(
    task: Task, labelled: Sequence[Example] = (), test: Sequence[Example] = (), tested: Sequence[Example] | None = None
) -> TaskRows:
    """Return a task's rows as if they had been read."""
    return TaskRows(task, tuple(labelled), tuple(test), tuple(test if tested is None else tested), ())


def alone(folder: Path, task: Task, engine: Scripted | None = None) -> tuple[Context, Scenario]:
    """Return the context and the scenario of a task by itself."""
    scenario = of_one(task)
    return make_context(folder, scenario, engine), scenario


def write_rows(path: Path, rows: Sequence[Example | tuple[str, str]]) -> str:
    """Write pairs to a JSON Lines file and return its name."""
    pairs = [row if isinstance(row, Example) else Example(*row) for row in rows]
    path.write_text("".join(json.dumps({"input": p.input, "output": p.output}) + "\n" for p in pairs))
    return str(path)


def pairs_of(name: str, several: int, answers: Sequence[str] = ("billing", "delivery")) -> tuple[Example, ...]:
    """Return so many pairs that are unlike each other."""
    return tuple(
        Example(f"{name} {i} speaks of thing {i * 7} and {name} {i * 31}", answers[i % len(answers)])
        for i in range(several)
    )


def changed(task: Task, section: str, **changes: Any) -> Task:
    """Return a task with some settings of a section changed."""
    return task.but(**{section: getattr(task, section).but(**changes)})
