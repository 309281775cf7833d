"""Studies of a task: what each part of how its model writes its own data is worth.

After the ablations of Zhao et al. 2024 (arXiv 2407.12874): each filter left out, the vote (or agreement) left out,
inputs asked for without a label, other temperatures, and fewer pairs. All variants have as many raw inputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.evaluation.variants import BASE, Outcome
from metier.steps.gather import gather
from metier.studies.study import Variant, measure_studies
from metier.tasks.scenario import Scenario, of_one
from metier.tasks.task import Task

PAIRS = (25, 50, 100, 200)
_AS_IT_IS = "as it is"
_TEMPERATURES = (0.6, 0.8, 1.0, 1.2)


@dataclasses.dataclass(frozen=True, slots=True)
class SynthesisPlan:
    """What studies of a task's synthesis run.

    Attributes:
        of: What to vary, by the names in `STUDIES`.
        seeds: How many seeds each, from the task's on.
        pairs: How many pairs to train on, for ``pairs``.
    """

    of: tuple[str, ...]
    seeds: int
    pairs: tuple[int, ...] = PAIRS


def study_synthesis(
    task: Task, folder: Path, plan: SynthesisPlan, reporter: Reporter
) -> Iterator[tuple[str, str, tuple[Outcome, ...]]]:
    """Run studies one after the other and yield each with the variant that all others are compared with.

    Args:
        task: What all variants are made from.
        folder: The studies' folder, made if it does not exist.
        plan: What to run.
        reporter: Where progress goes.

    Raises:
        UserError: A study is not known, or the task has no test rows or no pairs that its model writes.
        MetierError: A step failed; what was done is kept.
    """
    if unknown := next((name for name in plan.of if name not in STUDIES), None):
        raise UserError(f"--of: {unknown!r} is not known for a task", hint=f"one of {', '.join(STUDIES)}")
    if task.test is None:
        raise UserError("study: the task has no test file", hint="test: FILE")
    # A variant that leaves few pairs is a result, not a failure.
    task = task.but(synthesis=task.synthesis.but(min_pairs=1))
    base = of_one(task)
    if not base.settings.to_write(task.name, labelled=task.train is not None):
        raise UserError("study: the model writes no pairs for this task", hint="leave pool: and train_use: out")
    planned = {name: _variants(base, STUDIES[name](task, plan), plan.seeds) for name in plan.of}
    yield from measure_studies(planned, gather(base), folder, reporter, seed=task.seed)


def _variants(base: Scenario, changed: Sequence[tuple[str, Scenario]], several: int) -> list[Variant]:
    """Return a study's variants, each with so many seeds: the task as it is, what is changed, and no tuning."""
    seeds = tuple(range(base.settings.seed, base.settings.seed + several))
    found = [Variant(said, scenario, seeds) for said, scenario in ((_AS_IT_IS, base), *changed)]
    return [*found, Variant(BASE, base, seeds[:1], trains=False)]


def _changed(task: Task, said: str, **changes: object) -> tuple[str, Scenario]:
    return said, of_one(task.but(synthesis=task.synthesis.but(**changes)))


def _filters(task: Task, plan: SynthesisPlan) -> list[tuple[str, Scenario]]:
    settings = task.synthesis
    found = []
    if settings.noise_filter:
        found.append(_changed(task, "without the noise filter", noise_filter=False))
    if settings.input_length_filter:
        found.append(_changed(task, "without the length filter", input_length_filter=False))
    if settings.output_length_filter:
        found.append(_changed(task, "without the length filter of answers", output_length_filter=False))
    if settings.near_duplicates is not None:
        found.append(_changed(task, "exact duplicates alone", near_duplicates=None))
    if settings.balance and task.labels:
        found.append(_changed(task, "without balance", balance=False))
    return found


def _agreement(task: Task, plan: SynthesisPlan) -> list[tuple[str, Scenario]]:
    if task.synthesis.method == "self-guide":
        return [_changed(task, "without least agreement", agreement=0.0)]
    found = [_changed(task, "all pairs, read again", keep_share=1.0)]
    if task.unlabelled is None:
        found.append(_changed(task, "all pairs, as asked for", check_pairs=False))
    return found


def _labels(task: Task, plan: SynthesisPlan) -> list[tuple[str, Scenario]]:
    if task.labels is None or not task.synthesis.pseudo_labels:
        raise UserError("study labels: inputs are not asked for by label here", hint="it is for tasks with labels")
    return [_changed(task, "asked for without a label", pseudo_labels=False)]


def _temperature(task: Task, plan: SynthesisPlan) -> list[tuple[str, Scenario]]:
    return [
        _changed(task, f"temperature {temperature:g}", input_temperature=temperature)
        for temperature in _TEMPERATURES
        if temperature != task.synthesis.input_temperature
    ]


def _pairs(task: Task, plan: SynthesisPlan) -> list[tuple[str, Scenario]]:
    return [(f"{n} pairs", of_one(task).changed(rows=n)) for n in sorted(plan.pairs)]


STUDIES: Mapping[str, Callable[[Task, SynthesisPlan], list[tuple[str, Scenario]]]] = {
    "filters": _filters,
    "agreement": _agreement,
    "asked_labels": _labels,
    "temperature": _temperature,
    "pairs": _pairs,
}
"""The studies by name; all are compared with the task as it is."""
