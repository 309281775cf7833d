from __future__ import annotations

import dataclasses

import pytest

from metier.core.records import Example, SystemAnswers
from metier.evaluation.compare import compare
from metier.evaluation.measure import Measure
from metier.evaluation.records import Need
from metier.report.facts import Judged
from metier.report.judged import RowsTested, judged_by

LABELS = ("a", "b")
ROWS = [Example(f"text {i}", LABELS[i % 2]) for i in range(40)]
MEASURE = Measure("exact_match", LABELS, resamples=200)


def answers(right: int, *, last: bool = False) -> tuple[str, ...]:
    """Return answers of which the first (or the last) so many are right."""
    wrong = {"a": "b", "b": "a"}
    good = range(len(ROWS) - right, len(ROWS)) if last else range(right)
    return tuple(row.output if i in good else wrong[row.output] for i, row in enumerate(ROWS))


def judged(rows: int = 40, *, labels: bool = True, drawn_from: int | None = None) -> Judged:
    sure = tuple((0.9, 0.1) if text == "a" else (0.2, 0.8) for text in answers(30)[:rows])
    systems = [
        SystemAnswers("few_shot", "few-shot", "prompted", answers(15, last=True)[:rows]),
        SystemAnswers("specialist", "specialist", "specialist", answers(30)[:rows], sure),
    ]
    measure = MEASURE if labels else dataclasses.replace(MEASURE, labels=None, metric="rouge_l")
    found = compare(measure, ROWS[:rows], systems)
    return judged_by(found, measure, systems, Need(words=("Use it.",)), RowsTested("test.jsonl", drawn_from))


def test_the_facts_are_those_of_the_comparison() -> None:
    found = judged()
    assert (found.baseline, found.verdict, found.rows, found.source) == ("few_shot", "better", 40, "test.jsonl")
    assert found.gain is not None and found.gain.value == pytest.approx(37.5)
    assert found.p_value == found.systems[0].p_value
    assert found.drawn_from is None and judged(drawn_from=90).drawn_from == 90
    assert found.need.words == ("Use it.",) and found.best == found.systems[0] and found.ours == found.systems[1]


def test_rows_are_shown_before_and_after_with_the_worst_first() -> None:
    found = judged()
    assert len(found.sample) == 20 and len({row.input for row in found.sample}) == 20
    assert [row.input for row in found.worst[:10]] == [f"text {i}" for i in range(30, 40)]  # right before, wrong after
    assert (found.worst[0].score_before, found.worst[0].score_after) == (100, 0)
    assert all(row.score_after < 100 for row in found.worst)


def test_confidence_is_the_specialists_own() -> None:
    by_label = judged().by_label
    assert by_label is not None
    assert [(b.low, b.rows) for b in by_label.reliability] == [(0.8, 20), (0.9, 20)]
    assert judged(labels=False).by_label is None


def test_a_single_row_has_scores_and_no_verdict() -> None:
    found = judged(1)
    assert (found.baseline, found.gain, found.verdict) == (None, None, None)
    assert found.systems[1].scores["exact_match"] == 100
