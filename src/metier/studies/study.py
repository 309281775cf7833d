"""A study: variants of a run on the same test rows, some beside others, in one folder that can be resumed.

A variant is a way of making pairs and a model. Steps are shared with each other, so that nothing is done twice. What
"no tuning" means, which rows are tested, and how answers are had is the same in every study: the base model is shown
the examples, the rows are those of a run, and a model answers as the run's specialist does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from metier.core import storage
from metier.core.codec import encode
from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.core.run_folder import Run, open_run
from metier.core.step import Done
from metier.data.mixture import GENERIC, Mixed
from metier.evaluation import variants
from metier.evaluation.measure import score_main
from metier.evaluation.scored import Scored
from metier.runs.run import train_models
from metier.steps.answer import answer, material_of
from metier.steps.context import Context, open_context
from metier.steps.gather import TaskRows
from metier.steps.measures import measure_of
from metier.steps.mix import mix_pairs
from metier.steps.pairs import choose_pairs, write_pairs
from metier.steps.select import Control
from metier.steps.train import Trained, train, weights_of
from metier.systems.registry import SPECIALIST, SYSTEMS, UNSEEN
from metier.tasks.scenario import Scenario


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """One way of making a model.

    Attributes:
        name: Unique in its study.
        scenario: What is mixed and trained.
        seeds: Everything is made once for each.
        trains: Whether anything is trained; the base model answers otherwise.
        generic_only: Train on as many rows of the generic data, and none of the tasks'.
        unseen: Ask in wordings that were not trained on.
        control: Train on what a selection is compared with, not on what it chooses.
        group: Which curve it belongs to; empty where there is none.
        over: What else it is compared with: a name for the comparison, and the variant.
        facts: What is known of it beforehand, such as its share of the pool.
    """

    name: str
    scenario: Scenario
    seeds: tuple[int, ...]
    trains: bool = True
    generic_only: bool = False
    unseen: bool = False
    control: Control | None = None
    group: str = ""
    over: Mapping[str, str] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, float] = dataclasses.field(default_factory=dict)


def measure_variant(variant: Variant, rows: Mapping[str, TaskRows], run: Run, reporter: Reporter) -> variants.Variant:
    """Make a variant's models and score their answers.

    Args:
        variant: What to make.
        rows: Every task's rows, those that are tested included.
        run: The study's folder.
        reporter: Where progress goes.

    Raises:
        UserError: No task has test rows.
        MetierError: A step failed; what was done is kept.
    """
    tested = [name for name, r in rows.items() if r.tested]
    if not tested:
        raise UserError("study: no task has test rows", hint="test: FILE in a task, or data: FILE in the mixture")
    scores: dict[str, dict[int, Scored]] = {name: {} for name in tested}
    facts = dict(variant.facts)
    for seed in variant.seeds:
        reporter.say(variant.name + (f", seed {seed}" if len(variant.seeds) > 1 else ""))
        untimed = variant.scenario.settings.evaluation.but(timed_rows=0)
        scenario = variant.scenario.changed(seed=seed, evaluation=untimed)
        c = open_context(scenario, run, reporter)
        own = {name: dataclasses.replace(r, task=scenario.tasks[name]) for name, r in rows.items()}
        made = _train(c, scenario, variant, own) if variant.trains else None
        for name in tested:
            texts = _answers(c, own[name], made, unseen=variant.unseen)
            scores[name][seed] = score_main(measure_of(own[name].task), own[name].tested, texts)
        if made is not None:
            facts |= made.facts
        c.slot.close()
    return variants.Variant(variant.name, scores, facts, variant.group, variant.over)


def measure_studies(
    planned: Mapping[str, Sequence[Variant]],
    rows: Mapping[str, TaskRows],
    folder: Path,
    reporter: Reporter,
    *,
    seed: int,
) -> Iterator[tuple[str, str, tuple[variants.Outcome, ...]]]:
    """Run studies one after the other and yield each with the variant that all others are compared with, its first.

    Args:
        planned: By name, the variants of each study.
        rows: Every task's rows, those that are tested included.
        folder: The studies' folder, made if it does not exist; each is written to ``study-NAME.json`` in it.
        reporter: Where progress goes.
        seed: Seeds the bootstrap.

    Raises:
        UserError: No task has test rows.
        MetierError: A step failed; what was done is kept.
    """
    with open_run(folder) as run:
        for name, some in planned.items():
            reporter.say(f"study {name}")
            measured = [measure_variant(variant, rows, run, reporter) for variant in some]
            found = variants.compare_variants(measured, against=some[0].name, seed=seed)
            storage.write_json(folder / f"study-{name}.json", encode(found))
            yield name, some[0].name, found


@dataclasses.dataclass(frozen=True, slots=True)
class _Made:
    """A variant's training set and models, by task, and the model that these were tuned on from, if there is one."""

    mixture: Done[Mixed]
    models: Mapping[str, Done[Trained]]
    first: Done[Trained] | None = None

    @property
    def facts(self) -> dict[str, float]:
        every = {done.key: done for done in self.models.values()}.values()
        return {
            "rows": float(sum(done.value.pairs + done.value.held_out for done in every)),
            "tokens": float(self.mixture.value.tokens),
            "seconds": sum(done.cost.seconds for done in every) + (self.first.cost.seconds if self.first else 0.0),
        }


def _train(c: Context, scenario: Scenario, variant: Variant, rows: Mapping[str, TaskRows]) -> _Made:
    trained = [rows[name] for name in scenario.settings.tasks]
    written = [write_pairs(c, scenario, r) for r in trained]
    pairs = [choose_pairs(c, scenario, r, w, variant.control) for r, w in zip(trained, written, strict=True)]
    mixture = mix_pairs(c, scenario, [p.part for p in pairs], rows)
    if variant.generic_only:
        generic = train(c, trained[0].task, mixture.value.of(GENERIC), name="training-generic")
        return _Made(mixture, dict.fromkeys(rows, generic))
    made = train_models(c, scenario, mixture, rows)
    return _Made(mixture, made.by_task, made.first)


def _answers(c: Context, rows: TaskRows, made: _Made | None, *, unseen: bool) -> Sequence[str]:
    """Return a model's answers to one task's test rows, by its instruction or by its unseen wordings."""
    name = rows.task.name
    mixed = made.mixture.value.of(name) if made else ()
    material = material_of(c, rows, mixed, {"task": weights_of(made.models[name])} if made else {})
    return answer(c, rows, material, SYSTEMS[UNSEEN if unseen else SPECIALIST]).value.answers.texts
