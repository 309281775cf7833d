"""What a run is of: one task or several, and how their pairs make one training set.

`MixtureFile` is the whole of what a user says in a ``mixture.yaml``; each of its tasks has a task file of its own, read
by ``read_scenario.py``. What the mixture says of models, training and evaluation holds for all its tasks. A task file
by itself is a scenario of that one task (`of_one`): there is one way through a run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from metier.core import storage
from metier.core.errors import UserError
from metier.tasks.settings import Settings, Where
from metier.tasks.task import Shared, Task

Adapters = Literal["one", "each", "one_then_each"]
# What changes neither the mixture nor what is made of it.
_NOT_NAMED = {"engine", "launch", "prices", "evaluation", "seeds", "ship", "abstain"}


class ScenarioTask(Settings):
    """What one task gives to the mixture."""

    file: str | None = Field(None, description="Its task file; default: NAME.yaml beside the mixture.")
    rows: int | None = Field(
        None,
        ge=1,
        description="Pairs of labelled rows to take at most. Rewriting: a row's further references are taken only "
        "where there are fewer rows.",
    )
    ratio: float | None = Field(None, gt=0, le=1, description="Its share of the rows; all tasks have one, or none.")
    unchanged: float = Field(
        1.0, ge=0, le=1, description="Largest share of its rows whose answer is the input as it was."
    )
    select: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of its labelled rows to take, chosen as the task's selection says (k-centre).",
    )
    synthetic: int | None = Field(
        None, ge=0, description="Inputs the model writes itself, beside the labelled rows. Default: the scenario's."
    )
    select_synthetic: float | None = Field(
        None, gt=0, le=1, description="Share of the synthetic pairs to take, chosen in the same way."
    )


class GenericSettings(Settings):
    """Generic instruction data to mix in."""

    data: str = Field(description="File, folder, URL or hub id, in Alpaca format or any other that is known.")
    where: Where | None = Field(None, description="Rows of it to take, by columns.")
    share: float = Field(0.2, gt=0, lt=1, description="Share of the whole mixture that is generic.")


class MixtureFile(Shared):
    """A ``mixture.yaml``: many tasks, one model."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Names the run folder, with a hash.")
    data: str | None = Field(
        None,
        description="One file of all tasks' rows: train and test file of every task that names none and says by "
        "train_where and test_where which rows are its own.",
    )
    tasks: dict[str, ScenarioTask] = Field(description="The tasks by name.")
    synthetic: int = Field(0, ge=0, description="Inputs the model writes itself for each task without labelled rows.")
    rows: int | None = Field(None, ge=1, description="Rows of the tasks together, at most.")
    tokens: int | None = Field(None, ge=1, description="Tokens of the mixture, at most.")
    temperature: float = Field(
        1.0, gt=0, description="Sizes go with the (1/temperature)-th power of what a task has; more is more even."
    )
    generic: GenericSettings | None = None
    adapters: Adapters = Field(
        "one", description="one: one model for all tasks; each: one a task; one_then_each: the one, tuned on for each."
    )
    test_share: float = Field(
        0.2, gt=0, lt=1, description="Share of a task's inputs to test on where it has train rows and no test file."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> MixtureFile:
        if not self.tasks:
            raise ValueError("tasks: there are none")
        for name, task in self.tasks.items():
            if task.select_synthetic is not None and not (task.synthetic or self.synthetic):
                raise ValueError(f"tasks.{name}.select_synthetic: there are no such pairs, as synthetic is 0")
        return self

    def to_write(self, task: str, *, labelled: bool) -> int:
        """Return how many inputs the model is to write for a task that has labelled rows, or has none."""
        own = self.tasks[task].synthetic
        if own is not None:
            return own
        return 0 if labelled else self.synthetic


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """What a run is of.

    Attributes:
        settings: How the tasks' pairs are mixed, and what holds for all tasks.
        tasks: By name, each as its file has it, with what the mixture says laid over.
        alone: Whether it is a task file by itself, whose run folder is the task's own.
    """

    settings: MixtureFile
    tasks: dict[str, Task]
    alone: bool = False

    def only(self, names: Sequence[str]) -> Scenario:
        """Return the scenario with some of its tasks.

        Raises:
            UserError: One of them is not there.
        """
        if unknown := next((name for name in names if name not in self.tasks), None):
            raise UserError(f"task {unknown!r} is not in {self.settings.name}", hint=f"one of {', '.join(self.tasks)}")
        entries = {name: entry for name, entry in self.settings.tasks.items() if name in names}
        return Scenario(self.settings.but(tasks=entries), {name: self.tasks[name] for name in entries})

    def changed(self, **changes: object) -> Scenario:
        """Return the scenario with other settings, which hold for its tasks too where tasks have them."""
        shared = {key: value for key, value in changes.items() if key in Shared.model_fields}
        tasks = {name: task.but(**shared) for name, task in self.tasks.items()}
        return dataclasses.replace(self, settings=self.settings.but(**changes), tasks=tasks)

    def each_changed(self, **changes: object) -> Scenario:
        """Return the scenario with other settings of each task's part in the mixture."""
        entries = {name: entry.but(**changes) for name, entry in self.settings.tasks.items()}
        return dataclasses.replace(self, settings=self.settings.but(tasks=entries))

    @property
    def digest(self) -> str:
        """Hash of all that says what is trained; it names the run."""
        said = self.settings.model_dump(mode="json", exclude=_NOT_NAMED)
        return storage.digest([said, {n: t.model_dump(mode="json", exclude=_NOT_NAMED) for n, t in self.tasks.items()}])


def of_one(task: Task) -> Scenario:
    """Return the scenario that a task file by itself is: all its pairs, and one model."""
    # Rows chosen from a pool are trained on alone.
    chooses = task.recipe == "low-data" or task.pool is not None
    writes = not chooses and not (task.train_use == "instead" and task.train)
    entry = ScenarioTask(synthetic=task.synthesis.inputs if writes else 0)
    shared = {key: getattr(task, key) for key in Shared.model_fields}
    return Scenario(MixtureFile(name=task.name, tasks={task.name: entry}, **shared), {task.name: task}, alone=True)


def check(scenario: Scenario) -> None:
    """Refuse what a run of several tasks cannot do, so that no setting is dropped in silence.

    Raises:
        UserError: A task asks for it; the message names the task and the key.
    """
    for name, task in scenario.tasks.items():
        entry = scenario.settings.tasks.get(name, ScenarioTask())
        if task.recipe == "low-data" or task.pool is not None:
            key = "pool" if task.pool is not None else "recipe: low-data"
            raise UserError(
                f"task {name}: {key}: rows are chosen from a pool in a run of one task only",
                hint=f"metier run the task's own file, or leave {key} out and name labelled rows with train:",
            )
        written = scenario.settings.synthetic if entry.synthetic is None else entry.synthetic
        if task.train_use == "instead" and written:
            raise UserError(
                f"task {name}: train_use: instead, but synthetic pairs are asked for",
                hint=f"set tasks.{name}.synthetic=0, or leave train_use out of the task's file",
            )
        if task.selection.budgeted and (entry.select is not None or entry.select_synthetic is not None):
            raise UserError(
                f"task {name}: selection has a budget, and so has tasks.{name} (select, select_synthetic)",
                hint="give one of them",
            )
        if task.prompt.specialist_demonstrations:
            raise UserError(
                f"task {name}: prompt.specialist_demonstrations: a model of many tasks is asked without examples",
                hint="leave it out, or run the task's own file",
            )
