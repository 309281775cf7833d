from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from metier.core.records import Interval
from metier.evaluation.over_tasks import Rival, ScenarioOutcome, TaskOutcome, VariantOutcome
from metier.report.facts import MachineFacts
from metier.report.scenario import (
    ScenarioFacts,
    scenario_sentences,
    scenario_table,
    variants_table,
    verdicts,
    write_scenario,
    write_variants,
)


def rival(system: str, title: str, score: float, gain: float, p: float = 0.01) -> Rival:
    return Rival(system, title, score, Interval(gain, gain - 2, gain + 2), p)


def task(name: str, **more: Any) -> TaskOutcome:
    given: dict[str, Any] = {
        "metric": "sari",
        "rows": 100,
        "specialist": 40.0,
        "base": rival("few_shot", "prompted, few-shot", 30.0, 10.0),
        "constant": rival("copied_input", "copied input", 20.0, 20.0),
        "cheap": None,
        "unseen": 39.0,
        "holds": True,
    }
    return TaskOutcome(name, **{**given, **more})


def facts(*tasks: TaskOutcome) -> ScenarioFacts:
    return ScenarioFacts(
        name="<b>mine</b>",
        digest="0123456789",
        run_folder="runs/mine",
        model="some-model",
        adapters="one_then_each",
        tuning="lora",
        seed=0,
        machine=MachineFacts("a cpu", 2, 10**9),
        outcome=ScenarioOutcome(tasks, Interval(5.0, 1.0, 9.0) if len(tasks) > 1 else None),
        make_up={t.name: {"rows": 10, "tokens": 100, "wordings": 3, "dropped": {"twice": 2}} for t in tasks},
        packing={"rows": 20, "tokens": 200, "longest": 30, "length": 100, "sequences": 2, "padding": 0.1},
        training_seconds=60.0,
        need={t.name: () for t in tasks},
        need_words={t.name: () for t in tasks},
    )


HARPER = rival("harper", "Harper (rules)", 45.0, -5.0)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (task("a"), "Use the specialist: 40.0 SARI, better than all else."),
        (task("a", cheap=rival("harper", "Harper (rules)", 35.0, 5.0)), "also than Harper (rules) (35.0)"),
        (
            task("a", cheap=HARPER),
            "Harper (rules) (45.0 SARI) is better than the specialist (40.0): use Harper (rules).",
        ),
        (
            task("a", constant=rival("copied_input", "copied input", 39.0, 1.0), holds=False),
            "Copied input (39.0 SARI) is not shown to be worse than the specialist (40.0): leave the text as it is",
        ),
        (
            task("a", base=rival("zero_shot", "prompted, zero-shot", 39.5, 0.5), holds=False),
            "is not shown to be worse than the specialist (40.0): keep the base model and its prompt.",
        ),
        (task("a", constant=rival("majority", "majority class", 41.0, -3.0)), "no model is needed as things are"),
    ],
)
def test_a_verdict_follows_from_the_numbers(outcome: TaskOutcome, said: str) -> None:
    assert said in verdicts(facts(outcome))["a"]


def test_sentences_say_how_many_tasks_hold_and_what_cannot_be_known() -> None:
    found = scenario_sentences(facts(task("a"), task("b", holds=False)))
    assert found[0].startswith("1 of 2 tasks") and found[0].endswith("(Holm): a.")
    assert "+5.0 [+1.0, +9.0]" in found[1]
    assert scenario_sentences(facts()) == [
        "No task has test rows: whether the model is better than its base cannot be known."
    ]
    assert facts(task("a")).all_hold and not facts().all_hold


def test_the_table_fits_a_terminal_of_eighty_columns() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(scenario_table(facts(task("neutralization"), task("simplification", cheap=HARPER))))
    text = console.export_text()
    assert "neutralization" in text and "+10.0 [+8.0, +12.0]" in text and "none" in text and "…" not in text


def test_the_page_stands_alone_and_escapes_what_others_named(tmp_path: Path) -> None:
    bad = task("<script>alert(1)</script>")
    write_scenario(facts(bad, task("b")), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page and "<b>mine" not in page and "&lt;script&gt;" in page
    assert "2 twice" in page and "10.0% is padding" in page and "100% full" in page and "src=" not in page


def test_a_studys_table_marks_what_surely_differs(tmp_path: Path) -> None:
    first = VariantOutcome("all", {"a": 40.0, "b": 30.0}, Interval(35, 33, 37), {}, None, {"rows": 20.0})
    other = dataclasses.replace(
        first,
        name="less",
        gains={"a": Interval(-5, -7, -3), "b": Interval(1, -1, 3)},
        mean_gain=Interval(-2, -3, -1),
        facts={},
    )
    better = dataclasses.replace(other, name="more", gains={"a": Interval(5, 3, 7), "b": Interval(0, 0, 0)})
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(variants_table([first, other, better]))
    text = console.export_text()
    assert "40.0-" in text and "40.0+" in text and "-2.0 [-3.0, -1.0]" in text
    write_variants([first, other, better], "a study", "all", tmp_path / "page.html")
    assert "less: a" in (tmp_path / "page.html").read_text()
