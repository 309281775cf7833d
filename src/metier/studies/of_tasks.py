"""Studies of a scenario: what each way of making its model is worth, on the same test rows, in one folder.

After Zhang et al. 2023 (arXiv 2305.13225): scenario data against generic data against both, each task left out in turn,
LoRA against all weights, models of several sizes, rows per task, one model against one a task; and what wordings and
synthetic pairs are worth. Every variant is a mixture, a training and the answers to all test rows; those that studies
share are made once, and a study goes on where it was stopped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metier.core import storage
from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.core.records import Example
from metier.core.run_folder import Run, Stage, open_run
from metier.data.mixture import GENERIC
from metier.evaluation.over_tasks import TaskAnswers, VariantOutcome, compare_variants, score_task
from metier.evaluation.scored import Scored
from metier.runs.scenario import carrier, train_models
from metier.steps import evaluate as stages
from metier.steps.context import Context, demonstrations, open_context, test_rows, tuned_folder
from metier.steps.mix import TaskData, mixture_pairs, read_task_data, write_mixture
from metier.systems import predict
from metier.tasks.scenario import Scenario

BASE = "no tuning"
_SIZES = (100, 300, 1000)
_FEW = 50  # labelled pairs, where few are to be made more of
_WRITTEN = 300  # inputs the model is asked to write beside them
_CHOSEN = 0.5  # share of the synthetic pairs that is chosen


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """One way of making the scenario's model.

    Attributes:
        name: Unique in its study.
        scenario: What is mixed and trained.
        trains: Whether anything is trained; the base model answers otherwise.
        generic_only: Train on as many rows of the generic data, and none of the tasks'.
        unseen: Ask in wordings that were not trained on.
    """

    name: str
    scenario: Scenario
    trains: bool = True
    generic_only: bool = False
    unseen: bool = False


def run_scenario_study(
    scenario: Scenario,
    folder: Path,
    reporter: Reporter,
    of: Sequence[str],
    models: Sequence[str],
    rows: Sequence[int],
) -> Iterator[tuple[str, str, list[VariantOutcome]]]:
    """Run studies one after the other and yield each with the variant that all others are held against.

    Args:
        scenario: What all variants are made from.
        folder: The study's folder, made if it is not there.
        reporter: Where progress goes.
        of: What to vary, by the names in `STUDIES`.
        models: Further models, for ``models``.
        rows: Rows a task, for ``sizes``.

    Raises:
        UserError: A study is not known, or lacks what it needs.
    """
    if unknown := next((name for name in of if name not in STUDIES), None):
        raise UserError(f"--of: {unknown!r} is not known", hint=f"one of {', '.join(STUDIES)}")
    if not of:
        raise UserError("study: say what to vary with --of", hint=f"one or more of {', '.join(STUDIES)}")
    options = _Options(tuple(models), tuple(rows) or _SIZES)
    planned = {name: STUDIES[name](scenario, options) for name in of}
    with open_run(folder) as run:
        for name, variants in planned.items():
            found = []
            for variant in variants:
                reporter.say(f"study {name}: {variant.name}")
                found.append((variant.name, *_run_variant(variant, run, reporter)))
            outcomes = compare_variants(found, against=variants[0].name, seed=scenario.settings.seed)
            storage.write_json(folder / f"study-{name}.json", [dataclasses.asdict(o) for o in outcomes])
            yield name, variants[0].name, outcomes


@dataclasses.dataclass(frozen=True, slots=True)
class _Options:
    models: tuple[str, ...]
    rows: tuple[int, ...]


def _data(scenario: Scenario, options: _Options) -> list[Variant]:
    if scenario.settings.generic is None:
        raise UserError("study data: there is no generic data", hint="generic.data=FILE names some")
    alone = _changed(scenario, generic=None)
    half = _changed(scenario, generic=scenario.settings.generic.model_copy(update={"share": 0.5}))
    return [
        Variant("scenario data", alone),
        Variant("generic data, as many rows", half, generic_only=True),
        Variant("both, half and half", half),
        Variant(BASE, alone, trains=False),
    ]


def _left_out(scenario: Scenario, options: _Options) -> list[Variant]:
    if len(scenario.tasks) < 2:
        raise UserError("study left_out: there is one task, and nothing would be left")
    without = [Variant(f"without {name}", _without(scenario, name)) for name in scenario.tasks]
    return [Variant("all tasks", scenario), *without, Variant(BASE, scenario, trains=False)]


def _tuning(scenario: Scenario, options: _Options) -> list[Variant]:
    found = []
    for method in ("lora", "full"):
        training = scenario.settings.training.model_copy(update={"method": method})
        found.append(Variant(method, _changed(scenario, training=training)))
    return [*found, Variant(BASE, scenario, trains=False)]


def _models(scenario: Scenario, options: _Options) -> list[Variant]:
    if not options.models:
        raise UserError("study models: there is one model", hint="--model NAME names another")
    found = []
    for model in dict.fromkeys((scenario.settings.model, *options.models)):
        own = _changed(scenario, model=model)
        found += [Variant(model, own), Variant(f"{model}, {BASE}", own, trains=False)]
    return found


def _sizes(scenario: Scenario, options: _Options) -> list[Variant]:
    found = [Variant("all rows", _for_each(scenario, rows=None))]
    found += [Variant(f"{n} rows a task", _for_each(scenario, rows=n)) for n in sorted(options.rows)]
    return [*found, Variant(BASE, scenario, trains=False)]


def _adapters(scenario: Scenario, options: _Options) -> list[Variant]:
    names = {"one": "one model", "each": "one a task", "one_then_each": "one, then tuned on for each"}
    found = [Variant(said, _changed(scenario, adapters=how)) for how, said in names.items()]
    return [*found, Variant(BASE, scenario, trains=False)]


def _wordings(scenario: Scenario, options: _Options) -> list[Variant]:
    single = Scenario(
        scenario.settings, {n: t.model_copy(update={"wordings": ()}) for n, t in scenario.tasks.items()}
    )
    if single.tasks == scenario.tasks:
        raise UserError("study wordings: no task has wordings")
    found = [Variant("many wordings", scenario), Variant("one wording", single)]
    if all(task.unseen_wordings for task in scenario.tasks.values()):
        found += [
            Variant("many wordings, asked in unseen ones", scenario, unseen=True),
            Variant("one wording, asked in unseen ones", single, unseen=True),
        ]
    return found


def _labels(scenario: Scenario, options: _Options) -> list[Variant]:
    """Few labelled pairs a task, alone and with pairs that the model writes, all of them or those LTD chooses."""
    few = _for_each(scenario, rows=_FEW)
    written = _for_each(few, synthetic=_WRITTEN, select_synthetic=None)
    return [
        Variant(f"{_FEW} labels", few),
        Variant(f"{_FEW} labels and synthetic", written),
        Variant(f"{_FEW} labels and selected synthetic", _for_each(written, select_synthetic=_CHOSEN)),
        Variant("all labels", scenario),
        Variant(BASE, scenario, trains=False),
    ]


STUDIES: Mapping[str, Callable[[Scenario, _Options], list[Variant]]] = {
    "data": _data,
    "left_out": _left_out,
    "tuning": _tuning,
    "models": _models,
    "sizes": _sizes,
    "adapters": _adapters,
    "wordings": _wordings,
    "labels": _labels,
}
"""The studies by name; the first variant of each is the one that the others are held against."""


def _run_variant(variant: Variant, run: Run, reporter: Reporter) -> tuple[dict[str, Scored], dict[str, float]]:
    """Return a variant's score on every task, and what was trained."""
    scenario = variant.scenario
    c = open_context(carrier(scenario), run, reporter)
    data = read_task_data(scenario)
    trained: Mapping[str, Stage | None] = dict.fromkeys(data)
    facts: dict[str, float] = {}
    if variant.trains:
        mixture = write_mixture(c, scenario, {n: d for n, d in data.items() if n in scenario.settings.tasks})
        if variant.generic_only:
            models = dict.fromkeys(data, _train_on_generic(c, mixture))
        else:
            models = dict(train_models(c, scenario, mixture))
        made = {stage.key: stage for stage in models.values()}.values()
        facts = {
            "rows": float(sum(stage.outcome["pairs"] for stage in made)),
            "seconds": sum(float(stage.cost.get("seconds", 0.0)) for stage in made),
        }
        trained = models
    scores = {}
    for name, d in data.items():
        if d.test is None:
            continue
        rows = test_rows(d.task, d.test)
        answers = _answers(c, d, rows, trained[name], unseen=variant.unseen)
        scores[name] = score_task(TaskAnswers(name, d.task.main_metric, d.task.labels, tuple(rows), {}), answers)
    c.bench.close()
    if not scores:
        raise UserError("study: no task has test rows", hint="test: FILE in a task, or data: FILE in the mixture")
    return scores, facts


def _train_on_generic(c: Context, mixture: Stage) -> Stage:
    """Train on generic rows alone, as many as the mixture has of the tasks'."""
    pairs = mixture_pairs(mixture, GENERIC)
    source = storage.digest([[p.instruction, p.input, p.output] for p in pairs])
    return stages.train(c, pairs, source, name="training-generic")


def _answers(c: Context, d: TaskData, rows: Sequence[Example], trained: Stage | None, *, unseen: bool) -> list[str]:
    """Return a model's answers to one task's test rows, by the task's instruction or by its unseen wordings."""
    texts = [row.input for row in rows]
    wordings = d.task.unseen_wordings if unseen else (d.task.instruction,)
    key = {"model": c.files.digest, "trained": trained.key if trained else "", "rows": storage.digest(texts)}
    key |= {"wordings": storage.digest(wordings), "labels": storage.digest(d.task.labels)}
    key |= {"examples": storage.digest([e.model_dump() for e in d.task.examples])}
    stage = c.run.stage("answers", key)
    if not stage.done:
        engine = c.bench.specialist(tuned_folder(trained)) if trained else c.bench.base()
        # The base model is shown the examples: without them it hardly knows what is wanted.
        shown = () if trained else demonstrations(d.task, engine)
        with c.reporter.track(d.task.name, len(texts)) as update:

            def ask(k: int, wording: str, part: Sequence[str]) -> list[str]:
                asked = d.task.model_copy(update={"instruction": wording})
                prompts, shard = c.bench.prompts, stage.shard
                return predict.tuned_answers(asked, engine, prompts, shown, part, shard, f"rows{k}", update)

            answers = predict.in_turns(wordings, texts, ask)
        storage.write_json(stage.path / "answers.json", answers)
        stage.finish({"rows": len(texts)})
    found: list[str] = storage.read_json(stage.path / "answers.json")
    return found


def _changed(scenario: Scenario, **update: object) -> Scenario:
    """Return the scenario with other settings, which hold for its tasks too."""
    settings = scenario.settings.model_copy(update=update)
    shared: dict[str, Any] = {key: update[key] for key in ("model", "training") if key in update}
    return Scenario(settings, {n: t.model_copy(update=shared) for n, t in scenario.tasks.items()})


def _without(scenario: Scenario, name: str) -> Scenario:
    """Return the scenario with a task that is tested and not trained on."""
    left = {n: entry for n, entry in scenario.settings.tasks.items() if n != name}
    settings = scenario.settings.model_copy(update={"tasks": left, "adapters": "one"})
    return Scenario(settings, scenario.tasks)


def _for_each(scenario: Scenario, **update: object) -> Scenario:
    """Return the scenario with other settings of each task's part in the mixture."""
    tasks = {name: entry.model_copy(update=update) for name, entry in scenario.settings.tasks.items()}
    return _changed(scenario, tasks=tasks)
