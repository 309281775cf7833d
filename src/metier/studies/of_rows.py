"""A study of which rows a task is tuned on: strategies x budgets x seeds beside controls.

What is selected from is the task's pool or, where it has none, its labelled rows: then the study says how many labels
are enough, and whether more wordings of the instruction help.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

from metier.core import storage
from metier.core.codec import encode
from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.core.run_folder import open_run
from metier.evaluation.variants import BASE, RELATED, Outcome, compare_variants
from metier.steps.gather import gather
from metier.steps.select import Control
from metier.studies.study import Variant, measure_variant
from metier.tasks.scenario import of_one
from metier.tasks.settings import StrategyName
from metier.tasks.task import Task

RANDOM = "random"
ONE_WORDING = "one wording"
_RESAMPLES = 2000
_CONTROLS: dict[Control, str] = {"related": "all that count as the task's", "pool": "the whole pool"}


@dataclasses.dataclass(frozen=True, slots=True)
class RowsPlan:
    """What a study of rows runs.

    Attributes:
        strategies: Ways to choose rows; ``random`` is run whether it is named or not.
        shares: Budgets, as shares of the pool.
        seeds: How many seeds each, from the task's on.
        wordings: In how many wordings of the task's instruction its labelled rows are asked; each number is run. Empty:
            in all that the task has.
    """

    strategies: tuple[StrategyName, ...]
    shares: tuple[float, ...]
    seeds: int
    wordings: tuple[int, ...] = ()


def study_rows(task: Task, folder: Path, plan: RowsPlan, reporter: Reporter) -> tuple[Outcome, ...]:
    """Run a study of a task on its own test rows and return what every variant came to.

    Raises:
        UserError: The task has no test rows, or neither pool nor labelled rows; a budget cannot be met; there are not
            so many wordings, or the pool's rows have their own.
    """
    if task.pool is None:
        # Only labelled rows are studied: nothing is written beside them.
        task = task.but(train_use="instead" if task.train else task.train_use)
    _check(task, plan)
    rows = gather(of_one(task))
    if task.pool is None and not rows[task.name].labelled:
        raise UserError("study: the task has nothing to select from", hint="pool: FILE, or train: FILE (labelled rows)")
    measured = []
    found: tuple[Outcome, ...] = ()
    with open_run(folder) as run:
        for variant in variants_of(task, plan):
            measured.append(measure_variant(variant, rows, run, reporter))
            known = {v.name for v in measured}
            # A comparison is made once both of its sides are there.
            now = [dataclasses.replace(v, over={n: r for n, r in v.over.items() if r in known}) for v in measured]
            found = compare_variants(now, resamples=min(task.evaluation.resamples, _RESAMPLES), seed=task.seed)
            storage.write_json(folder / "study.json", encode(found))
    return found


def variants_of(task: Task, plan: RowsPlan) -> list[Variant]:
    """Return every variant of a study; the smallest budgets come first."""
    seeds = tuple(range(task.seed, task.seed + plan.seeds))
    found = [Variant(BASE, of_one(task), seeds[:1], trains=False)]
    strategies = list(dict.fromkeys((RANDOM, *plan.strategies)))
    controls: Sequence[Control] = [control for control in task.selection.controls if control != RANDOM]
    related = {RELATED: _CONTROLS["related"]} if "related" in controls else {}
    for share, strategy, wordings in itertools.product(sorted(plan.shares), strategies, plan.wordings or (None,)):
        own = task.but(selection=task.selection.but(strategy=strategy, share=share, rows=None, tokens=None))
        if wordings is not None:
            own = own.but(wordings=task.wordings[: wordings - 1])
        over = {} if strategy == RANDOM else {RANDOM: _name(RANDOM, share, wordings)}
        if wordings is not None and wordings > 1 and 1 in plan.wordings:
            over[ONE_WORDING] = _name(strategy, share, 1)
        found.append(
            Variant(
                _name(strategy, share, wordings),
                of_one(own),
                seeds,
                group=strategy,
                over=over | related,
                facts={"share": share} | ({} if wordings is None else {"wordings": float(wordings)}),
            )
        )
    smallest = task.selection.but(strategy=RANDOM, share=min(plan.shares), rows=None, tokens=None)
    for control in controls:
        found.append(Variant(_CONTROLS[control], of_one(task.but(selection=smallest)), seeds, control=control))
    return found


def _name(strategy: str, share: float, wordings: int | None) -> str:
    return f"{strategy}, {100 * share:g}%" + ("" if wordings is None else f", {_worded(wordings)}")


def _worded(wordings: int) -> str:
    return f"{wordings} wording{'s' if wordings > 1 else ''}"


def _check(task: Task, plan: RowsPlan) -> None:
    if task.test is None:
        raise UserError("study: the task has no test file", hint="test: FILE")
    if plan.wordings and task.pool:
        raise UserError(
            "study: a pool's rows have their own instructions", hint="leave --wordings out, or give train: in its place"
        )
    there = 1 + len(task.wordings)
    if wrong := next((n for n in plan.wordings if n > there), None):
        raise UserError(f"study: {wrong} wordings, but the task has {there}", hint="add to wordings: in the task file")
