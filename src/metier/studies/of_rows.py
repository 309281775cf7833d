"""A study of selection on a task: strategies x budgets x seeds beside controls, in one folder that can be continued.

What is selected from is the task's pool or, where it has none, its labelled rows: then the study says how many labels
are enough, and whether more wordings of the instruction help. Every cell is a selection, a tuning and the answers on
the test rows; stages are shared with `metier run` and with each other, so that nothing is done twice.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from metier.core import storage
from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.core.records import Example
from metier.core.run_folder import Stage, open_run
from metier.data.pairs import ExampleFile
from metier.data.wordings import in_wordings
from metier.evaluation.compare import score_texts
from metier.evaluation.scored import Scored
from metier.evaluation.variants import BASE, Condition, Outcome, outcomes
from metier.selection.pool import Pool
from metier.steps import evaluate as stages
from metier.steps import select as selection
from metier.steps.context import Context, open_context, specialist_demonstrations, tuned_folder
from metier.systems import predict
from metier.tasks.read_task import read_test, read_train
from metier.tasks.task import StrategyName, Task

_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True, slots=True)
class StudyPlan:
    """What a study runs.

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


def run_study(task: Task, folder: Path, plan: StudyPlan, reporter: Reporter) -> list[Outcome]:
    """Run a study of a task on its own test file and return what every condition came to.

    Raises:
        UserError: The task has no test file, or neither pool nor labelled rows; a budget cannot be met; there are not
            so many wordings, or the pool's rows have their own.
    """
    test = read_test(task)
    if test is None:
        raise UserError("study: the task has no test file", hint="test: FILE")
    rows = list(test.examples)[: task.evaluation.limit]
    labelled = None if task.pool else _labelled(task, test)
    _check_wordings(task, plan)
    with open_run(folder) as run:
        c = open_context(task, run, reporter)
        if labelled is not None:
            c, pool = selection.pool_of_pairs(c, labelled)
        else:
            pool = selection.open_task_pool(c, [row.input for row in test.examples])
        found = study_cells(c, pool, plan, lambda at, trained: _score(at, rows, _answers(at, trained, rows)))
        c.bench.close()
    return found


def study_cells(
    c: Context, pool: Pool, plan: StudyPlan, judge: Callable[[Context, Stage | None], Scored]
) -> list[Outcome]:
    """Run every cell of a study in an open run folder.

    Args:
        c: The run's context.
        pool: What is selected from.
        plan: What to run.
        judge: Scores what a training stage made (None: the base model) on the test rows, always the same ones.

    Returns:
        What every condition came to; ``study.json`` in the run folder holds it after each condition.
    """
    base = Condition(BASE, "")
    scored: list[tuple[Condition, dict[int, Scored]]] = [(base, {c.task.seed: judge(c, None)})]
    found: list[Outcome] = []
    for planned, contexts in _cells(c, plan):
        by_seed: dict[int, Scored] = {}
        condition = planned
        for again in contexts:
            again.reporter.say(f"{planned.name}, seed {again.task.seed}")
            chosen = _choose(again, pool, planned)
            trained = _train(again, pool, chosen)
            by_seed[again.task.seed] = judge(again, trained)
            rows, tokens = int(chosen.outcome["rows"]), int(chosen.outcome["tokens"])
            condition = dataclasses.replace(planned, rows=rows, tokens=tokens)
        scored.append((condition, by_seed))
        found = outcomes(scored, resamples=min(c.task.evaluation.resamples, _RESAMPLES), seed=c.task.seed)
        storage.write_json(c.run.folder / "study.json", [dataclasses.asdict(o) for o in found])
    return found


def _cells(c: Context, plan: StudyPlan) -> list[tuple[Condition, list[Context]]]:
    """Return every condition with a context for each of its seeds; the smallest budgets come first."""
    cells = []
    seeds = range(c.task.seed, c.task.seed + plan.seeds)
    strategies = list(dict.fromkeys(("random", *plan.strategies)))
    for share, strategy, wordings in itertools.product(sorted(plan.shares), strategies, plan.wordings or (None,)):
        update = {"strategy": strategy, "share": share, "rows": None, "tokens": None}
        contexts = [_with(c, update, seed, wordings) for seed in seeds]
        told = "" if wordings is None else f", {wordings} wording{'s' if wordings > 1 else ''}"
        cells.append((Condition(f"{strategy}, {100 * share:g}%{told}", strategy, share, wordings=wordings), contexts))
    for control in c.task.selection.controls:
        if control != "random":
            update = {"strategy": "random", "share": min(plan.shares), "rows": None, "tokens": None}
            cells.append((Condition(_CONTROLS[control], control), [_with(c, update, seed) for seed in seeds]))
    return cells


_CONTROLS = {"related": "all that count as the task's", "pool": "the whole pool"}


def _with(c: Context, update: Mapping[str, object], seed: int, wordings: int | None = None) -> Context:
    settings: dict[str, object] = {"selection": c.task.selection.model_copy(update=update), "seed": seed}
    if wordings is not None:
        settings["wordings"] = c.task.wordings[: wordings - 1]
    return dataclasses.replace(c, task=c.task.model_copy(update=settings))


def _labelled(task: Task, test: ExampleFile) -> list[Example]:
    """Return a task's labelled rows, without those of the test."""
    train = read_train(task)
    if train is None:
        raise UserError("study: the task has nothing to select from", hint="pool: FILE, or train: FILE (labelled rows)")
    tested = {row.input for row in test.examples}
    return [Example(row.input, row.output) for row in train.examples if row.input not in tested]


def _check_wordings(task: Task, plan: StudyPlan) -> None:
    if plan.wordings and task.pool:
        raise UserError(
            "study: a pool's rows have their own instructions", hint="leave --wordings out, or give train: in its place"
        )
    there = 1 + len(task.wordings)
    if wrong := next((n for n in plan.wordings if n > there), None):
        raise UserError(f"study: {wrong} wordings, but the task has {there}", hint="add to wordings: in the task file")


def _train(c: Context, pool: Pool, chosen: Stage) -> Stage:
    pairs = selection.chosen_pairs(chosen)
    if pool.instruction:
        pairs = in_wordings(c.task, [Example(p.input, p.output) for p in pairs], c.task.seed)
    return stages.train(c, pairs, storage.digest([[p.input, p.output, p.instruction] for p in pairs]))


def _choose(c: Context, pool: Pool, condition: Condition) -> Stage:
    if condition.share is not None:
        return selection.choose(c, pool)
    return selection.choose_control(c, pool, condition.strategy, selection.choose(c, pool))


def _answers(c: Context, trained: Stage | None, rows: Sequence[Example]) -> list[str]:
    """Return a model's answers to the test rows, as the task says that tuned models answer."""
    texts = [row.input for row in rows]
    key: dict[str, Any] = {
        "model": c.files.digest,
        "trained": trained.key if trained else "",
        "rows": storage.digest(texts),
    }
    key |= {"instruction": c.task.instruction, "labels": c.task.labels, "by": c.task.evaluation.answer_by}
    stage = c.run.stage("answers", key)
    if not stage.done:
        tuned = tuned_folder(trained) if trained else None
        engine = c.bench.specialist(tuned) if tuned else c.bench.base()
        shown = specialist_demonstrations(c, engine)
        with c.reporter.track("answers", len(texts)) as update:
            answers = predict.tuned_answers(c.task, engine, c.bench.prompts, shown, texts, stage.shard, "rows", update)
        storage.write_json(stage.path / "answers.json", answers)
        stage.finish({"rows": len(texts)})
    found: list[str] = storage.read_json(stage.path / "answers.json")
    return found


def _score(c: Context, rows: Sequence[Example], answers: Sequence[str]) -> Scored:
    return score_texts(c.task, rows, answers)[c.task.main_metric]
