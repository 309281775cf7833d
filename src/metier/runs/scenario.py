"""One command for a whole scenario: mix the tasks' data, train, evaluate every task, report, in one folder.

Every task has a run folder of its own inside the scenario's (``tasks/NAME``), with the report of a single run;
``metier compare`` takes them like any other. What is done is not done again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from metier.core import storage
from metier.data.pairs import ExampleFile
from metier.evaluation.compare import check_metric
from metier.systems.predict import answer_length
from metier.evaluation.over_tasks import ScenarioOutcome, TaskAnswers, compare_tasks
from metier.runs import summary as facts
from metier.steps import evaluate as stages
from metier.steps.baselines import TrainingData, baselines
from metier.steps.context import Context, open_context, test_rows, tuned_folder
from metier.runs.load import load_run
from metier.steps.mix import TaskData, at_task, mixture_pairs, read_task_data, write_mixture
from metier.core.progress import Reporter
from metier.core.records import Example
from metier.report.card import write_card
from metier.report.facts import RunFacts
from metier.report.html import write_report
from metier.report.scenario import ScenarioFacts, write_scenario
from metier.report.scenario_card import write_scenario_card
from metier.core.run_folder import Stage, open_run
from metier.tasks.scenario import Scenario
from metier.tasks.task import Task

Trained = Mapping[str, Stage]
"""By task, the training stage whose model answers it."""


def run_scenario(scenario: Scenario, folder: Path, reporter: Reporter) -> ScenarioFacts:
    """Run a scenario in a folder; what is done already is not done again.

    Args:
        scenario: What to do.
        folder: The run folder, made if it is not there.
        reporter: Where progress goes.

    Returns:
        The facts of the scenario; ``result.json`` and ``report.html`` in the folder hold them.

    Raises:
        UserError: A file, name or setting is wrong.
        NotEnoughData: A task's synthesis left too few pairs.
        MetierError: A stage failed; what was done is kept.
    """
    data = read_task_data(scenario)
    for d in data.values():
        if d.test:
            check_metric(d.task)
    with open_run(folder) as run:
        storage.write_json(folder / "scenario.json", scenario.settings.model_dump(mode="json"))
        c = open_context(carrier(scenario), run, reporter)
        mixture = write_mixture(c, scenario, data)
        # The baselines come before training: the base model is in memory, and a wrong test file shows early.
        base = {name: _baselines(c, d, d.test, mixture) for name, d in data.items() if d.test}
        trained = train_models(c, scenario, mixture)
        found = {name: _task_facts(c, d, mixture, base.get(name), trained[name]) for name, d in data.items()}
        outcome = compare_tasks(
            [_answers(at_task(c, d.task).run.folder) for d in data.values() if d.test],
            resamples=scenario.settings.evaluation.resamples,
            seed=scenario.settings.seed,
        )
        gathered = _gather(c, scenario, mixture, trained, found, outcome)
        storage.write_json(folder / "result.json", gathered.to_dict())
        write_scenario(gathered, folder / "report.html")
        _mark(gathered, c, data, trained, found)
        c.bench.close()
    return gathered


def carrier(scenario: Scenario) -> Task:
    """Return the task that carries a scenario's training: every row of the mixture says itself what is asked."""
    first = next(iter(scenario.tasks.values()))
    alone = first.training.model_copy(update={"demonstrations": False})
    return first.model_copy(update={"name": scenario.settings.name, "training": alone, "wordings": (), "labels": None})


def train_models(c: Context, scenario: Scenario, mixture: Stage) -> Trained:
    """Train one model for all tasks, or one each, or one that is then tuned on for each.

    Raises:
        MetierError: Training failed; what was done is kept.
    """
    how = scenario.settings.adapters
    names = list(scenario.tasks)
    together = None
    if how != "each":
        together = stages.train(c, mixture_pairs(mixture), mixture.outcome["digest"])
        if how == "one":
            return dict.fromkeys(names, together)
    return {name: _train_alone(c, mixture, name, together) for name in names}


def _train_alone(c: Context, mixture: Stage, name: str, start: Stage | None) -> Stage:
    pairs = mixture_pairs(mixture, name)
    source = storage.digest([[p.instruction, p.input, p.output] for p in pairs])
    return stages.train(c, pairs, source, name=f"training-{name}", start=start)


def _baselines(c: Context, d: TaskData, test: ExampleFile, mixture: Stage) -> Stage:
    own = at_task(c, d.task)
    c.reporter.say(f"task {d.task.name}")
    rows = [Example(p.input, p.output) for p in mixture_pairs(mixture, d.task.name)]
    known = {(p.input, p.output) for p in d.train}
    data = TrainingData(
        examples=tuple(Example(e.input, e.output) for e in d.task.examples),
        labelled=tuple(p for p in rows if (p.input, p.output) in known),
        synthetic=tuple(p for p in rows if (p.input, p.output) not in known),
        source=storage.digest([[p.input, p.output] for p in rows]),
    )
    return baselines(own, test_rows(d.task, test), test, data)


def _task_facts(c: Context, d: TaskData, mixture: Stage, base: Stage | None, trained: Stage) -> RunFacts:
    """Evaluate one task and write its report into its folder."""
    own = at_task(c, d.task)
    evaluation = None
    rows = test_rows(d.task, d.test) if d.test else []
    if base is not None and d.test is not None:
        c.reporter.say(f"task {d.task.name}")
        evaluation = stages.evaluate(
            own, rows, d.test, base=base, trained=trained, on_examples=None, controls={}, more_seeds={}, leaks=()
        )
    engine = c.bench.specialist(tuned_folder(trained))
    warnings = [] if d.test else ["there is no test file: whether the specialist is better cannot be known"]
    if base is not None and (too_long := base.outcome["too_long"]):
        warnings.append(f"test: {too_long} rows do not fit the model's context: not asked, counted wrong")
    found = facts.gather(
        own,
        synthesis=None,
        selection=None,
        training=trained,
        on_examples=None,
        baselines=base,
        evaluation=evaluation,
        synthetic=None,
        test_rows=len(rows),
        template=c.bench.prompts.task(d.task.instruction, (), ""),
        pairs=mixture_pairs(mixture, d.task.name),
        answer_tokens=answer_length(d.task, engine),
        warnings=warnings,
    )
    storage.write_json(own.run.folder / "task.json", d.task.model_dump(mode="json"))
    storage.write_json(own.run.folder / "result.json", found.to_dict())
    write_report(found, own.run.folder / "report.html")
    return found


def _answers(folder: Path) -> TaskAnswers:
    """Return what every system answered on a task, from the task's own run folder."""
    done = load_run(folder)
    rows = tuple(Example(i, r[0], r[1:]) for i, r in zip(done.inputs, done.references, strict=True))
    return TaskAnswers(done.task, done.metric, done.labels, rows, done.answers)


def _gather(
    c: Context,
    scenario: Scenario,
    mixture: Stage,
    trained: Trained,
    found: Mapping[str, RunFacts],
    outcome: ScenarioOutcome,
) -> ScenarioFacts:
    made = storage.read_json(mixture.path / "make-up.json")
    training = {stage.key: float(stage.cost.get("seconds", 0.0)) for stage in trained.values()}
    return ScenarioFacts(
        name=scenario.settings.name,
        digest=scenario.digest,
        run_folder=str(c.run.folder),
        model=c.files.name,
        adapters=scenario.settings.adapters,
        tuning=scenario.settings.training.method,
        seed=scenario.settings.seed,
        machine=facts.machine(),
        outcome=outcome,
        make_up=made["tasks"],
        packing=made["packing"],
        training_seconds=sum(training.values()),
        need={name: f.need for name, f in found.items()},
        need_words={name: f.need_words for name, f in found.items()},
    )


def _mark(
    gathered: ScenarioFacts, c: Context, data: Mapping[str, TaskData], trained: Trained, found: Mapping[str, RunFacts]
) -> None:
    """Put beside the weights how each task is asked, and whether the specialist is to be used for it."""
    folders: dict[Path, list[str]] = {}
    for name, stage in trained.items():
        folders.setdefault(tuned_folder(stage), []).append(name)
    verdicts = {task.name: task.holds for task in gathered.outcome.tasks}
    for folder, names in folders.items():
        told = [found[name] for name in names]
        if len(told) == 1:
            write_card(told[0], folder, c.files.card_name)
        else:
            write_scenario_card(gathered, told, folder, c.files.card_name)
        storage.write_json(
            folder / "metier.json",
            {
                "scenario": gathered.name,
                "tasks": {
                    name: {
                        "instruction": data[name].task.instruction,
                        "recommended": "specialist" if verdicts.get(name) else "base",
                        "prompt": dataclasses.asdict(prompt) if (prompt := found[name].prompt) else None,
                    }
                    for name in names
                },
            },
        )
