"""Estimates what a run would take on this machine before it is begun, and fits a task to a time.

The estimate is arithmetic on what single pieces of work cost here, which `runs.calibrate` measures in about half a
minute by doing a little of each.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.core import storage
from metier.core.errors import UserError
from metier.core.remote import local
from metier.data.files import read_rows
from metier.evaluation.measure import is_rewriting
from metier.selection.select import budget_of, related_share_of
from metier.steps.answer import is_wanted
from metier.steps.gather import TaskRows, gather
from metier.steps.held_out import MOST_ROWS
from metier.steps.measures import measure_of
from metier.steps.train import EXAMPLE_EPOCHS
from metier.systems.guarded import LEAST_ROWS
from metier.systems.registry import SPECIALIST, SYSTEMS, shows_written
from metier.tasks.scenario import MixtureFile, Scenario, of_one
from metier.tasks.task import Task

if TYPE_CHECKING:
    from metier.runs.calibrate import UnitCosts

_UNITS = {"s": 1, "m": 60, "h": 3600}
_CLASSIC = 4.0  # seconds: loading the sentence encoder, and learning and answering with it and with TF-IDF
_CLASSIC_ROW = 0.03
_SHARD = 64  # rows that one worker writes or answers at a time
_LEAST = 0.1  # share of the inputs and pairs that a budget leaves, at least
_EVALUATED = 0.35  # a held-out example costs this share of a trained one: no backward pass


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """An estimate of one run.

    Attributes:
        stages: Seconds by stage.
        counts: Raw inputs, training pairs and test rows it was made for.
        tokens: Tokens written and trained on.
        costs: What was measured.
        memory_bytes: About the most memory the run will hold; with workers, each of them.
        workers: How many write and answer, each on a machine (or a GPU) like the one that was measured.
    """

    stages: Mapping[str, float]
    counts: Mapping[str, int]
    tokens: Mapping[str, int]
    costs: UnitCosts
    memory_bytes: int
    workers: int = 1

    @property
    def seconds(self) -> float:
        """The whole run."""
        return sum(self.stages.values())


def estimate(scenario: Scenario, costs: UnitCosts | None = None) -> Plan:
    """Estimate a run on this machine, or on several like it where Ray's workers write and answer.

    Training is estimated in one process: how far more of them help depends on what connects them.

    Args:
        scenario: What would run.
        costs: What was measured before; None: measure now, with the task of middling length, and with others what
            does not answer it (about half a minute for the smallest model).
    """
    from metier.models.locate import resolve_model
    from metier.runs.calibrate import measure

    settings, rows = scenario.settings, gather(scenario)
    if costs is None:
        by_length = sorted(rows.values(), key=lambda r: sum(len(e.input) for e in r.examples))
        files = resolve_model(settings.model, trust_remote_code=settings.engine.trust_remote_code)
        middling = by_length.pop(len(by_length) // 2)
        costs = measure(middling, files, by_length)
    workers = settings.launch.workers
    parts = {name: _part(scenario, r, costs) for name, r in rows.items()}
    inputs = sum(p.inputs for p in parts.values())
    pairs = sum(p.pairs for p in parts.values()) / (1 - (settings.generic.share if settings.generic else 0.0))
    pairs = min(pairs, settings.rows or pairs, settings.tokens / costs.example_tokens if settings.tokens else pairs)
    times, models = {"one": (1, 1), "each": (1, len(parts)), "one_then_each": (2, 1 + len(parts))}[settings.adapters]
    tested = sum(p.tested for p in parts.values())
    training = settings.seeds * (times * _training(scenario, costs, pairs) + models * costs.tuning)
    training += sum(_beside(r.task, costs, p) for r, p in zip(rows.values(), parts.values(), strict=True) if p.tested)
    return Plan(
        stages={
            "synthesis": costs.load + costs.raw_input * sum(_in_turn(p.inputs, workers) for p in parts.values())
            if inputs
            else 0.0,
            "selection": sum(p.pool_rows for p in parts.values()) * costs.pool_row / workers,
            "training": training,
            "answers": sum(_answers(r.task, costs, parts[name], workers) for name, r in rows.items()),
        },
        counts={"inputs": inputs, "pairs": round(pairs), "test_rows": tested},
        tokens={
            "written": round(inputs * costs.input_tokens + tested * costs.answer_tokens),
            "trained": round(settings.seeds * times * settings.training.epochs * pairs * costs.example_tokens),
        },
        costs=costs,
        memory_bytes=costs.memory_bytes,
        workers=workers,
    )


def _in_turn(rows: int, workers: int) -> int:
    """Return how many rows the busiest worker gets: a whole shard at a time."""
    return min(rows, math.ceil(math.ceil(rows / _SHARD) / workers) * _SHARD)


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """One task's part in a run: inputs to write, pairs to train on, rows to test on, and what it chooses from.

    Of rows to train on those count apart that a guard is chosen by: they are answered too.
    """

    inputs: int
    pairs: float
    tested: int
    pool_rows: int = 0
    chosen: int = 0
    held_out: int = 0


def _part(scenario: Scenario, rows: TaskRows, costs: UnitCosts) -> _Part:
    task, entry = rows.task, scenario.settings.tasks[rows.task.name]
    if task.pool is not None:
        there = sum(1 for _ in read_rows(local(task.pool), "train"))
        # A budget of tokens alone is taken for the default share.
        chosen = budget_of(task.selection.but(tokens=None), there).rows or 0
        return _Part(0, chosen, len(rows.tested), there, chosen)
    labelled = len(rows.labelled)
    inputs = scenario.settings.to_write(task.name, labelled=labelled > 0)
    answers = labelled
    if is_rewriting(measure_of(task)):  # it is trained on every answer of a row, and of several tasks as rows allow
        answers = sum(len(set(row.references)) for row in rows.labelled)
    most = entry.rows or (answers if scenario.alone else labelled)
    pairs = min(answers * (entry.select or 1.0), most)
    pairs += inputs * costs.survive * (entry.select_synthetic or 1.0)
    if task.selection.budgeted and pairs >= 1:
        pairs = min(pairs, budget_of(task.selection.but(tokens=None), round(pairs)).rows or pairs)
    return _Part(inputs, pairs, len(rows.tested), held_out=_held_out(scenario, rows, min(most, labelled)))


def _held_out(scenario: Scenario, rows: TaskRows, trained: float) -> int:
    """Return how many labelled rows of a rewriting task are not trained on; none where they are too few for a guard."""
    if not is_rewriting(measure_of(rows.task)):
        return 0
    training = scenario.settings.training
    found = len(rows.labelled) - trained + min(trained * training.holdout_share, training.holdout_max)
    return min(MOST_ROWS, round(found)) if found >= LEAST_ROWS else 0


def _training(scenario: Scenario, costs: UnitCosts, pairs: float) -> float:
    """Return seconds of training once on so many pairs."""
    settings = scenario.settings.training
    held = min(round(pairs * settings.holdout_share), settings.holdout_max)
    own = sum(len(task.examples) for task in scenario.tasks.values()) if settings.demonstrations else 0
    return settings.epochs * (pairs - held + own + held * _EVALUATED) * costs.example


def _beside(task: Task, costs: UnitCosts, part: _Part) -> float:
    """Return seconds of training what the specialist is compared with."""
    seconds = 0.0
    if "tuned_on_examples" in task.evaluation.baselines:
        seconds += EXAMPLE_EPOCHS * len(task.examples) * costs.example + costs.tuning
    if part.chosen:
        related = round(related_share_of(task.selection, part.pool_rows) * part.pool_rows)
        size = {"random": part.chosen, "related": related, "pool": part.pool_rows}
        most = max(part.chosen, task.selection.control_rows)
        for control in task.selection.controls:
            seconds += task.training.epochs * min(size[control], most) * costs.example + costs.tuning
    return seconds


def _answers(task: Task, costs: UnitCosts, part: _Part, workers: int) -> float:
    """Return seconds of every System's answers to a task's test rows."""
    rows = part.tested
    if not rows:
        return 0.0
    wanted = [e for e in SYSTEMS.values() if is_wanted(e, task) and (part.inputs or not shows_written(e))]
    # A control is one more tuned model, asked like the specialist.
    asked = [e for e in wanted if e.key in costs.answer and (e.family is not None or e.kind == "specialist")]
    again = [costs.answer["specialist"]] * (task.seeds - 1 + (len(task.selection.controls) if task.pool else 0))
    alone = sum(min(rows, task.evaluation.timed_rows) * costs.alone[entry.key] for entry in asked)
    models = 1 + len({entry.tuned for entry in asked if entry.tuned}) + len(again)
    # A guard answers the rows it is chosen by too, and weighs what was written, in about two thirds of that time.
    more = _in_turn(part.held_out, workers) + (part.held_out + rows) * 2 / 3
    guard = more * costs.answer.get(SPECIALIST, 0.0) if part.held_out else 0.0
    classic = _CLASSIC + rows * _CLASSIC_ROW if any(e.kind == "classic" and task.labels for e in wanted) else 0.0
    each = sum(costs.answer[entry.key] for entry in asked) + sum(again)
    return _in_turn(rows, workers) * each + alone + classic + guard + models * costs.load


def fit_to_budget(scenario: Scenario, seconds: float, folder: Path, costs: UnitCosts | None = None) -> Scenario:
    """Return the scenario with fewer pairs, and then fewer test rows, so that it fits a time (measured with ``costs``).

    The choice is kept in the run folder: the same command with the same budget makes the same run again.

    Raises:
        UserError: Not even a small run (a tenth of the inputs and pairs, 50 test rows of each task) fits.
    """
    path = folder / "budget.json"
    tasks = {name: task.model_dump(mode="json") for name, task in scenario.tasks.items()}
    key = storage.digest([scenario.settings.model_dump(mode="json"), tasks, seconds])
    if path.exists() and (kept := storage.read_json(path))["key"] == key:
        return _smaller(scenario, kept["share"], kept["rows"], kept["limit"])
    found = _choose(scenario, seconds, costs)
    storage.write_json(path, {"key": key, **found})
    return _smaller(scenario, found["share"], found["rows"], found["limit"])


def _choose(scenario: Scenario, seconds: float, costs: UnitCosts | None) -> dict[str, Any]:
    """Return which share of the inputs fits, the pairs to train on at most, and the test rows of each task."""
    first = estimate(scenario, costs)
    allowed = seconds * 0.85  # loading, writing and what the estimate misses
    largest = first.counts["test_rows"]  # of a scenario, of all tasks together: a limit that limits nothing is harmless
    limits = [None, *(limit for limit in (200, 100, 50) if limit < largest)]
    for limit in limits:
        # In between, time goes with the share: what does not (loading, answers) is in both.
        whole = estimate(_smaller(scenario, 1.0, None, limit), first.costs).seconds
        small = estimate(_smaller(scenario, _LEAST, _rows(first, _LEAST), limit), first.costs).seconds
        least = _LEAST if limit == limits[-1] else 0.5  # rather fewer test rows than fewer than half of the inputs
        share = 1.0 if whole <= allowed else _LEAST + (1 - _LEAST) * (allowed - small) / (whole - small or 1.0)
        if share >= least:
            return {"share": share, "rows": _rows(first, share) if share < 1 else None, "limit": limit}
    raise UserError(
        f"--budget: the run takes about {first.seconds:.0f} s here; even a tenth of it does not fit {seconds:.0f} s",
        hint="give it more time, or take a smaller model",
    )


def _rows(plan: Plan, share: float) -> int:
    return max(1, round(plan.counts["pairs"] * share))


def _smaller(scenario: Scenario, share: float, rows: int | None, limit: int | None) -> Scenario:
    """Return the scenario with a share of its inputs, and so many rows to train on and test rows of a task, at most."""
    settings = scenario.settings.evaluation
    fewer = settings.but(limit=min((n for n in (limit, settings.limit) if n), default=None))
    if scenario.alone:
        (task,) = scenario.tasks.values()
        synthesis = task.synthesis.but(inputs=_part_of(task.synthesis.inputs, share))
        return of_one(task.but(synthesis=synthesis, evaluation=fewer))
    mixture: MixtureFile = scenario.settings
    entries = {
        name: entry if entry.synthetic is None else entry.but(synthetic=_part_of(entry.synthetic, share))
        for name, entry in mixture.tasks.items()
    }
    return scenario.changed(
        tasks=entries,
        synthetic=_part_of(mixture.synthetic, share),
        rows=min((n for n in (rows, mixture.rows) if n), default=None),
        evaluation=fewer,
    )


def _part_of(count: int, share: float) -> int:
    return max(1, int(count * min(1.0, share))) if count else 0


def parse_time(text: str) -> float:
    """Return the seconds in a text such as 90s, 10m, 1.5h.

    Raises:
        UserError: The text is not a time.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not match or float(match[1]) <= 0:
        raise UserError(f"--budget: {text!r} is not a time", hint="write 90s, 10m or 2h")
    return float(match[1]) * _UNITS[match[2]]
