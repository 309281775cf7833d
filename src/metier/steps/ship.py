"""The shipping step: of all Systems that were judged, the cheapest that is good enough becomes the task's product."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import metier
from metier.core import storage
from metier.core.codec import encode
from metier.core.errors import UserError
from metier.core.records import Example, Interval, Verdict
from metier.core.step import Done
from metier.evaluation.choice import Choice, Choosable, choose, loss_to
from metier.evaluation.confidence import find_threshold, fit_confidence
from metier.evaluation.measure import score_main
from metier.evaluation.records import Confidence, Threshold
from metier.evaluation.scored import Scored
from metier.evaluation.statistics import interval_of_score
from metier.steps.answer import Answered, with_encoder
from metier.steps.context import Context
from metier.steps.gather import TaskRows
from metier.steps.measures import measure_of
from metier.systems.base import Material
from metier.systems.product import read_product, save_product
from metier.systems.product_record import FORMAT, Measured, ModelUsed, Product
from metier.systems.registry import SPECIALIST, SYSTEMS, UNSEEN, Entry
from metier.tasks.task import Task

_RESAMPLES = 2000  # of the test rows, for a score's interval
_ROWS_LEAST = 10  # of a test that a temperature is fitted on


@dataclasses.dataclass(frozen=True, slots=True)
class Shipped:
    """A task's product.

    Attributes:
        product: What is said of it.
        folder: Where it is.
        choice: How it was chosen; None where there was nothing to choose by.
    """

    product: Product
    folder: Path
    choice: Choice | None


def ship(
    c: Context, rows: TaskRows, material: Material, answered: Sequence[Done[Answered]], verdict: Verdict | None
) -> Shipped:
    """Choose the System that ships and save it (``product/`` in the task's folder).

    Args:
        c: The run's context.
        rows: The task and its test rows.
        material: What Systems learn the task from, tuned models included.
        answered: What every System answered; empty without test rows, and then the tuned model ships.
        verdict: On the tuned model.

    Raises:
        UserError: ``ship: SYSTEM`` names one that did not answer, or an accuracy is asked for that nothing can promise.
    """
    task = rows.task
    by_key = {done.name.removeprefix("answers-"): done for done in answered}
    measure = measure_of(task)
    scores = {key: score_main(measure, rows.tested, done.value.answers.texts) for key, done in by_key.items()}
    choice = _choice(task, scores, by_key) if by_key else None
    entry = _entry(task, by_key, choice)
    done = by_key.get(entry.key)
    folder = c.of(task.name).folder / "product"
    confidence, threshold = _confidence(task, rows.tested, done)
    product = Product(
        format=FORMAT,
        metier=metier.__version__,
        task=task.name,
        instruction=task.instruction,
        labels=task.labels,
        system=entry.key,
        title=entry.title,
        kind=entry.kind,
        form="",
        model=_model(c) if "asked" in entry.uses else None,
        measured=_measured(task, choice, done, scores, verdict),
        confidence=confidence,
        threshold=threshold,
        why=_why(task, choice, entry, by_key),
        nbytes=done.value.nbytes if done is not None else 0,
    )
    _save(c, task, material, product, folder)
    return Shipped(read_product(folder), folder, choice)


def _choice(task: Task, scores: dict[str, Scored], answered: dict[str, Done[Answered]]) -> Choice | None:
    systems = [
        Choosable(
            key,
            scores[key],
            float(np.median(done.cost.latencies)) if done.cost.latencies else None,
            done.value.nbytes,
        )
        for key, done in answered.items()
        if SYSTEMS[key].ships
    ]
    return choose(systems, tolerance=task.ship.tolerance, seed=task.seed) if systems else None


def _entry(task: Task, answered: dict[str, Done[Answered]], choice: Choice | None) -> Entry:
    named = task.ship.system
    if named is not None:
        if named not in SYSTEMS or (answered and named not in answered):
            there = [key for key in answered if SYSTEMS[key].ships] or [SPECIALIST]
            raise UserError(f"ship: {named!r} is not a System that answered", hint=f"one of {', '.join(there)}")
        if named == UNSEEN:
            raise UserError(
                f"ship: {named!r} is a way to test the tuned model, not to use it", hint=f"name {SPECIALIST}"
            )
        return SYSTEMS[named]
    return SYSTEMS[choice.system if choice is not None else SPECIALIST]


def _confidence(
    task: Task, tested: Sequence[Example], done: Done[Answered] | None
) -> tuple[Confidence | None, Threshold | None]:
    """Return how the System's probabilities are read, fitted on the test rows, which people wrote."""
    shares = done.value.answers.probabilities if done is not None else None
    if shares is None or task.labels is None:
        if task.abstain is not None:
            raise UserError(
                "abstain: the System that ships has no probabilities, or there are no test rows to fit them on",
                hint="name one that has with ship: SYSTEM, or leave abstain out",
            )
        return None, None
    rows = [(row, task.labels.index(e.output)) for row, e in zip(shares, tested, strict=True) if any(row)]
    probabilities, right = [row for row, _ in rows], [place for _, place in rows]
    if len(rows) < _ROWS_LEAST and task.abstain is None:
        return None, None
    threshold = None
    if task.abstain is not None:
        threshold = find_threshold(probabilities, right, task.abstain.accuracy)
    return fit_confidence(probabilities, right, task.seed), threshold


def _model(c: Context) -> ModelUsed:
    inputs = c.model
    return ModelUsed(c.how.model, inputs.model.key, inputs.style, inputs.engine)


def _measured(
    task: Task,
    choice: Choice | None,
    done: Done[Answered] | None,
    scores: dict[str, Scored],
    verdict: Verdict | None,
) -> Measured | None:
    if done is None or choice is None:
        return None
    latencies = done.cost.latencies
    key = done.name.removeprefix("answers-")
    intervals = {name: _interval(score, task.seed) for name, score in scores.items()}
    return Measured(
        metric=measure_of(task).metric,
        rows=choice.rows,
        score=intervals[key],
        best=choice.best,
        loss=loss_to(scores[key], scores[choice.best], task.seed) if choice.rows > 1 else None,
        unseen_score=choice.unseen_score if task.ship.system is None else None,
        stability=choice.stability,
        verdict=verdict,
        scores=intervals,
        milliseconds=1000 * float(np.median(latencies)) if latencies else None,
    )


def _interval(score: Scored, seed: int) -> Interval:
    """Return a score with its interval; with one row, which has none, the score alone."""
    found = interval_of_score(score, resamples=_RESAMPLES, seed=seed)
    return found or Interval(score.corpus, score.corpus, score.corpus)


def _why(task: Task, choice: Choice | None, entry: Entry, answered: dict[str, Done[Answered]]) -> str:
    """Return why a System ships, in a sentence."""
    if task.ship.system is not None:
        return f"the task file names it (ship: {entry.key})"
    if choice is None and answered:
        return "no other System answered that may ship by itself, so it is the tuned model"
    if choice is None:
        return "there are no test rows to choose by, so it is the tuned model, untested"
    tolerance = f"{task.ship.tolerance:g} points"
    if choice.system == choice.best:
        if choice.rows_needed is not None:
            return (
                f"it is the best of {len(answered)} Systems; {choice.rows} test rows are too few to tell whether a "
                f"cheaper one is as good (about {choice.rows_needed:,} rows like these would do)"
            )
        if len(choice.good_enough) > 1:
            others = len(choice.good_enough) - 1
            return f"it is the best and the cheapest of {others + 1} Systems within {tolerance} of each other"
        return f"it is the best, and no cheaper System is shown to be within {tolerance} of it"
    best = SYSTEMS[choice.best]
    return (
        f"it is the cheapest of {len(choice.good_enough)} Systems that lose at most {tolerance} to the best "
        f"({best.title}); it loses {max(0.0, -choice.loss.value):.1f} [{-choice.loss.high:.1f}, {-choice.loss.low:.1f}]"
    )


def _save(c: Context, task: Task, material: Material, product: Product, folder: Path) -> None:
    """Save the product, unless the same is there already."""
    entry, mark = SYSTEMS[product.system], folder / "made-from.json"
    material = with_encoder(material, entry, task)
    made_from = storage.digest([encode(product), encode(entry.seen(material))])
    if mark.exists() and storage.read_json(mark) == made_from:
        return
    c.reporter.say(f"product: {entry.title}")
    learned = entry.learn(material, c.tools(c.of(task.name)))
    weights = material.weights.get(entry.tuned) if entry.tuned is not None else None
    save_product(dataclasses.replace(product, form=learned.form), learned, weights, folder)
    storage.write_json(mark, made_from)
