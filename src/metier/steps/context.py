"""What every stage of a run shares: the task, the model, the folder, and what a prompt shows."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

from metier.core import storage
from metier.core.progress import Reporter
from metier.core.records import Example
from metier.core.run_folder import Run, Stage
from metier.data.pairs import ExampleFile
from metier.engines.base import Engine
from metier.engines.prompts import fitting_demonstrations
from metier.models.locate import ModelFiles, resolve_model
from metier.steps.slot import Bench
from metier.tasks.task import Task

# Engine settings that change how fast an answer comes, not the answer.
_NO_MATTER = {"url", "key_env", "concurrency", "timeout", "retries", "memory_share", "tensor_parallel"}


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What every stage of one run shares."""

    task: Task
    files: ModelFiles
    run: Run
    bench: Bench
    reporter: Reporter


def open_context(task: Task, run: Run, reporter: Reporter) -> Context:
    """Return the context of a run that is open: the task's model is found, and opened when it is first asked.

    Raises:
        UserError: There is no such model.
        MetierError: It cannot be brought here.
    """
    files = resolve_model(task.model, trust_remote_code=task.engine.trust_remote_code)
    return Context(task, files, run, Bench(task, files, run.folder), reporter)


def demonstrations(task: Task, engine: Engine) -> tuple[Example, ...]:
    """Return the examples that a few-shot prompt shows: as many as fit half the context."""
    examples = [Example(e.input, e.output) for e in task.examples]
    return fitting_demonstrations(examples, engine.count_tokens, engine.context_length // 2)


def specialist_demonstrations(c: Context, engine: Engine) -> tuple[Example, ...]:
    """Return the examples that stay in the specialist's prompt: none, unless the task asks for it."""
    return demonstrations(c.task, engine) if c.task.prompt.specialist_demonstrations else ()


def model_key(c: Context) -> dict[str, Any]:
    """Return what every stage that asks the model depends on."""
    task = c.task
    return {
        "model": c.files.digest,
        "instruction": task.instruction,
        "labels": task.labels,
        "examples": [e.model_dump() for e in task.examples],
        "style": task.prompt.style,
        "engine": task.engine.model_dump(mode="json", exclude=_NO_MATTER),
        "seed": task.seed,
    }


def tuned_folder(trained: Stage) -> Path:
    """Return where a training stage put the adapter, or the whole model."""
    return trained.path / str(trained.outcome["result"])


def test_rows(task: Task, test: ExampleFile) -> list[Example]:
    """Return the rows to test on: all, or ``evaluation.limit`` drawn by the seed (files are often sorted by label)."""
    rows = list(test.examples)
    limit = task.evaluation.limit
    if limit is None or limit >= len(rows):
        return rows
    chosen = sorted(random.Random(storage.seed_of(task.seed, "test-rows")).sample(range(len(rows)), limit))
    return [rows[i] for i in chosen]
