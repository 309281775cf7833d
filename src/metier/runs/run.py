"""The driver: one run of n tasks in one folder, step by step. What is done already is not done again.

A task file is a run of one task, a scenario a run of several; both come this way. The steps, in order: every task's
rows are gathered; the model writes pairs; pairs are chosen; the mixture is made of them; Systems that need no tuning
answer the test rows; the model is tuned; the other Systems answer; all are judged on the same rows; what came of it is
written down. Of several tasks each has a folder of its own (``tasks/NAME``) with the report of a single run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from metier.core import storage
from metier.core.progress import Reporter
from metier.core.records import Example, MissingSystem, SystemKind
from metier.core.run_folder import open_run
from metier.core.step import Artifact, Done
from metier.data.mixture import Mixed
from metier.evaluation.measure import check_metric
from metier.report.facts import RunFacts
from metier.report.scenario_facts import ScenarioFacts
from metier.runs.summary import Finished, FinishedTask, summarize
from metier.steps import answer, select
from metier.steps.answer import Answered, answer_all, answers_of, material_of
from metier.steps.context import Context, open_context
from metier.steps.gather import TaskRows, gather
from metier.steps.held_out import held_out_rows
from metier.steps.judge import judge
from metier.steps.measures import measure_of
from metier.steps.mix import mix_pairs, part_of
from metier.steps.pairs import TaskPairs, choose_pairs, write_pairs
from metier.steps.ship import ship
from metier.steps.train import Trained, train, train_on_examples, weights_of
from metier.systems.base import Tuned
from metier.systems.registry import SPECIALIST, SYSTEMS
from metier.tasks.scenario import Scenario

Until = Literal["synthesize", "select", "train", "evaluate", "report"]


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        tasks: By name, the facts of every task.
        scenario: The facts of all together; None for a task file by itself.
    """

    tasks: Mapping[str, RunFacts]
    scenario: ScenarioFacts | None

    @property
    def only(self) -> RunFacts:
        """The facts of a run's one task."""
        return next(iter(self.tasks.values()))


@dataclasses.dataclass(frozen=True, slots=True)
class Specialists:
    """The models that answer the tasks.

    Attributes:
        by_task: The training step of each task's model; the same one for all, or each its own.
        first: The one model of all tasks that each task's was tuned on from; None: there is none.
    """

    by_task: Mapping[str, Done[Trained]]
    first: Done[Trained] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Models:
    """The models that a run tunes.

    Attributes:
        specialists: By training seed, the models that answer the tasks.
        others: By task, those that the specialist is compared with, by what they were tuned on.
    """

    specialists: Mapping[int, Specialists]
    others: Mapping[str, Mapping[Tuned, Done[Trained]]]


def run(scenario: Scenario, folder: Path, reporter: Reporter, *, until: Until = "report") -> Outcome | None:
    """Run a scenario's steps in a folder, as far as ``until``.

    Args:
        scenario: What the run is of; `metier.tasks.scenario.of_one` makes one of a task file.
        folder: The run folder, made if it does not exist.
        reporter: Where progress goes.
        until: The last step to take.

    Returns:
        What the run came to; None where it was to stop before the report.

    Raises:
        UserError: A file, name or setting is wrong.
        NotEnoughData: Synthesis left too few pairs to train on.
        MetierError: A step failed; what was done is kept.
    """
    rows = gather(scenario)
    for one in rows.values():
        if one.test:
            check_metric(measure_of(one.task))
    with open_run(folder) as opened:
        c = open_context(scenario, opened, reporter)
        if not scenario.alone:
            storage.write_json(folder / "scenario.json", scenario.settings.model_dump(mode="json"))
        for name, one in rows.items():
            storage.write_json(c.of(name).folder / "task.json", one.task.model_dump(mode="json"))
        for one in rows.values():
            for warning in one.warnings:
                reporter.say(f"warning: {warning}" if scenario.alone else f"warning: task {one.task.name}: {warning}")
        finished = _steps(c, scenario, rows, until)
        outcome = None
        if finished is not None:
            facts, together = summarize(c, scenario, finished)
            outcome = Outcome(facts, together)
        c.slot.close()
    return outcome


def train_models(c: Context, scenario: Scenario, mixture: Done[Mixed], rows: Mapping[str, TaskRows]) -> Specialists:
    """Train one model for all tasks, or one each, or one that is then tuned on for each.

    Raises:
        MetierError: Training failed; what was done is kept.
    """
    how, mixed = scenario.settings.adapters, mixture.value
    first = next(iter(rows.values())).task
    together = None
    if how != "each":
        together = train(c, first, mixed.rows)
        if how == "one":
            return Specialists(dict.fromkeys(rows, together))
    return Specialists(
        {name: train(c, r.task, mixed.of(name), name=f"training-{name}", start=together) for name, r in rows.items()},
        together,
    )


def _steps(c: Context, scenario: Scenario, rows: Mapping[str, TaskRows], until: Until) -> Finished | None:
    written = {name: write_pairs(c, scenario, r) for name, r in rows.items()}
    if until == "synthesize":
        return None
    pairs = {name: choose_pairs(c, scenario, r, written[name]) for name, r in rows.items()}
    if until == "select":
        return None
    mixture = mix_pairs(c, scenario, [p.part for p in pairs.values()], rows)
    tested = {name: r for name, r in rows.items() if r.tested} if until != "train" else {}
    early = {name: _answers(c, r, mixture.value, {}, answer.FIRST) for name, r in tested.items()}
    models = _train(c, scenario, mixture, pairs, tested)
    if until == "train":
        return None
    found = {}
    for name, r in rows.items():
        done, missing = early.get(name, ([], []))
        seeds: dict[int, Sequence[str]] = {}
        judged = None
        ours = models.specialists[r.task.seed]
        specialist = ours.by_task[name]
        weights: dict[Tuned, Artifact] = {tuned: weights_of(m) for tuned, m in models.others.get(name, {}).items()}
        weights["task"] = weights_of(specialist)
        unseen = held_out_rows(rows, name, mixture.value, specialist.value)
        if name in tested:
            late = _answers(c, r, mixture.value, weights, answer.LAST, unseen)
            done, missing = [*done, *late[0]], [*missing, *late[1]]
            seeds = _more_seeds(c, r, mixture.value, models)
            judged = judge(c, r, [answers_of(d) for d in _in_order(done)], missing, seeds, mixture.value.rows)
        shipped = None
        if until == "report":
            material = material_of(c, r, mixture.value.of(name), weights, unseen)
            shipped = ship(c, r, material, _in_order(done), judged.value.comparison.verdict if judged else None)
        found[name] = FinishedTask(
            pairs[name], specialist, models.others.get(name, {}), tuple(_in_order(done)), judged, shipped, ours.first
        )
    finished = Finished(mixture, found)
    return None if until == "evaluate" else finished


def _answers(
    c: Context,
    rows: TaskRows,
    mixed: Mixed,
    weights: Mapping[Tuned, Artifact],
    kinds: Sequence[SystemKind],
    unseen: Sequence[Example] = (),
) -> tuple[list[Done[Answered]], list[MissingSystem]]:
    which = "that need no tuning" if kinds == answer.FIRST else "that learn, the specialist last"
    c.reporter.say(f"{rows.task.name}: the test rows are answered by systems {which}")
    return answer_all(c, rows, material_of(c, rows, mixed.of(rows.task.name), weights, unseen), kinds)


def _in_order(done: Sequence[Done[Answered]]) -> list[Done[Answered]]:
    """Return Systems' steps in the order in which tables show them."""
    order = list(SYSTEMS)
    return sorted(done, key=lambda d: order.index(d.name.removeprefix("answers-")))


def _train(
    c: Context,
    scenario: Scenario,
    mixture: Done[Mixed],
    pairs: Mapping[str, TaskPairs],
    tested: Mapping[str, TaskRows],
) -> Models:
    rows = {name: p.rows for name, p in pairs.items()}
    specialists = {}
    for seed in range(scenario.settings.seed, scenario.settings.seed + scenario.settings.seeds):
        seeded = {name: dataclasses.replace(r, task=r.task.but(seed=seed)) for name, r in rows.items()}
        specialists[seed] = train_models(c, scenario, mixture, seeded)
    others: dict[str, dict[Tuned, Done[Trained]]] = {}
    for name, r in tested.items():
        others[name] = _controls(c, scenario, pairs[name])
        if "tuned_on_examples" in r.task.evaluation.baselines:
            others[name]["examples"] = train_on_examples(c, r)
    return Models(specialists, others)


def _controls(c: Context, scenario: Scenario, pairs: TaskPairs) -> dict[Tuned, Done[Trained]]:
    """Train what a selection is compared with: without as many rows at random there is no claim."""
    if pairs.pool is None or pairs.selection is None:
        return {}
    trained: dict[Tuned, Done[Trained]] = {}
    rows, entry = pairs.rows, scenario.settings.tasks[pairs.rows.task.name]
    for control in rows.task.selection.controls:
        chosen = select.choose_control(c, rows.task, pairs.pool, control, pairs.selection.value)
        part = part_of(rows, entry, chosen.value.selected, (), pool=True)
        mixture = mix_pairs(c, scenario, [part], {rows.task.name: rows})
        trained[control] = train(c, rows.task, mixture.value.rows, name=f"training-{control}")
    return trained


def _more_seeds(c: Context, rows: TaskRows, mixed: Mixed, models: Models) -> dict[int, Sequence[str]]:
    """Return what the specialists of further training seeds answer."""
    found: dict[int, Sequence[str]] = {}
    for seed, ours in models.specialists.items():
        if seed != rows.task.seed:
            weights: dict[Tuned, Artifact] = {"task": weights_of(ours.by_task[rows.task.name])}
            material = material_of(c, rows, mixed.of(rows.task.name), weights)
            found[seed] = answer.answer(c, rows, material, SYSTEMS[SPECIALIST]).value.answers.texts
    return found
