"""What parity says of answers: agreement with its interval, scores, and a warning where writing is worse."""

from __future__ import annotations

import dataclasses

import pytest

from metier.core.records import Example
from metier.evaluation.measure import Measure
from metier.exporting.card import parity_lines, worse
from metier.exporting.parity import BothScores, Parity, agreement, both_scores
from metier.runs.load import KnownAnswers


def test_wilsons_interval() -> None:
    found = agreement([1] * 10, [1] * 9 + [0])
    assert (found.compared, found.equal, found.share) == (10, 9, 90.0)
    assert (found.low, found.high) == (59.6, 98.2)  # as in Wilson's tables
    assert agreement([1], [1]).high == 100.0


def test_both_are_scored_on_the_same_rows() -> None:
    tested = KnownAnswers(Measure("exact_match", ("a", "b")), (Example("x", "a"), Example("y", "b")), ("a", "b"))
    assert both_scores(tested, ["a", "a"]) == BothScores("exact_match", 2, 100.0, 50.0)


@pytest.mark.parametrize(("answer", "differs"), [("a", False), ("b", True)])
def test_why_answers_may_differ_is_said_only_where_one_does(answer: str, differs: bool) -> None:
    parity = Parity("merged", "host", test_rows=2, prompts=agreement([1], [1]))
    parity = dataclasses.replace(parity, product_answers=agreement(["a", "a"], ["a", answer]))
    lines = " ".join(parity_lines(parity))
    assert f"for {'1' if differs else '2'} of 2" in lines
    assert ("bfloat16" in lines) == differs


@pytest.mark.parametrize(("export", "warned"), [(90.0, True), (96.0, False)])
def test_an_export_that_is_much_worse_is_warned_of(export: float, warned: bool) -> None:
    parity = Parity(
        "gguf", "host", prompts=agreement([1], [1]), test_rows=9, scores=BothScores("exact_match", 9, 100.0, export)
    )
    assert (worse(parity) is not None) == warned
    assert any("Warning" in line for line in parity_lines(parity)) == warned
