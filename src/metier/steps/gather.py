"""Gathers every task's rows from files: those to train on, those to test on, and what a user should be warned of."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence, Set

from metier.core import storage
from metier.core.errors import UserError
from metier.core.records import Example
from metier.data.likeness import folded
from metier.data.pairs import ExampleFile, NoRows, read_examples, read_inputs
from metier.data.sizes import split_by_source
from metier.evaluation.measure import is_rewriting
from metier.steps.measures import measure_of
from metier.tasks.scenario import Scenario
from metier.tasks.task import Task


@dataclasses.dataclass(frozen=True, slots=True)
class TaskRows:
    """A task's rows.

    Attributes:
        task: Whose they are.
        labelled: Rows with answers to train on.
        test: All rows to test on; none of them is ever trained on.
        tested: Those that answers are compared on: all, or as many as ``evaluation.limit`` says.
        warnings: What a user should know about them.
        unlabelled: Real inputs without answers, none of them a test row's, an example's or a labelled row's; where
            they are damaged, real texts that are answers, none of them an example's or a test row's.
    """

    task: Task
    labelled: tuple[Example, ...]
    test: tuple[Example, ...]
    tested: tuple[Example, ...]
    warnings: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()

    @property
    def examples(self) -> tuple[Example, ...]:
        """The task's hand-written examples."""
        return tuple(Example(e.input, e.output) for e in self.task.examples)


def gather(scenario: Scenario) -> dict[str, TaskRows]:
    """Return every task's rows; where a task of several has no test file, some of its inputs are held out.

    Raises:
        UserError: A file cannot be read; of several tasks the message names the one.
    """
    found = {}
    for name, task in scenario.tasks.items():
        try:
            found[name] = _rows(scenario, task)
        except UserError as error:
            if scenario.alone:
                raise
            raise UserError(f"task {name}: {error.message}", hint=error.hint) from error
    return found


def read_labelled(scenario: Scenario, task: Task) -> ExampleFile | None:
    """Return the rows of a task's train file; None where it names none.

    Also None where the scenario's one file of all tasks has no such rows and the model is to write them.

    Raises:
        UserError: The file cannot be read, or has no rows for the task.
    """
    if task.train is None:
        return None
    settings = scenario.settings
    try:
        return read_examples(task.train, labels=task.labels, split="train", where=task.train_where)
    except NoRows:
        if task.train == settings.data and settings.to_write(task.name, labelled=False):
            return None
        raise


def read_test(task: Task) -> ExampleFile | None:
    """Return the rows of a task's test file; None where it names none. Raises as `data.pairs.read_examples`."""
    return None if task.test is None else read_examples(task.test, labels=task.labels, where=task.test_where)


def drawn(rows: Sequence[Example], limit: int | None, seed: int) -> tuple[Example, ...]:
    """Return all rows, or so many drawn by the seed, in their order: files are often sorted by label."""
    if limit is None or limit >= len(rows):
        return tuple(rows)
    chosen = random.Random(storage.seed_of(seed, "test-rows")).sample(range(len(rows)), limit)
    return tuple(rows[i] for i in sorted(chosen))


def _rows(scenario: Scenario, task: Task) -> TaskRows:
    train, test = read_labelled(scenario, task), read_test(task)
    labelled = train.examples if train else ()
    tests = test.examples if test else ()
    if test is None and not scenario.alone and len(labelled) > 1:
        kept, held_out = split_by_source(labelled, scenario.settings.test_share, task.seed)
        if held_out:
            labelled, tests = tuple(kept), tuple(held_out)
    known = [*tests, *labelled, *(Example(e.input, e.output) for e in task.examples)]
    return TaskRows(
        task,
        labelled,
        tests,
        drawn(tests, task.evaluation.limit, task.seed),
        tuple(_warnings(task, train, test, labelled, tests)),
        _unlabelled(task, known, labelled),
    )


def _unlabelled(task: Task, known: Sequence[Example], labelled: Sequence[Example]) -> tuple[str, ...]:
    """Return what the model is to read of a task's unlabelled file; test inputs would make the test easier."""
    if task.pool is not None:
        return ()
    if task.synthesis.method == "damage":
        return _to_damage(task, known, labelled)
    if task.unlabelled is None:
        return ()
    seen = {folded(row.input) for row in known}
    fresh = _fresh(read_inputs(task.unlabelled), seen)
    if not fresh:
        raise UserError(f"{task.unlabelled}: no input that is not in the examples, training or test rows as well")
    return _some(task, fresh)


def _to_damage(task: Task, known: Sequence[Example], labelled: Sequence[Example]) -> tuple[str, ...]:
    """Return the real texts that the model is to damage: no text of a test, which would give its answers away."""
    if not is_rewriting(measure_of(task)):
        raise UserError(
            f"synthesis.method: damage is for tasks that rewrite their input, and {task.main_metric} does not compare "
            "answers with it",
            hint="set metric: to sari, gleu, edit_f05 or ibleu",
        )
    if task.unlabelled is not None:
        fresh = _fresh(read_inputs(task.unlabelled), {folded(t) for row in known for t in (row.input, *row.references)})
    else:
        own = {id(row) for row in labelled}
        tested = {folded(t) for row in known if id(row) not in own for t in (row.input, *row.references)}
        fresh = _fresh([row.output for row in labelled], tested)
    if not fresh:
        raise UserError(
            f"{task.unlabelled or 'synthesis.method: damage'}: there is no real text to damage that is not in the "
            "examples or test rows as well",
            hint="name a file with unlabelled:, or labelled rows with train:",
        )
    return _some(task, fresh)


def _fresh(texts: Sequence[str], seen: Set[str]) -> list[str]:
    """Return the texts that are not known yet, each once."""
    return list({folded(text): text for text in texts if folded(text) not in seen}.values())


def _some(task: Task, texts: Sequence[str]) -> tuple[str, ...]:
    several = min(len(texts), task.synthesis.unlabelled_rows)
    return tuple(random.Random(storage.seed_of(task.seed, "unlabelled")).sample(texts, several))


def _warnings(
    task: Task,
    train: ExampleFile | None,
    test: ExampleFile | None,
    labelled: Sequence[Example],
    tests: Sequence[Example],
) -> list[str]:
    found = []
    for name, file in (("train", train), ("test", test)):
        if file and file.duplicates:
            found.append(f"{name}: {file.duplicates} duplicate rows were left out")
        if file and file.corrected:
            found.append(f"{name}: {file.corrected} rows were left out, as their inputs were corrected later")
        if file and file.conflicts:
            found.append(f"{name}: {file.conflicts} inputs have more than one answer")
    if not tests:
        found.append("there is no test file: whether the specialist is better cannot be known")
    if is_rewriting(measure_of(task)):
        if labelled and not any(map(_changes, labelled)):
            found.append("train: no row's answer changes its input: a model can only learn to copy from them")
        if tests and not any(map(_changes, tests)):
            found.append("test: no row's answer changes its input: nothing can score higher than the copied input")
    seen = {e.input for e in task.examples} | {row.input for row in labelled}
    if shared := sum(row.input in seen for row in tests):
        found.append(f"test: {shared} inputs are also among the examples or training rows")
    return found


def _changes(row: Example) -> bool:
    """Whether any answer of a row is not its input."""
    return any(answer.split() != row.input.split() for answer in row.references)
