"""Helps a person to write a test set: draws rows to answer, half of them at random and half that are unlike each other.

Random rows hold what is common many times and what is rare hardly at all; varied rows show where things go wrong. The
random ones alone say how often they do, so every row says what it was drawn for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from metier.core.progress import Reporter
from metier.evaluation.power import DISAGREEING, detectable, rows_to_show
from metier.labelling.ask import Terminal, ask
from metier.labelling.draw import RANDOM, VARIED, Question, answered_sentence, draw, questions
from metier.labelling.pool import Pool, pool_sentences, read_pool
from metier.labelling.sheet import Sheet, held
from metier.labelling.spread import far_from
from metier.report.words import count, number
from metier.steps.gather import read_labelled
from metier.tasks.scenario import of_one
from metier.tasks.task import Task


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """The test set that is wanted.

    Attributes:
        task: What it is for.
        rows: The file that its rows are drawn from.
        several: How many to draw.
        difference: What it is to show between two Systems, in points.
        out: The test file; rows that are in it stay.
    """

    task: Task
    rows: Path
    several: int
    difference: float
    out: Path


@dataclasses.dataclass(frozen=True, slots=True)
class Drafted:
    """What came of it.

    Attributes:
        asked: The rows that were drawn.
        answered: All rows of the file that have an answer.
        pool: What the rows were drawn from.
    """

    asked: tuple[Question, ...]
    answered: tuple[Question, ...]
    pool: Pool


def draft(wanted: Wanted, terminal: Terminal | None, reporter: Reporter) -> Drafted:
    """Draw rows for a test set, and ask for their answers or write them to be filled in.

    Args:
        wanted: For which task, from where, how many.
        terminal: Where to ask; None: rows are written.
        reporter: Where progress goes.

    Raises:
        UserError: A file cannot be read, or holds what is no row or no answer.
        MetierError: The sentence encoder cannot be had.
    """
    task = wanted.task
    with held(wanted.out):
        sheet = Sheet(wanted.out, task.labels)
        known = _known(task, sheet)
        pool = read_pool(wanted.rows, known)
        asked = _questions(task, pool.inputs, known, wanted.several, reporter)

        def so_far() -> str:
            return power_words(len(sheet.answered), wanted.difference)

        if terminal is not None:
            ask(sheet, asked, task.labels, terminal, so_far)
        else:
            sheet.add(asked, [None] * len(asked))
        return Drafted(tuple(asked), tuple(question for question, _ in sheet.answered), pool)


def power_words(rows: int, wanted: float) -> str:
    """Return what difference of two Systems so many test rows would show, and how many the wanted one takes.

    Args:
        rows: Test rows with an answer.
        wanted: The difference that is to be shown, in points.
    """
    needed = rows_to_show(wanted)
    shown = f"{count(rows, 'row')}: {number(detectable(rows))} points would show" if rows else "no rows yet"
    return f"{shown}; {wanted:g} points take {count(needed, 'row')}" if rows < needed else shown


def draft_sentences(wanted: Wanted, found: Drafted) -> list[str]:
    """Return what came of it."""
    there = {question.input for question in found.answered}
    drawn = [question for question in found.asked if question.input in there]
    missing, more = len(found.asked) - len(drawn), len(found.answered) - len(drawn)
    said = [*pool_sentences(found.pool), answered_sentence(found.asked, drawn)]
    if more:
        said.append(f"{wanted.out} has {count(more, 'further row')} with an answer.")
    if missing:
        said.append(f"Fill in the column output in {wanted.out}, or answer in a terminal by the same command.")
    if found.answered:
        said.append(f"{power_words(len(found.answered), wanted.difference)}.")
    if missing:
        said.append(f"Once all are answered, {power_words(len(found.answered) + missing, wanted.difference)}.")
    return [
        *said,
        f"(Four times in five, if just one of two Systems is right on {100 * DISAGREEING:.0f}% of the rows"
        f"{'; scores between right and wrong usually need fewer' if wanted.task.labels is None else ''}.)",
        f"The {RANDOM} rows alone say how often an answer is right in use (test_where: {{part: {RANDOM}}}).",
    ]


def _known(task: Task, sheet: Sheet) -> list[str]:
    """Return the inputs that are not asked about: examples, training rows, and test rows that were not drawn here.

    Rows that were drawn are not among them: the same command draws them again, and asks for those without an answer.
    """
    train = read_labelled(of_one(task), task)
    return [
        *(example.input for example in task.examples),
        *(row.input for row in (train.examples if train is not None else ())),
        *(question.input for question, _ in sheet.answered if not question.part),
    ]


def _questions(
    task: Task, inputs: Sequence[str], known: Sequence[str], several: int, reporter: Reporter
) -> list[Question]:
    drawn = draw(len(inputs), several, task.seed)
    return questions(inputs, drawn, far_from(task.evaluation.encoder, inputs, drawn, known, reporter), VARIED)
