"""What answers to rows of today come to, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from metier.core.records import Interval
from metier.evaluation.drift import DROP
from metier.labelling.draw import RANDOM, Question, answered_sentence
from metier.labelling.label import Labelled, Score
from metier.labelling.pool import pool_sentences
from metier.report.words import count, interval_text, metric_title, number

_RIGHT_OR_WRONG = ("exact_match", "label_match")
_FLATTERS = 1.0  # points by which a test's score must exceed that of such a choice on other rows to be worth a word


def label_sentences(found: Labelled) -> list[str]:
    """Return what came of rows of today: where their answers are, and what they say of the product."""
    said = [*pool_sentences(found.pool), answered_sentence(found.asked, found.answered)]
    if found.form is not None and len(found.answered) < len(found.asked):
        said.append(f"Fill in the column output in {found.form}; the same command then reads it.")
    if found.answered:
        said.append(f"All answers are in {found.answers}: name it with train: in the task file to learn from them.")
    if found.score is None:
        return [*said, "Once random rows are answered, they say how good the product is on rows of today."]
    return [*said, *score_sentences(found.score, found.asked)]


def score_sentences(score: Score, asked: Sequence[Question]) -> list[str]:
    """Return what the random rows say of the product, beside its test."""
    drift, metric = score.drift, metric_title(score.metric)
    if drift.today is None:
        return [f"{count(drift.rows, 'random row')} are too few for a score by {metric}."]
    what = "is right on" if score.metric in _RIGHT_OR_WRONG else f"has a score ({metric}) of"
    said = [f"Today the product {what} {_score(drift.today, score)} ({count(drift.rows, 'random row')})."]
    if without := sum(question.part == RANDOM for question in asked) - drift.rows:
        said.append(
            f"{count(without, 'random row')} have no answer: if they are harder, the product is worse than that."
        )
    if score.several_right:
        return [*said, "Its test rows have several right answers, so that score is no measure for rows that have one."]
    if drift.test is None:
        return [*said, "There is no test of it here to compare with."]
    said.append(f"In its test it was {_score(drift.test, score)} ({count(drift.test_rows, 'row')}).")
    if score.unseen is not None and drift.test.value - score.unseen.value >= _FLATTERS:
        said.append(
            f"It was chosen by that test; such a choice has {number(score.unseen.value)} on rows without a part in it."
        )
    return [*said, _verdict(score), *([_how_many(score)] if drift.verdict == "not shown" else [])]


def _verdict(score: Score) -> str:
    drift = score.drift
    if drift.difference is None:
        return "Whether it has changed cannot be told yet: there are too few rows."
    difference = f"{interval_text(drift.difference)} points"
    if drift.verdict == "worse":
        return f"Drift: it has become worse; the difference is {difference}."
    if drift.verdict == "better":
        return f"It has become better; the difference is {difference}."
    return f"Whether it has changed cannot be told: the difference is {difference}, an interval that includes zero."


def _how_many(score: Score) -> str:
    drift = score.drift
    drop = f"a drop of {DROP:g} points four times in five"
    if drift.rows_needed is None:
        return f"The test itself has too few rows to show {drop}, however many are answered."
    if drift.rows >= drift.rows_needed:
        return f"So many rows would have shown {drop}."
    return f"{count(drift.rows_needed, 'random row')} would show {drop} (--rows {2 * drift.rows_needed})."


def _score(interval: Interval, score: Score) -> str:
    unit = "%" if score.metric in _RIGHT_OR_WRONG else ""
    return f"{number(interval.value)}{unit} [{number(interval.low)}, {number(interval.high)}]"
