"""The answering steps: every System learns a task and answers its test rows, each a step of its own."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from metier.core.errors import MetierError, NotEnoughData
from metier.core.records import Answers, Example, MissingSystem, SystemAnswers, SystemKind
from metier.core.step import Artifact, Done, Work, once
from metier.data.mixture import MixedRow
from metier.data.two_parts import find_two_parts
from metier.evaluation.measure import is_correction, is_rewriting
from metier.models.locate import resolve_model
from metier.steps.context import Context
from metier.steps.gather import TaskRows
from metier.steps.measures import measure_of
from metier.systems.base import Asked, Material, Tools, Tuned, in_blocks
from metier.systems.registry import SYSTEMS, Entry
from metier.tasks.task import Task

T = TypeVar("T")

FIRST: tuple[SystemKind, ...] = ("constant", "prompted")
"""Kinds that answer before training: the base model is in memory then, and a wrong test file shows early."""
LAST: tuple[SystemKind, ...] = ("classic", "tuned", "specialist")

_LEARNING, _ANSWERING = "learning", "answering"


@dataclasses.dataclass(frozen=True, slots=True)
class SystemInputs:
    """All that a System's answers depend on."""

    system: str
    material: Material
    rows: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Answered:
    """A System's answers, and the bytes it takes."""

    answers: Answers
    nbytes: int


def material_of(
    c: Context,
    rows: TaskRows,
    mixed: Sequence[MixedRow],
    weights: Mapping[Tuned, Artifact],
    held_out: Sequence[Example] = (),
) -> Material:
    """Return what Systems may learn one task from.

    Args:
        c: The run's context.
        rows: The task and its rows.
        mixed: The task's rows of the mixture.
        weights: The tuned models there are.
        held_out: Labelled rows that the specialist was not trained on (`held_out.held_out_rows`).
    """
    task = rows.task
    evaluation = task.evaluation
    return Material(
        labels=task.labels,
        asked=_asked(c, task),
        examples=rows.examples,
        labelled=_from(mixed, "labelled"),
        synthetic=_from(mixed, "synthetic"),
        test_answers=tuple(row.output for row in rows.tested),
        weights=weights,
        keeps_examples=task.prompt.specialist_demonstrations,
        answer_by=evaluation.answer_by,
        label_prior=evaluation.label_prior,
        unseen_wordings=task.unseen_wordings,
        sampling=task.synthesis.but(min_pairs=1),
        demonstration_tokens=evaluation.demonstration_tokens,
        held_out=tuple(held_out),
        metric=task.main_metric,
    )


def answer_all(
    c: Context, rows: TaskRows, material: Material, kinds: Sequence[SystemKind]
) -> tuple[list[Done[Answered]], list[MissingSystem]]:
    """Let every System of some kinds that fits the task answer its test rows.

    Returns:
        The steps of those that did, named by their Systems, and those that could not be had.
    """
    done: list[Done[Answered]] = []
    missing: list[MissingSystem] = []
    for entry in SYSTEMS.values():
        if entry.kind not in kinds or not is_wanted(entry, rows.task) or not entry.has_what_it_needs(material):
            continue
        try:
            done.append(answer(c, rows, material, entry))
        except MetierError as error:
            if entry.kind in ("specialist", "tuned") and not isinstance(error, NotEnoughData):
                raise
            missing.append(MissingSystem(entry.key, entry.title, entry.kind, error.message))
    return done, missing


def is_wanted(entry: Entry, task: Task) -> bool:
    """Whether a System fits a task, and the task asks for it."""
    measure = measure_of(task)
    fits = {
        "any task": True,
        "labels": task.labels is not None,
        "free text": task.labels is None,
        "rewriting": is_rewriting(measure),
        "correction": is_correction(measure),
        "unseen wordings": bool(task.unseen_wordings),
        "two parts": task.labels is not None and find_two_parts([e.input for e in task.examples]) is not None,
    }
    return fits[entry.fits] and (entry.family is None or entry.family in task.evaluation.baselines)


def answer(c: Context, rows: TaskRows, material: Material, entry: Entry) -> Done[Answered]:
    """Let one System learn and answer the test rows.

    Raises:
        MetierError: It cannot be had, or there is too little to learn from.
    """
    material = with_encoder(material, entry, rows.task)
    texts = tuple(row.input for row in rows.tested)
    inputs = SystemInputs(entry.key, entry.seen(material), texts)
    run = c.of(rows.task.name)
    timed = texts[: rows.task.evaluation.timed_rows]
    make = partial(_answer, entry, c.tools(run), timed)
    return once(run, f"answers-{entry.key}", inputs, make)


def with_encoder(material: Material, entry: Entry, task: Task) -> Material:
    """Return the material with the sentence encoder, for a System that uses one.

    Raises:
        MetierError: It cannot be had here.
    """
    if "encoder" not in entry.uses:
        return material
    name = task.evaluation.encoder
    files = resolve_model(name)
    return dataclasses.replace(material, encoder=Artifact(files.digest, files.path), encoder_name=name)


def answers_of(done: Done[Answered], learning_seconds: float = 0.0) -> SystemAnswers:
    """Return a System's answers with what they took.

    Args:
        done: Its step.
        learning_seconds: What was done for it before the step: writing data, tuning.
    """
    entry = SYSTEMS[done.name.removeprefix("answers-")]
    parts, found = done.cost.parts, done.value
    return SystemAnswers(
        system=entry.key,
        title=entry.title,
        kind=entry.kind,
        texts=found.answers.texts,
        probabilities=found.answers.probabilities,
        learning_seconds=learning_seconds + parts.get(_LEARNING, 0.0),
        seconds=parts.get(_ANSWERING),
        latencies=done.cost.latencies,
        size_bytes=found.nbytes,
    )


def _answer(entry: Entry, tools: Tools, timed: Sequence[str], inputs: SystemInputs, work: Work) -> Answered:
    rows = len(inputs.rows)
    tools.keep.reporter.say(f"{entry.title}: {rows} test row{'' if rows == 1 else 's'}")
    learned, seconds = _spent(tools, lambda: entry.learn(inputs.material, tools))
    work.add_cost(seconds=seconds, part=_LEARNING)
    answers, seconds = _spent(tools, lambda: _joined(list(in_blocks(learned, inputs.rows, tools.keep))))
    work.add_cost(seconds=seconds, part=_ANSWERING)
    work.measure_latency(lambda text: learned.answer([text]), timed)
    return Answered(answers, learned.nbytes)


def _joined(blocks: Sequence[Answers]) -> Answers:
    shares = [row for block in blocks for row in block.probabilities or ()]
    return Answers(
        tuple(text for block in blocks for text in block.texts),
        tuple(shares) if shares else None,
        sum(block.unasked for block in blocks),
    )


def _spent(tools: Tools, make: Callable[[], T]) -> tuple[T, float]:
    """Return what was made and the seconds it took, those of what was asked in an earlier start included."""
    before, start = tools.keep.seconds, time.perf_counter()
    made = make()
    return made, max(time.perf_counter() - start, tools.keep.seconds - before)


def _asked(c: Context, task: Task) -> Asked:
    model = c.model
    return Asked(model.model, model.style, model.engine, task.instruction, task.evaluation.max_tokens, task.seed)


def _from(mixed: Sequence[MixedRow], origin: str) -> tuple[Example, ...]:
    return tuple(Example(row.input, row.output) for row in mixed if row.origin == origin)
