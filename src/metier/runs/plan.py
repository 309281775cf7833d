"""Estimates what a run would take on this machine before it is begun, and fits a task to a time.

The estimate is arithmetic on what single pieces of work cost here, which `runs.calibrate` measures in about half a
minute by doing a little of each.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from metier.core import storage
from metier.core.errors import UserError
from metier.core.remote import local
from metier.data.files import read_rows
from metier.selection.select import budget_of, related_share_of
from metier.steps.answer import is_wanted
from metier.steps.gather import TaskRows, gather
from metier.steps.train import EXAMPLE_EPOCHS
from metier.systems.registry import SYSTEMS, shows_written
from metier.tasks.scenario import Scenario, of_one
from metier.tasks.task import Task

if TYPE_CHECKING:
    from metier.runs.calibrate import UnitCosts

_UNITS = {"s": 1, "m": 60, "h": 3600}
_CLASSIC = 4.0  # seconds: loading the sentence encoder, and learning and answering with it and with TF-IDF
_CLASSIC_ROW = 0.03
_EVALUATED = 0.35  # a held-out example costs this share of a trained one: no backward pass


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """An estimate of one run.

    Attributes:
        stages: Seconds by stage.
        counts: Raw inputs, training pairs and test rows it was made for.
        tokens: Tokens written and trained on.
        costs: What was measured.
        memory_bytes: About the most memory the run will hold.
    """

    stages: Mapping[str, float]
    counts: Mapping[str, int]
    tokens: Mapping[str, int]
    costs: UnitCosts
    memory_bytes: int

    @property
    def seconds(self) -> float:
        """The whole run."""
        return sum(self.stages.values())


def estimate(scenario: Scenario, costs: UnitCosts | None = None) -> Plan:
    """Estimate a run on this machine, in one process.

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
            "synthesis": costs.load + inputs * costs.raw_input if inputs else 0.0,
            "selection": sum(p.pool_rows for p in parts.values()) * costs.pool_row,
            "training": training,
            "answers": sum(_answers(r.task, costs, parts[name]) for name, r in rows.items()),
        },
        counts={"inputs": inputs, "pairs": round(pairs), "test_rows": tested},
        tokens={
            "written": round(inputs * costs.input_tokens + tested * costs.answer_tokens),
            "trained": round(settings.seeds * times * settings.training.epochs * pairs * costs.example_tokens),
        },
        costs=costs,
        memory_bytes=costs.memory_bytes,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """One task's part in a run: inputs to write, pairs to train on, rows to test on, and what it chooses from."""

    inputs: int
    pairs: float
    tested: int
    pool_rows: int = 0
    chosen: int = 0


def _part(scenario: Scenario, rows: TaskRows, costs: UnitCosts) -> _Part:
    task, entry = rows.task, scenario.settings.tasks[rows.task.name]
    if task.pool is not None:
        there = sum(1 for _ in read_rows(local(task.pool), "train"))
        # A budget of tokens alone is taken for the default share.
        chosen = budget_of(task.selection.but(tokens=None), there).rows or 0
        return _Part(0, chosen, len(rows.tested), there, chosen)
    labelled = len(rows.labelled)
    inputs = scenario.settings.to_write(task.name, labelled=labelled > 0)
    pairs = min(labelled * (entry.select or 1.0), entry.rows or labelled)
    pairs += inputs * costs.survive * (entry.select_synthetic or 1.0)
    if task.selection.budgeted and pairs >= 1:
        pairs = min(pairs, budget_of(task.selection.but(tokens=None), round(pairs)).rows or pairs)
    return _Part(inputs, pairs, len(rows.tested))


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


def _answers(task: Task, costs: UnitCosts, part: _Part) -> float:
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
    classic = _CLASSIC + rows * _CLASSIC_ROW if any(e.kind == "classic" and task.labels for e in wanted) else 0.0
    return rows * (sum(costs.answer[entry.key] for entry in asked) + sum(again)) + alone + classic + models * costs.load


def fit_to_budget(task: Task, seconds: float, folder: Path, costs: UnitCosts | None = None) -> Task:
    """Return the task with fewer inputs, and then fewer test rows, so that it fits a time (measured with ``costs``).

    The choice is kept in the run folder: the same command with the same budget makes the same run again.

    Raises:
        UserError: Not even a small run (a tenth of the inputs, 50 test rows) fits.
    """
    path = folder / "budget.json"
    key = storage.digest([task.model_dump(mode="json"), seconds])
    if path.exists() and storage.read_json(path)["key"] == key:
        chosen = storage.read_json(path)
    else:
        chosen = {"key": key, **_choose(estimate(of_one(task), costs), task, seconds)}
        storage.write_json(path, chosen)
    synthesis = task.synthesis.but(inputs=chosen["inputs"])
    return task.but(synthesis=synthesis, evaluation=task.evaluation.but(limit=chosen["limit"]))


def _choose(first: Plan, task: Task, seconds: float) -> dict[str, int | None]:
    allowed = seconds * 0.85  # loading, writing and what the estimate misses
    rows = first.counts["test_rows"]
    limits = [None, *(limit for limit in (200, 100, 50) if limit < rows)]
    for limit in limits:
        share = (limit or rows) / rows if rows else 1.0
        fixed = share * first.stages["answers"]
        scalable = first.stages["synthesis"] + first.stages["training"]
        scale = (allowed - fixed) / scalable if scalable else 1.0
        least = 0.1 if limit == limits[-1] else 0.5  # rather fewer test rows than fewer than half of the inputs
        if scale >= least:
            inputs = max(1, int(task.synthesis.inputs * min(1.0, scale)))
            return {"inputs": inputs, "limit": limit or task.evaluation.limit}
    raise UserError(
        f"--budget: the run takes about {first.seconds:.0f} s here; even a tenth of it does not fit {seconds:.0f} s",
        hint="give it more time, or take a smaller model",
    )


def parse_time(text: str) -> float:
    """Return the seconds in a text such as 90s, 10m, 1.5h.

    Raises:
        UserError: The text is not a time.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not match or float(match[1]) <= 0:
        raise UserError(f"--budget: {text!r} is not a time", hint="write 90s, 10m or 2h")
    return float(match[1]) * _UNITS[match[2]]
