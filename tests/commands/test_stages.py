"""What ``metier run`` prints when it has ended."""

from __future__ import annotations

import dataclasses
import json
import time

import pytest

from metier.commands.stages import _instead, _print_end, _print_facts
from metier.report.sentences import advice, verdict_sentence
from tests.report.conftest import advising, some_facts


def test_the_result_is_told_with_what_qualifies_it_and_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    facts = some_facts()
    assert facts.judged is not None
    _print_facts(dataclasses.replace(facts, judged=dataclasses.replace(facts.judged, drawn_from=900)), as_json=False)
    told = capsys.readouterr().out
    assert verdict_sentence(facts) in told
    assert "Only 150 of the 900 test rows were used" in told
    assert f"need: {facts.judged.need.words[0]}" in told
    assert told.endswith("report: runs/ticket-routing/report.html\n")


def test_with_json_the_table_goes_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    _print_facts(some_facts(), as_json=True)
    told = capsys.readouterr()
    assert json.loads(told.out)["task"] == "ticket-routing"
    assert "report: " in told.err


def test_the_end_says_how_long_it_took_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic() - 200
    _print_end("runs/my run", start, quiet=False)
    _print_end("runs/mine", start, quiet=False, advice="Keep the base model.")
    told = capsys.readouterr()
    assert told.out == "", "it is no result"
    first, page, second, other = told.err.splitlines()
    assert first == second == "done in 3 min 20 s"
    assert page == "next: python -m webbrowser 'runs/my run/report.html'"
    assert other == "next: python -m webbrowser runs/mine/report.html; Keep the base model."
    _print_end("runs/mine", start, quiet=True, advice="Keep the base model.")
    assert capsys.readouterr().err == ""


def test_what_to_use_is_told_only_where_it_is_not_the_specialist() -> None:
    assert _instead(some_facts()) == ""
    other = advising(some_facts(), "few_shot")
    assert _instead(other) == advice(other) != ""
