"""Asks for answers to rows of today, those that teach most, and says whether the product is as good as on its test.

Half of the rows are drawn at random. The other half are those that the product is least sure of (uncertainty sampling:
Lewis & Gale 1994), or where it gives no probabilities, those that are unlike all that its run has seen. The random half
alone says how good the product is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.core.records import Example, Interval
from metier.evaluation.drift import Drift, compare_samples
from metier.evaluation.measure import Measure, score_main
from metier.labelling.ask import Terminal, ask
from metier.labelling.draw import RANDOM, UNCERTAIN, VARIED, Question, draw, least_sure, questions
from metier.labelling.known import KnownRun, known_run
from metier.labelling.pool import Pool, read_pool
from metier.labelling.sheet import Sheet, held
from metier.labelling.spread import far_from
from metier.labelling.sure import probabilities
from metier.runs.use import open_at, product_folder
from metier.systems.product import OpenProduct

ANSWERS, FORM, SURE = "labelled.jsonl", "to_label.jsonl", "label-probabilities.json"
"""In the run's folder: all answers, the rows to be filled in, and what the product was asked."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be labelled.

    Attributes:
        run: The folder of a finished run, or of a product.
        rows: The file of today's rows.
        several: How many to ask about.
        task: Of a run of several tasks, which.
        out: Where rows are written to be filled in; None: ``to_label.jsonl`` in the run's folder.
    """

    run: Path
    rows: Path
    several: int
    task: str | None = None
    out: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """What the answers say of the product.

    Attributes:
        metric: What it is scored by.
        drift: Its score on the random rows, beside its test's.
        several_right: Whether test rows have several right answers, and so cannot be compared with rows that have one.
        unseen: By the test's metric, the score of such choices as made this product on rows without a part in them.
    """

    metric: str
    drift: Drift
    several_right: bool = False
    unseen: Interval | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Labelled:
    """What came of it.

    Attributes:
        answers: The file of all answers.
        form: The file to be filled in; None where a person was asked.
        asked: The rows that are asked about.
        answered: Those of them that have an answer.
        pool: What they were drawn from.
        score: What they say of the product; None while no random row has an answer.
    """

    answers: Path
    form: Path | None
    asked: tuple[Question, ...]
    answered: tuple[Question, ...]
    pool: Pool
    score: Score | None


def label(wanted: Wanted, terminal: Terminal | None, reporter: Reporter) -> Labelled:
    """Ask about rows, or write them to be filled in and read back what was.

    Args:
        wanted: Which.
        terminal: Where to ask; None: rows are written.
        reporter: Where progress goes.

    Raises:
        UserError: A file cannot be read, or holds what is no row or no answer.
        MetierError: The product or an encoder cannot be opened.
    """
    folder = product_folder(wanted.run, wanted.task)
    opened = open_at(folder)
    run, labels = known_run(folder, opened.product), opened.product.labels
    with held(run.folder / ANSWERS):
        answers = Sheet(run.folder / ANSWERS, labels)
        form = Sheet(wanted.out or run.folder / FORM, labels) if terminal is None else None
        pool = read_pool(wanted.rows, run.inputs)
        asked = _questions(opened, run, pool.inputs, wanted.several, reporter)
        if terminal is not None:
            ask(answers, asked, labels, terminal, lambda: f"{len(_answered(asked, answers))} answered")
        if form is not None:
            _exchange(form, answers, asked)
        answered = _answered(asked, answers)
        score = _score(opened, run, [q for q in answered if q.part == RANDOM], answers)
    return Labelled(answers.path, form.path if form is not None else None, tuple(asked), tuple(answered), pool, score)


def _questions(
    opened: OpenProduct, run: KnownRun, inputs: Sequence[str], several: int, reporter: Reporter
) -> list[Question]:
    drawn = draw(len(inputs), several, run.seed)
    if not drawn.others:
        return questions(inputs, drawn, (), UNCERTAIN)
    if opened.answer([inputs[drawn.candidates[0]]])[0].probabilities is not None:
        sure = probabilities(opened, inputs, drawn.candidates, run.folder / SURE, reporter)
        return questions(inputs, drawn, least_sure(drawn, sure), UNCERTAIN)
    return questions(inputs, drawn, far_from(run.encoder, inputs, drawn, run.inputs, reporter), VARIED)


def _exchange(form: Sheet, answers: Sheet, asked: Sequence[Question]) -> None:
    """Take the answers that were filled in, and write the rows that are asked about with the answers there are."""
    if form.path.resolve() == answers.path.resolve():
        raise UserError(f"{form.path}: the answers are kept in this file", hint="give another one with -o")
    for question, answer in form.answered:
        if answers.answer(question.input) != answer:
            answers.put(question, answer)
    form.add(asked, [answers.answer(question.input) for question in asked])


def _answered(asked: Sequence[Question], answers: Sheet) -> list[Question]:
    return [question for question in asked if answers.answer(question.input) is not None]


def _score(opened: OpenProduct, run: KnownRun, rows: Sequence[Question], answers: Sheet) -> Score | None:
    """Return the product's score on rows that were drawn at random, beside the one of its test; None without rows."""
    if not rows:
        return None
    metric = _metric(opened)
    measure = Measure(metric, opened.product.labels)
    right = [Example(row.input, answers.answer(row.input) or "") for row in rows]
    given = [answer.text for answer in opened.answer([row.input for row in rows])]
    # Beside several right answers a text scores higher than beside one.
    several_right = run.tested is not None and any(row.others for row in run.tested.rows)
    test = None
    if run.tested is not None and not several_right:
        test = score_main(measure, run.tested.rows, run.tested.answers)
    drift = compare_samples(score_main(measure, right, given), test, seed=run.seed)
    measured = opened.product.measured
    return Score(
        metric, drift, several_right, measured.unseen_score if measured and measured.metric == metric else None
    )


def _metric(opened: OpenProduct) -> str:
    """Return the metric of the test, or with labels one by which a row is right or wrong."""
    product = opened.product
    metric = product.measured.metric if product.measured is not None else "rouge_l"
    return "exact_match" if product.labels is not None and metric != "label_match" else metric
