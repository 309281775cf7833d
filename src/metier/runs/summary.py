"""Says what a finished run came to: gathers its steps into facts, and writes pages, cards and result files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import metier
from metier.core import storage
from metier.core.codec import encode
from metier.core.records import Example
from metier.core.step import Done
from metier.data.mixture import Mixed
from metier.data.packing import packing
from metier.engines.prompts import fitting_demonstrations
from metier.evaluation.measure import metrics_of, score_texts
from metier.evaluation.need import PromptTokens, weigh
from metier.evaluation.over_tasks import TaskAnswers, compare_tasks
from metier.report.card import write_card
from metier.report.facts import Judged as JudgedFacts
from metier.report.facts import ModelFacts, PromptTemplate, RunFacts, StageCost
from metier.report.html import write_report
from metier.report.judged import RowsTested, judged_by
from metier.report.made import RenderedExample, Training
from metier.report.scenario import write_scenario
from metier.report.scenario_card import write_scenario_card
from metier.report.scenario_facts import ScenarioFacts
from metier.report.sentences import scenario_notes
from metier.runs.data_facts import data_facts
from metier.runs.machine import machine
from metier.runs.mark import Mark, MarkedTask, write_mark
from metier.steps.answer import Answered, answer, answers_of, material_of
from metier.steps.context import Context
from metier.steps.judge import Judged
from metier.steps.measures import measure_of
from metier.steps.pairs import TaskPairs
from metier.steps.select import Selection
from metier.steps.ship import Shipped
from metier.steps.synthesize import Synthesis
from metier.steps.train import Trained, weights_of
from metier.systems.asker import answer_length
from metier.systems.base import Tuned
from metier.systems.registry import SPECIALIST, SYSTEMS
from metier.tasks.scenario import Scenario


@dataclasses.dataclass(frozen=True, slots=True)
class FinishedTask:
    """The steps that one task's run is made of.

    Attributes:
        pairs: What its pairs are made of.
        trained: The model that answers it.
        others: The models it is compared with, by what they were tuned on.
        answered: What every System answered, in the order of tables; empty without test rows.
        judged: The comparison; None without test rows.
        shipped: The product.
        first: The model of all tasks that it was tuned on from, if it was.
    """

    pairs: TaskPairs
    trained: Done[Trained]
    others: Mapping[Tuned, Done[Trained]]
    answered: tuple[Done[Answered], ...]
    judged: Done[Judged] | None
    shipped: Shipped | None = None
    first: Done[Trained] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """The steps of a whole run: the training set, and every task's by name."""

    mixture: Done[Mixed]
    tasks: Mapping[str, FinishedTask]


def summarize(c: Context, scenario: Scenario, finished: Finished) -> tuple[dict[str, RunFacts], ScenarioFacts | None]:
    """Return the facts of every task and of all together, and write them down (``result.json``, ``report.html``).

    Args:
        c: The run's context.
        scenario: What the run was of.
        finished: Its steps.
    """
    found = {name: _facts(c, finished.mixture.value, task) for name, task in finished.tasks.items()}
    together = None if scenario.alone else _together(c, scenario, finished, found)
    if together is not None:
        corrected = {task.name: task.p_value for task in together.outcome.tasks}
        found = {name: _corrected(facts, corrected) for name, facts in found.items()}
        storage.write_json(c.run.folder / "result.json", encode(together))
        write_scenario(together, c.run.folder / "report.html")
    for name, facts in found.items():
        folder = c.of(name).folder
        storage.write_json(folder / "result.json", encode(facts))
        write_report(facts, folder / "report.html")
    _write_cards(c, scenario, finished, found, together)
    return found, together


def _facts(c: Context, mixed: Mixed, finished: FinishedTask) -> RunFacts:
    task, trained = finished.pairs.rows.task, finished.trained.value
    held_out_rows, held_out_scores = _on_held_out(c, mixed, finished)
    return RunFacts(
        name=task.name,
        run_folder=str(c.of(task.name).folder),
        instruction=task.instruction,
        labels=task.labels,
        metrics=metrics_of(measure_of(task)),
        model=ModelFacts(c.files.name, c.files.source, c.files.licence),
        recipe=task.recipe,
        seed=task.seed,
        metier_version=metier.__version__,
        machine=machine(),
        data=data_facts(mixed.of(task.name), finished.pairs),
        training=Training(
            method=task.training.method,
            loss=trained.losses,
            chosen_epoch=trained.epoch,
            rendered_example=RenderedExample(trained.prompt, trained.answer),
            held_out_rows=held_out_rows,
            held_out_scores=held_out_scores,
        ),
        judged=_judged(c, finished),
        stages=_stages(finished),
        prompt=_prompt(c, finished),
        product=finished.shipped.product if finished.shipped else None,
        settings=task.model_dump(mode="json"),
        warnings=_warnings(mixed, finished),
    )


def _on_held_out(c: Context, mixed: Mixed, finished: FinishedTask) -> tuple[int, Mapping[str, float]]:
    """Return how many pairs that the model wrote were held out from training, and the specialist's scores on them.

    This is no result: the model wrote these answers itself. Beside a real score it shows how far the two are apart.
    """
    rows = finished.pairs.rows
    if finished.pairs.synthesis is None:
        return 0, {}
    held_out = {(pair.input, pair.output) for pair in finished.trained.value.left_out}
    own = [row for row in mixed.of(rows.task.name) if row.origin == "synthetic" and (row.input, row.output) in held_out]
    if not own:
        return 0, {}
    pairs = tuple(Example(row.input, row.output) for row in own)
    untimed = rows.task.but(evaluation=rows.task.evaluation.but(timed_rows=0))
    asked = dataclasses.replace(rows, task=untimed, tested=pairs)
    material = material_of(c, asked, mixed.of(rows.task.name), {"task": weights_of(finished.trained)})
    texts = answer(c, asked, material, SYSTEMS[SPECIALIST]).value.answers.texts
    scored = score_texts(measure_of(rows.task), pairs, texts)
    return len(pairs), {name: score.corpus for name, score in scored.items()}


def _judged(c: Context, finished: FinishedTask) -> JudgedFacts | None:
    if finished.judged is None:
        return None
    task = finished.pairs.rows.task
    measure, judged = measure_of(task), finished.judged.value
    comparison = dataclasses.replace(judged.comparison, predictions=judged.predictions)
    rows = finished.pairs.rows
    systems = [answers_of(done, _before_learning(done, finished)) for done in finished.answered]
    seconds = {s.system: s.seconds for s in systems}
    timed = tuple(dataclasses.replace(s, seconds=seconds.get(s.system)) for s in comparison.systems)
    prices = task.prices
    asked = prices.api_input_million is not None and prices.api_output_million is not None
    few_shot = _tokens(c, finished) if asked else None
    chosen = finished.shipped.choice if finished.shipped is not None and task.ship.system is None else None
    ships = chosen.system if chosen is not None else None
    need = weigh(timed, systems, measure.metric, prices=prices, few_shot=few_shot, ships=ships)
    return judged_by(
        dataclasses.replace(comparison, systems=timed),
        measure,
        systems,
        need,
        RowsTested(
            Path(task.test).name if task.test else "rows held out from training",
            len(rows.test) if len(rows.tested) < len(rows.test) else None,
            finished.judged.path.name,
        ),
    )


def _before_learning(done: Done[Answered], finished: FinishedTask) -> float:
    """Return the seconds that went into a System before it learnt: writing the pairs it learns from, and tuning."""
    entry = SYSTEMS[done.name.removeprefix("answers-")]
    writing = _seconds(finished.pairs.synthesis) + _seconds(finished.pairs.selection)
    if entry.tuned == "task":
        return writing + finished.trained.cost.seconds + _seconds(finished.first)
    if entry.tuned is not None:
        return finished.others[entry.tuned].cost.seconds
    return writing if "synthetic" in entry.uses else 0.0


def _seconds(done: Done[Synthesis] | Done[Selection] | Done[Trained] | None) -> float:
    return done.cost.seconds if done else 0.0


def _tokens(c: Context, finished: FinishedTask) -> PromptTokens | None:
    """Return the mean tokens of a few-shot prompt and its answer: what an API would be paid for."""
    few_shot = next((done for done in finished.answered if done.name == "answers-few_shot"), None)
    if few_shot is None:
        return None
    rows = finished.pairs.rows
    shown = _fitting(c, rows.examples)
    asked = [c.slot.prompts.task(rows.task.instruction, shown, row.input).text for row in rows.tested]
    prompts, answers = c.slot.count_tokens(asked), c.slot.count_tokens(few_shot.value.answers.texts)
    return PromptTokens(sum(prompts) / len(prompts), sum(answers) / len(answers) + 1)  # and the end token


def _stages(finished: FinishedTask) -> tuple[StageCost, ...]:
    found = []
    named = (
        ("synthesis", [finished.pairs.synthesis]),
        ("selection", [finished.pairs.selection]),
        ("training", [finished.first, finished.trained, *finished.others.values()]),
        ("answers", finished.answered),
        ("evaluation", [finished.judged]),
    )
    for name, steps in named:
        costs = [step.cost for step in steps if step is not None]
        if costs:
            found.append(
                StageCost(
                    name,
                    sum(cost.seconds for cost in costs),
                    sum(cost.tokens for cost in costs) or None,
                    max(cost.peak_memory_bytes for cost in costs),
                )
            )
    return tuple(found)


def _prompt(c: Context, finished: FinishedTask) -> PromptTemplate:
    """Return how the specialist is asked."""
    rows = finished.pairs.rows
    shown = _fitting(c, rows.examples) if rows.task.prompt.specialist_demonstrations else ()
    template = c.slot.prompts.task(rows.task.instruction, shown, "")
    longest = answer_length(rows.task.labels, rows.examples, rows.task.evaluation.max_tokens, c.slot.count_tokens)
    before, after = template.text[: template.shared], template.text[template.shared :]
    answers = tuple(map(c.slot.prompts.answer, rows.task.labels or ()))
    return PromptTemplate(before, after, c.slot.prompts.stop, longest, answers)


def _fitting(c: Context, examples: Sequence[Example]) -> tuple[Example, ...]:
    return fitting_demonstrations(examples, c.slot.count_tokens, c.slot.context_length // 2)


def _warnings(mixed: Mixed, finished: FinishedTask) -> tuple[str, ...]:
    rows = finished.pairs.rows
    found = list(rows.warnings)
    made = mixed.make_up[rows.task.name]
    if left_out := made.dropped.get("in a test", 0) + made.dropped.get("nearly in a test", 0):
        found.append(f"train: {left_out} pairs are, or nearly are, test rows and were left out")
    if unasked := max((done.value.answers.unasked for done in finished.answered), default=0):
        found.append(f"test: {unasked} rows do not fit the model's context: not asked, counted wrong")
    return tuple(found)


def _together(c: Context, scenario: Scenario, finished: Finished, found: Mapping[str, RunFacts]) -> ScenarioFacts:
    settings = scenario.settings
    judged = {name: task for name, task in finished.tasks.items() if task.judged is not None}
    outcome = compare_tasks(
        [
            TaskAnswers(
                name, measure_of(t.pairs.rows.task), t.pairs.rows.tested, tuple(answers_of(d) for d in t.answered)
            )
            for name, t in judged.items()
        ],
        resamples=settings.evaluation.resamples,
        seed=settings.seed,
    )
    every = [done for task in finished.tasks.values() for done in (task.first, task.trained) if done is not None]
    models = {done.key: done for done in every}
    rows = finished.mixture.value.rows
    return ScenarioFacts(
        name=settings.name,
        digest=scenario.digest,
        run_folder=str(c.run.folder),
        model=c.files.name,
        adapters=settings.adapters,
        tuning=settings.training.method,
        seed=settings.seed,
        machine=machine(),
        outcome=outcome,
        mixture=finished.mixture.value.make_up,
        packing=packing(rows, length=settings.training.max_length, batch_size=settings.training.batch_size),
        training_seconds=sum(done.cost.seconds for done in models.values()),
        writing_seconds=sum(_seconds(task.pairs.synthesis) for task in finished.tasks.values()),
        notes=scenario_notes(list(found.values())),
        need={name: facts.judged.need for name, facts in found.items() if facts.judged},
    )


def _ships(facts: RunFacts) -> str | None:
    return facts.product.system if facts.product else None


def _corrected(facts: RunFacts, p_values: Mapping[str, float | None]) -> RunFacts:
    """Return a task's facts with its verdict among the others'."""
    if facts.judged is None or facts.name not in p_values:
        return facts
    return dataclasses.replace(facts, judged=facts.judged.corrected(p_values[facts.name], len(p_values)))


def _write_cards(
    c: Context,
    scenario: Scenario,
    finished: Finished,
    found: Mapping[str, RunFacts],
    together: ScenarioFacts | None,
) -> None:
    """Put a card beside the weights, and how each task is asked and whether the specialist is to be used for it."""
    by_folder: dict[Path, list[str]] = {}
    for name, task in finished.tasks.items():
        by_folder.setdefault(weights_of(task.trained).path, []).append(name)
    for folder, names in by_folder.items():
        if together is None or len(names) == 1:
            write_card(found[names[0]], folder, c.files.card_name)
        else:
            write_scenario_card(together, [found[name] for name in names], folder, c.files.card_name)
        write_mark(
            folder,
            Mark(
                scenario.settings.name,
                {
                    name: MarkedTask(
                        finished.tasks[name].pairs.rows.task.instruction,
                        _ships(found[name]),
                        found[name].verdict,
                        found[name].prompt,
                    )
                    for name in names
                },
            ),
        )
