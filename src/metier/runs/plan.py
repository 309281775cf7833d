"""Says beforehand how long a run takes and what memory it needs, and fits a run to a time.

The estimate is arithmetic on what single pieces of work cost here, which `pipeline.calibrate` measures in about half a
minute by doing a little of each. Knows nothing about how stages do their work.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.core import storage
from metier.core.errors import UserError
from metier.core.remote import local
from metier.data.files import read_rows
from metier.selection.select import budget_of, related_share_of
from metier.tasks.task import Task

if TYPE_CHECKING:
    from metier.runs.calibrate import UnitCosts
    from metier.tasks.scenario import Scenario

_UNITS = {"s": 1, "m": 60, "h": 3600}
_CLASSIC = 4.0  # seconds: loading the sentence encoder, and learning and answering with it and with TF-IDF
_CLASSIC_ROW = 0.03
_EXAMPLE_EPOCHS = 10  # of the model tuned on the examples alone
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

    stages: dict[str, float]
    counts: dict[str, int]
    tokens: dict[str, int]
    costs: UnitCosts
    memory_bytes: int

    @property
    def seconds(self) -> float:
        """The whole run."""
        return sum(self.stages.values())

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {**dataclasses.asdict(self), "seconds": self.seconds}


def estimate(task: Task, costs: UnitCosts | None = None) -> Plan:
    """Estimate a run of the task on this machine, in one process.

    Args:
        task: What would run.
        costs: What was measured before; None: measure now (about half a minute for the smallest model).
    """
    from metier.models.locate import resolve_model
    from metier.runs.calibrate import measure
    from metier.tasks.read_task import read_test, read_train

    test, train = read_test(task), read_train(task)
    if costs is None:
        files = resolve_model(task.model, trust_remote_code=task.engine.trust_remote_code)
        costs = measure(task, files, [row.input for row in test.examples] if test else [])
    rows = min(len(test.examples), task.evaluation.limit or len(test.examples)) if test else 0
    pool_rows = _pool_rows(task)
    synthetic = 0 if pool_rows or (task.train_use == "instead" and train) else task.synthesis.inputs
    labelled = len(train.examples) if train else 0
    chosen = _chosen(task, pool_rows)
    pairs = round(synthetic * costs.survive) + labelled + chosen
    trained = pairs + (_controls(task, pool_rows, chosen) if rows else 0)
    stages = {
        "synthesis": costs.load + synthetic * costs.raw_input if synthetic else 0.0,
        "selection": pool_rows * costs.pool_row,
        "training": _training(task, costs, trained, rows > 0),
        "baselines": _baselines(task, costs, rows),
        "evaluation": _evaluation(task, costs, rows),
    }
    return Plan(
        stages=stages,
        counts={"inputs": synthetic, "pairs": pairs, "test_rows": rows},
        tokens={
            "written": round(synthetic * costs.tokens["input"] + rows * costs.tokens["answer"]),
            "trained": round(task.seeds * pairs * task.training.epochs * costs.tokens["example"]),
        },
        costs=costs,
        memory_bytes=costs.memory_bytes,
    )


def estimate_scenario(scenario: Scenario, costs: UnitCosts | None = None) -> Plan:
    """Estimate a run of a scenario on this machine, in one process.

    Args:
        scenario: What would run.
        costs: What was measured before, with any of its tasks; None: measure now, with the task of middling length.
    """
    from metier.models.locate import resolve_model
    from metier.runs.calibrate import measure
    from metier.tasks.read_task import read_test

    settings = scenario.settings
    tests = {name: file.examples if (file := read_test(task)) else () for name, task in scenario.tasks.items()}
    if costs is None:
        by_length = sorted(scenario.tasks.values(), key=lambda task: sum(len(e.input) for e in task.examples))
        middle = by_length[len(by_length) // 2]
        files = resolve_model(settings.model, trust_remote_code=settings.engine.trust_remote_code)
        costs = measure(middle, files, [row.input for row in tests[middle.name]])
    parts = {name: _part(scenario, name, len(tests[name]), costs) for name in scenario.tasks}
    inputs, pairs = sum(p.inputs for p in parts.values()), sum(p.pairs for p in parts.values())
    pairs /= 1 - (settings.generic.share if settings.generic else 0.0)
    pairs = min(pairs, settings.rows or pairs, settings.tokens / costs.tokens["example"] if settings.tokens else pairs)
    times, models = {"one": (1, 1), "each": (1, len(parts)), "one_then_each": (2, 1 + len(parts))}[settings.adapters]
    rows = sum(p.rows for p in parts.values())
    asked_again = {name: p.rows * (1 + bool(scenario.tasks[name].unseen_wordings)) for name, p in parts.items()}
    return Plan(
        stages={
            "synthesis": costs.load + inputs * costs.raw_input if inputs else 0.0,
            "training": times * settings.training.epochs * pairs * costs.example + models * costs.tuning,
            "baselines": sum(_baselines(scenario.tasks[name], costs, p.rows) for name, p in parts.items()),
            "evaluation": sum(_evaluation(scenario.tasks[name], costs, n) for name, n in asked_again.items()),
        },
        counts={"inputs": inputs, "pairs": round(pairs), "test_rows": rows},
        tokens={
            "written": round(inputs * costs.tokens["input"] + rows * costs.tokens["answer"]),
            "trained": round(times * settings.training.epochs * pairs * costs.tokens["example"]),
        },
        costs=costs,
        memory_bytes=costs.memory_bytes,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """One task's part in a scenario: inputs to write, pairs to train on, rows to test on."""

    inputs: int
    pairs: float
    rows: int


def _part(scenario: Scenario, name: str, tested: int, costs: UnitCosts) -> _Part:
    from metier.tasks.read_scenario import read_labelled

    settings, entry = scenario.settings, scenario.settings.tasks[name]
    train = read_labelled(scenario, scenario.tasks[name])
    labelled = len(train.examples) if train else 0
    if not tested:
        tested = round(labelled * settings.test_share)
        labelled -= tested
    inputs = settings.to_write(name, labelled=labelled > 0)
    pairs = min(labelled * (entry.select or 1.0), entry.rows or labelled)
    pairs += inputs * costs.survive * (entry.select_synthetic or 1.0)
    return _Part(inputs, pairs, min(tested, settings.evaluation.limit or tested))


def _pool_rows(task: Task) -> int:
    if task.recipe != "low-data" or task.pool is None:
        return 0
    return sum(1 for _ in read_rows(local(task.pool), "train"))


def _chosen(task: Task, pool_rows: int) -> int:
    """Return how many of a pool's rows are chosen; a budget of tokens alone is taken for the default share."""
    if not pool_rows:
        return 0
    return budget_of(task.selection.model_copy(update={"tokens": None}), pool_rows).rows or 0


def _controls(task: Task, pool_rows: int, chosen: int) -> int:
    """Return how many rows the controls train on."""
    if not chosen:
        return 0
    related = round(related_share_of(task.selection, pool_rows) * pool_rows)
    size = {"random": chosen, "related": related, "pool": pool_rows}
    return sum(min(size[name], max(chosen, task.selection.control_rows)) for name in task.selection.controls)


def _training(task: Task, costs: UnitCosts, pairs: int, tested: bool) -> float:
    settings = task.training
    held = min(round(pairs * settings.holdout_share), settings.holdout_max)
    own = len(task.examples) if settings.demonstrations else 0
    each = settings.epochs * (pairs - held + own + held * _EVALUATED) * costs.example + costs.tuning
    alone = 0.0
    if tested and "tuned_on_examples" in task.evaluation.baselines:
        alone = _EXAMPLE_EPOCHS * len(task.examples) * costs.example + costs.tuning
    return task.seeds * each + alone


def _baselines(task: Task, costs: UnitCosts, rows: int) -> float:
    if not rows:
        return 0.0
    wanted = set(task.evaluation.baselines)
    prompted = sum(costs.answer.get(name, 0.0) for name in wanted)
    if "few_shot_best" in wanted:
        prompted += costs.answer["few_shot"] * 2 / 3  # another rendering than the usual one, two times in three
    alone = min(rows, task.evaluation.timed_rows) * costs.alone["few_shot"] if "few_shot" in wanted else 0.0
    classic = _CLASSIC + rows * _CLASSIC_ROW if task.labels and wanted & {"encoder", "tfidf"} else 0.0
    return rows * prompted + alone + classic + costs.load


def _evaluation(task: Task, costs: UnitCosts, rows: int) -> float:
    if not rows:
        return 0.0
    models = task.seeds + ("tuned_on_examples" in task.evaluation.baselines)
    alone = min(rows, task.evaluation.timed_rows) * costs.alone["bare"]
    scored = rows * costs.answer.get("bare_scoring", 0.0)
    return models * (rows * costs.answer["bare"] + costs.load) + scored + alone


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
        chosen = {"key": key, **_choose(estimate(task, costs), task, seconds)}
        storage.write_json(path, chosen)
    synthesis = task.synthesis.model_copy(update={"inputs": chosen["inputs"]})
    evaluation = task.evaluation.model_copy(update={"limit": chosen["limit"]})
    return task.model_copy(update={"synthesis": synthesis, "evaluation": evaluation})


def _choose(first: Plan, task: Task, seconds: float) -> dict[str, int | None]:
    allowed = seconds * 0.85  # loading, writing and what the estimate misses
    rows = first.counts["test_rows"]
    limits = [None, *(limit for limit in (200, 100, 50) if limit < rows)]
    for limit in limits:
        share = (limit or rows) / rows if rows else 1.0
        fixed = share * (first.stages["baselines"] + first.stages["evaluation"])
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


def print_plan(model: str, plan: Plan) -> None:
    """Print a plan for people; ``model`` is what it was measured with."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("about", justify="right")
    for name, seconds in plan.stages.items():
        table.add_row(name, f"{seconds:.0f} s")
    table.add_row("together", f"{plan.seconds:.0f} s")
    console = Console()
    console.print(table)
    c, u = plan.counts, plan.costs
    console.print(
        f"{c['inputs']} inputs, about {c['pairs']} training pairs, {c['test_rows']} test rows; "
        f"memory about {plan.memory_bytes / 1e9:.1f} GB",
        highlight=False,
    )
    console.print(
        f"measured with {model}: an input {u.raw_input:.2f} s, an answer {u.answer['bare']:.3f} s, "
        f"a training example {u.example:.3f} s; {plan.tokens['written']} tokens to write, "
        f"{plan.tokens['trained']} to train on",
        highlight=False,
    )
