"""What a scenario is: several tasks for one model, and how their data are mixed. Knows nothing about files or models.

`Scenario` is the whole of what a user says in a ``mixture.yaml``; each of its tasks has a task file of its own, read by
``scenariofile.py``. What the scenario says of models, training and evaluation holds for all its tasks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from metier.core import storage
from metier.core.errors import UserError
from metier.tasks.task import Settings, Shared, Task, Where

Adapters = Literal["one", "each", "one_then_each"]
_NOT_NAMED = {"engine", "launch", "prices", "evaluation"}  # what changes neither the mixture nor what is made of it


class ScenarioTask(Settings):
    """What one task gives to the mixture."""

    file: str | None = Field(None, description="Its task file; default: NAME.yaml beside the mixture.")
    rows: int | None = Field(None, ge=1, description="Labelled rows to take at most.")
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


class Scenario(Shared):
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
    def _is_whole(self) -> Scenario:
        if not self.tasks:
            raise ValueError("tasks: there are none")
        if self.prompt.specialist_demonstrations:
            raise ValueError("prompt.specialist_demonstrations: a model of many tasks is asked without examples")
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
class WholeScenario:
    """A scenario with its task files read.

    Attributes:
        settings: What the mixture file says.
        tasks: By name, each as its file has it, with what the scenario says laid over.
    """

    settings: Scenario
    tasks: dict[str, Task]

    def only(self, names: Sequence[str]) -> WholeScenario:
        """Return the scenario with some of its tasks.

        Raises:
            UserError: One of them is not there.
        """
        if unknown := next((name for name in names if name not in self.tasks), None):
            raise UserError(f"task {unknown!r} is not in {self.settings.name}", hint=f"one of {', '.join(self.tasks)}")
        entries = {name: entry for name, entry in self.settings.tasks.items() if name in names}
        settings = self.settings.model_copy(update={"tasks": entries})
        return WholeScenario(settings, {name: self.tasks[name] for name in entries})

    @property
    def digest(self) -> str:
        """Hash of all that says what is trained; it names the run."""
        said = self.settings.model_dump(mode="json", exclude=_NOT_NAMED)
        return storage.digest([said, {n: t.model_dump(mode="json", exclude=_NOT_NAMED) for n, t in self.tasks.items()}])
