"""Makes every task's pairs: written by the model, labelled by people, chosen from a pool or among them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from metier.core.records import Example
from metier.core.step import Done
from metier.data.likeness import folded
from metier.data.mixture import Part
from metier.selection.pool import Pool
from metier.steps import select
from metier.steps.context import Context
from metier.steps.gather import TaskRows
from metier.steps.mix import part_of
from metier.steps.select import Control, Selection
from metier.steps.synthesize import Synthesis, synthesize
from metier.tasks.scenario import Scenario


@dataclasses.dataclass(frozen=True, slots=True)
class TaskPairs:
    """What a task's pairs are made of.

    Attributes:
        rows: The task and its rows from files.
        synthesis: What the model wrote, if it wrote any.
        pool: The pool that rows are chosen from, if there is one.
        selection: What was chosen of a pool or of the pairs, if anything was.
        part: What the task gives to the mixture.
    """

    rows: TaskRows
    synthesis: Done[Synthesis] | None
    pool: Pool | None
    selection: Done[Selection] | None
    part: Part


def write_pairs(c: Context, scenario: Scenario, rows: TaskRows) -> Done[Synthesis] | None:
    """Let the model write a task's pairs; None where the scenario asks for none.

    Raises:
        NotEnoughData: Too few are left.
    """
    task = rows.task
    several = scenario.settings.to_write(task.name, labelled=bool(rows.labelled))
    if not scenario.alone and several:
        c.reporter.say(f"task {task.name}")
    return synthesize(c, task, several, rows.unlabelled) if several else None


def choose_pairs(
    c: Context,
    scenario: Scenario,
    rows: TaskRows,
    synthesis: Done[Synthesis] | None,
    control: Control | None = None,
) -> TaskPairs:
    """Choose a task's pairs as its ``selection:`` and the mixture say.

    Args:
        c: The run's context.
        scenario: Says what the task gives to the mixture.
        rows: The task and its rows.
        synthesis: What the model wrote for it.
        control: Choose what the selection is compared with in its place.

    Raises:
        UserError: A budget cannot be met, or the pool cannot be read.
    """
    task, entry = rows.task, scenario.settings.tasks[rows.task.name]
    if task.pool is not None or (task.recipe == "low-data" and not rows.labelled):
        pool = select.open_task_pool(c, task, [row.input for row in rows.test])
        chosen = select.choose(c, task, pool)
        if control is not None:
            chosen = select.choose_control(c, task, pool, control, chosen.value)
        part = part_of(rows, entry, chosen.value.selected, (), pool=True)
        return TaskPairs(rows, None, pool, chosen, part)
    labelled, selection = _share(c, rows, rows.labelled, entry.select)
    written: Sequence[Example] = synthesis.value.pairs if synthesis else ()
    written, of_written = _share(c, rows, written, entry.select_synthetic)
    if task.selection.budgeted:
        kept, selection = select.select_pairs(c, task, _untested(rows, [*labelled, *written]), control)
        inside = set(kept)
        labelled = tuple(pair for pair in labelled if pair in inside)
        written = tuple(pair for pair in written if pair in inside)
    return TaskPairs(rows, synthesis, None, selection or of_written, part_of(rows, entry, labelled, written))


def _share(
    c: Context, rows: TaskRows, pairs: Sequence[Example], share: float | None
) -> tuple[Sequence[Example], Done[Selection] | None]:
    """Return the share of a task's pairs that its selection chooses; all of them without one."""
    if share is None or not pairs:
        return pairs, None
    return select.select_pairs(c, rows.task.but(selection=rows.task.selection.but(share=share)), _untested(rows, pairs))


def _untested(rows: TaskRows, pairs: Sequence[Example]) -> Sequence[Example]:
    """Return what may be chosen: no budget is spent on test inputs, which the mixture leaves out."""
    if rows.task.evaluation.leakage == "report":
        return pairs
    tested = {folded(row.input) for row in rows.test}
    return [pair for pair in pairs if folded(pair.input) not in tested]
