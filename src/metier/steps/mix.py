"""The mixture stage of a scenario: every task's rows, those the model adds, and the training set made of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from metier.core import storage
from metier.core.errors import UserError
from metier.core.records import Example
from metier.core.run_folder import Run, Stage
from metier.data.mixture import Part, make_up, mix, packing, split_by_source
from metier.data.pairs import ExampleFile, read_instructions
from metier.steps import evaluate as stages
from metier.steps import select as selection
from metier.steps.context import Context
from metier.tasks.read_scenario import read_labelled
from metier.tasks.read_task import read_test
from metier.tasks.scenario import Scenario
from metier.tasks.task import Task


@dataclasses.dataclass(frozen=True, slots=True)
class TaskData:
    """A task's rows: those with answers to train on, and those to test on (None: there are none)."""

    task: Task
    train: tuple[Example, ...]
    test: ExampleFile | None


def read_task_data(scenario: Scenario) -> dict[str, TaskData]:
    """Return every task's rows; where a task has no test file, some of its inputs are held out.

    Raises:
        UserError: A file cannot be read.
    """
    found = {}
    for name, task in scenario.tasks.items():
        try:
            train, test = read_labelled(scenario, task), read_test(task)
        except UserError as error:
            raise UserError(f"task {name}: {error.message}", hint=error.hint) from error
        pairs = train.examples if train else ()
        if test is None and len(pairs) > 1:
            kept, held_out = split_by_source(pairs, scenario.settings.test_share, task.seed)
            if held_out:
                pairs = tuple(kept)
                sha256 = storage.digest([[p.input, *p.references] for p in held_out])
                test = ExampleFile(tuple(held_out), 0, 0, sha256)
        found[name] = TaskData(task, pairs, test)
    return found


def at_task(c: Context, task: Task) -> Context:
    """Return the context of one task: the same model and reporter, in a folder of its own inside the run's."""
    return dataclasses.replace(c, task=task, run=Run(c.run.folder / "tasks" / task.name))


def write_mixture(c: Context, scenario: Scenario, data: Mapping[str, TaskData]) -> Stage:
    """Make the mixture (``mixture.jsonl``, ``make-up.json``).

    Raises:
        UserError: A task has no data, ratios do not add up, or a budget leaves nothing.
        NotEnoughData: A task's synthesis left too few pairs.
    """
    settings = scenario.settings
    asked = {name: settings.to_write(name, labelled=bool(d.train)) for name, d in data.items()}
    written = {name: _synthetic(c, scenario, name, several) for name, several in asked.items() if several}
    key: dict[str, Any] = {
        "settings": settings.model_dump(
            mode="json", include={"tasks", "synthetic", "rows", "tokens", "temperature", "generic"}
        ),
        "tasks": {name: _key(d) for name, d in data.items()},
        "written": {name: storage.digest([[p.input, p.output] for p in pairs]) for name, pairs in written.items()},
        "model": c.files.digest,
        "style": settings.prompt.style,
        "seed": settings.seed,
        "demonstrations": settings.training.demonstrations,
    }
    generic: Sequence[Example] = ()
    if settings.generic is not None:
        generic, empty = read_instructions(settings.generic.data, where=settings.generic.where)
        if empty:
            c.reporter.say(f"  generic data: {empty} rows with an empty side are left out")
        key["generic"] = storage.digest([[p.instruction, p.input, p.output] for p in generic])
    stage = c.run.stage("mixture", key)
    if stage.done:
        c.reporter.say(f"mixture: done before ({stage.outcome['rows']} rows)")
        return stage
    parts = [
        Part(
            d.task,
            (*_shown(settings.training.demonstrations, d.task), *_chosen(c, d.task, d.train, entry.select)),
            tuple(written.get(name, ())),
            rows=entry.rows,
            ratio=entry.ratio,
            unchanged=entry.unchanged,
        )
        for name, d in data.items()
        for entry in (settings.tasks[name],)
    ]
    mixed = mix(
        parts,
        tests=[row for d in data.values() if d.test for row in d.test.examples],
        count_tokens=lambda pairs: _tokens(c, pairs),
        seed=settings.seed,
        rows=settings.rows,
        tokens=settings.tokens,
        temperature=settings.temperature,
        generic=generic,
        generic_share=settings.generic.share if settings.generic else 0.0,
    )
    made = make_up(mixed)
    packed = packing(mixed.rows, length=settings.training.max_length, batch_size=settings.training.batch_size)
    stage.write_records("mixture", [{"task": r.task, "tokens": r.tokens, **_flat(r.example)} for r in mixed.rows])
    storage.write_json(stage.path / "make-up.json", {"tasks": made, "packing": dataclasses.asdict(packed)})
    stage.finish(
        {
            "rows": len(mixed.rows),
            "tokens": sum(row.tokens for row in mixed.rows),
            "digest": storage.digest([[r.task, *_flat(r.example).values()] for r in mixed.rows]),
        }
    )
    c.reporter.say(f"mixture of {len(data)} tasks: {len(mixed.rows)} rows, {stage.outcome['tokens']} tokens")
    for name, told in made.items():
        left_out = ", ".join(f"{n} {reason}" for reason, n in told["dropped"].items())
        c.reporter.say(f"  {name}: {told['rows']} rows" + (f" (left out: {left_out})" if left_out else ""))
    return stage


def mixture_pairs(stage: Stage, task: str | None = None) -> list[Example]:
    """Return what a mixture trains on: all of it, or one task's rows."""
    return [
        Example(row["input"], row["output"], instruction=row["instruction"])
        for row in stage.read_records("mixture")
        if task is None or row["task"] == task
    ]


def _synthetic(c: Context, scenario: Scenario, name: str, several: int) -> list[Example]:
    """Let the model write pairs for a task, and choose among them where the scenario says so."""
    entry, task = scenario.settings.tasks[name], scenario.tasks[name]
    written = task.synthesis.model_copy(
        update={
            "inputs": several,
            # What a task asks for by itself is too much where the mixture asks for little.
            "min_pairs": min(task.synthesis.min_pairs, max(1, several // 8)),
        }
    )
    stage = stages.synthesize(at_task(c, task.model_copy(update={"synthesis": written})))
    kept = [Example(r["input"], r["output"]) for r in stage.read_records("candidates") if r["dropped_by"] is None]
    return list(_chosen(c, task, kept, entry.select_synthetic))


def _chosen(c: Context, task: Task, pairs: Sequence[Example], share: float | None) -> Sequence[Example]:
    """Return the share of a task's pairs that its selection chooses; all without one."""
    if share is None or not pairs:
        return pairs
    chosen = task.selection.model_copy(update={"share": share})
    return selection.select_pairs(at_task(c, task.model_copy(update={"selection": chosen})), pairs)[0]


def _shown(wanted: bool, task: Task) -> list[Example]:
    return [Example(e.input, e.output) for e in task.examples] if wanted else []


def _key(data: TaskData) -> dict[str, Any]:
    task = data.task
    return {
        "instruction": [task.instruction, *task.wordings],
        "train": storage.digest([[p.input, *p.references] for p in data.train]),
        "test": data.test.sha256 if data.test else "",
        "examples": [e.model_dump() for e in task.examples],
    }


def _flat(pair: Example) -> dict[str, Any]:
    return {"instruction": pair.instruction, "input": pair.input, "output": pair.output}


def _tokens(c: Context, pairs: Sequence[Example]) -> list[int]:
    """Count every row's tokens as it is trained on."""
    prompts, tokenizer = c.bench.prompts, c.bench.tokenizer
    texts = [prompts.task(p.instruction or "", (), p.input).text + prompts.answer(p.output) for p in pairs]
    return [len(ids) + 1 for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []
