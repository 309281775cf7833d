"""Studies of a scenario: what each way of making its model is worth.

After Zhang et al. 2023 (arXiv 2305.13225): scenario data against generic data against both, each task left out in turn,
LoRA against all weights, models of several sizes, rows per task, one model against one a task; and what wordings and
synthetic pairs are worth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.evaluation.variants import BASE, Outcome
from metier.steps.gather import gather
from metier.studies.study import Variant, measure_studies
from metier.tasks.scenario import Scenario

SIZES = (100, 300, 1000)
_FEW = 50  # labelled pairs, where few are to be made more of
_WRITTEN = 300  # inputs the model is asked to write beside them
_CHOSEN = 0.5  # share of the synthetic pairs that is chosen


@dataclasses.dataclass(frozen=True, slots=True)
class TasksPlan:
    """What studies of a scenario run.

    Attributes:
        of: What to vary, by the names in `STUDIES`.
        models: Further models, for ``models``.
        rows: Rows a task, for ``sizes``.
    """

    of: tuple[str, ...]
    models: tuple[str, ...] = ()
    rows: tuple[int, ...] = SIZES


def study_tasks(
    scenario: Scenario, folder: Path, plan: TasksPlan, reporter: Reporter
) -> Iterator[tuple[str, str, tuple[Outcome, ...]]]:
    """Run studies one after the other and yield each with the variant that all others are compared with.

    Args:
        scenario: What all variants are made from.
        folder: The studies' folder, made if it does not exist.
        plan: What to run.
        reporter: Where progress goes.

    Raises:
        UserError: A study is not known, or lacks what it needs.
    """
    if unknown := next((name for name in plan.of if name not in STUDIES), None):
        raise UserError(f"--of: {unknown!r} is not known", hint=f"one of {', '.join(STUDIES)}")
    if not plan.of:
        raise UserError("study: say what to vary with --of", hint=f"one or more of {', '.join(STUDIES)}")
    planned = {name: STUDIES[name](scenario, plan) for name in plan.of}
    yield from measure_studies(planned, gather(scenario), folder, reporter, seed=scenario.settings.seed)


def _variant(
    name: str, scenario: Scenario, *, trains: bool = True, generic_only: bool = False, unseen: bool = False
) -> Variant:
    seeds = (scenario.settings.seed,)
    return Variant(name, scenario, seeds, trains=trains, generic_only=generic_only, unseen=unseen)


def _data(scenario: Scenario, plan: TasksPlan) -> list[Variant]:
    if scenario.settings.generic is None:
        raise UserError("study data: there is no generic data", hint="generic.data=FILE names some")
    alone = scenario.changed(generic=None)
    half = scenario.changed(generic=scenario.settings.generic.but(share=0.5))
    return [
        _variant("scenario data", alone),
        _variant("generic data, as many rows", half, generic_only=True),
        _variant("both, half and half", half),
        _variant(BASE, alone, trains=False),
    ]


def _left_out(scenario: Scenario, plan: TasksPlan) -> list[Variant]:
    if len(scenario.tasks) < 2:
        raise UserError("study left_out: there is one task, and nothing would be left")
    without = [_variant(f"without {name}", _without(scenario, name)) for name in scenario.tasks]
    return [_variant("all tasks", scenario), *without, _variant(BASE, scenario, trains=False)]


def _tuning(scenario: Scenario, plan: TasksPlan) -> list[Variant]:
    found = []
    for method in ("lora", "full"):
        training = scenario.settings.training.but(method=method)
        found.append(_variant(method, scenario.changed(training=training)))
    return [*found, _variant(BASE, scenario, trains=False)]


def _models(scenario: Scenario, plan: TasksPlan) -> list[Variant]:
    if not plan.models:
        raise UserError("study models: there is one model", hint="--model NAME names another")
    found = []
    for model in dict.fromkeys((scenario.settings.model, *plan.models)):
        own = scenario.changed(model=model)
        found += [_variant(model, own), _variant(f"{model}, {BASE}", own, trains=False)]
    return found


def _sizes(scenario: Scenario, plan: TasksPlan) -> list[Variant]:
    found = [_variant("all rows", scenario.each_changed(rows=None))]
    found += [_variant(f"{n} rows a task", scenario.each_changed(rows=n)) for n in sorted(plan.rows)]
    return [*found, _variant(BASE, scenario, trains=False)]


def _adapters(scenario: Scenario, plan: TasksPlan) -> list[Variant]:
    names = {"one": "one model", "each": "one a task", "one_then_each": "one, then tuned on for each"}
    found = [_variant(said, scenario.changed(adapters=how)) for how, said in names.items()]
    return [*found, _variant(BASE, scenario, trains=False)]


def _wordings(scenario: Scenario, plan: TasksPlan) -> list[Variant]:
    single = dataclasses.replace(scenario, tasks={n: t.but(wordings=()) for n, t in scenario.tasks.items()})
    if single.tasks == scenario.tasks:
        raise UserError("study wordings: no task has wordings")
    found = [_variant("many wordings", scenario), _variant("one wording", single)]
    if all(task.unseen_wordings for task in scenario.tasks.values()):
        found += [
            _variant("many wordings, asked in unseen ones", scenario, unseen=True),
            _variant("one wording, asked in unseen ones", single, unseen=True),
        ]
    return found


def _labels(scenario: Scenario, plan: TasksPlan) -> list[Variant]:
    """Few labelled pairs a task, alone and with pairs that the model writes, all of them or those LTD chooses."""
    few = scenario.each_changed(rows=_FEW)
    written = few.each_changed(synthetic=_WRITTEN, select_synthetic=None)
    return [
        _variant(f"{_FEW} labels", few),
        _variant(f"{_FEW} labels and synthetic", written),
        _variant(f"{_FEW} labels and selected synthetic", written.each_changed(select_synthetic=_CHOSEN)),
        _variant("all labels", scenario),
        _variant(BASE, scenario, trains=False),
    ]


STUDIES: Mapping[str, Callable[[Scenario, TasksPlan], list[Variant]]] = {
    "data": _data,
    "left_out": _left_out,
    "tuning": _tuning,
    "models": _models,
    "sizes": _sizes,
    "adapters": _adapters,
    "wordings": _wordings,
    "labels": _labels,
}
"""The studies by name; the first variant of each is the one that the others are compared with."""


def _without(scenario: Scenario, name: str) -> Scenario:
    """Return the scenario with a task that is tested and not trained on."""
    left = {n: entry for n, entry in scenario.settings.tasks.items() if n != name}
    return scenario.changed(tasks=left, adapters="one")
