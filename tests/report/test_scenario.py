from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from rich.console import Console

from metier.core.codec import decode, encode
from metier.core.records import Interval, NeedRow, SystemKind
from metier.data.mixture import MakeUp
from metier.data.packing import Packing
from metier.evaluation.better import Rival, judge
from metier.evaluation.over_tasks import ScenarioOutcome, TaskOutcome
from metier.evaluation.records import Need
from metier.report.facts import MachineFacts
from metier.report.scenario import scenario_json, scenario_sentences, scenario_table, verdicts, write_scenario
from metier.report.scenario_card import write_scenario_card
from metier.report.scenario_facts import ScenarioFacts

from .conftest import Make


def rival(system: str, title: str, kind: SystemKind, gain: float, p: float = 0.001) -> Rival:
    return Rival(system, title, kind, 40.0 - gain, Interval(gain, gain - 2, gain + 2), p)


COPIED = rival("copied_input", "copied input", "constant", 20.0)
PROMPT = rival("few_shot", "prompted, few-shot", "prompted", 10.0)
HARPER = rival("harper", "Harper (rules)", "classic", -5.0)


def task(name: str, *rivals: Rival, p: float = 0.01) -> TaskOutcome:
    """Return what a specialist of score 40 came to beside these systems."""
    every = rivals or (COPIED, PROMPT)
    best = max((r for r in every if r.kind != "classic"), key=lambda r: r.score)
    return TaskOutcome(name, "sari", 100, 40.0, best, every, 39.0, p, judge(best.gain, p))


def facts(*tasks: TaskOutcome, **more: Any) -> ScenarioFacts:
    given: dict[str, Any] = {
        "name": "<b>mine</b>",
        "digest": "0123456789",
        "run_folder": "runs/mine",
        "model": "some-model",
        "adapters": "one_then_each",
        "tuning": "lora",
        "seed": 0,
        "machine": MachineFacts("a cpu", 2, 10**9),
        "outcome": ScenarioOutcome(tasks, Interval(5.0, 1.0, 9.0) if len(tasks) > 1 else None),
        "mixture": {t.name: MakeUp(10, 100, 3, {"twice": 2}) for t in tasks},
        "packing": Packing(20, 200, 30, 100, 2, 0.1),
        "training_seconds": 60.0,
        "writing_seconds": 600.0,
    }
    return ScenarioFacts(**{**given, **more})


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (task("a"), "Use the specialist: 40.0 SARI, significantly better than prompted, few-shot (30.0)."),
        (
            task("a", COPIED, PROMPT, dataclasses.replace(HARPER, score=35.0, gain=Interval(5, 3, 7))),
            "significantly better than prompted, few-shot (30.0) and Harper (rules) (35.0).",
        ),
        (
            task("a", COPIED, PROMPT, HARPER),
            "Harper (rules) (45.0 SARI) is significantly better than the specialist (40.0 SARI): use Harper (rules).",
        ),
        (
            task("a", rival("copied_input", "copied input", "constant", 1.0)),
            "Copied input (39.0 SARI) is not shown to be worse than the specialist (40.0 SARI): leave the text as it",
        ),
        (
            task("a", COPIED, rival("zero_shot", "prompted, zero-shot", "prompted", 0.5)),
            "is not shown to be worse than the specialist (40.0 SARI): keep the base model and its prompt.",
        ),
        (
            task("a", rival("majority", "majority class", "constant", -3.0)),
            "Majority class (43.0 SARI) is significantly better than the specialist (40.0 SARI): no model is needed.",
        ),
        (
            task("a", p=0.2),  # above zero and significant alone, not beside the other tasks
            "(30.0 SARI) is below the specialist (40.0 SARI), but the difference was not shown to be significant: keep",
        ),
    ],
)
def test_a_verdict_follows_from_the_numbers(outcome: TaskOutcome, said: str) -> None:
    assert said in verdicts(facts(outcome))["a"]


def test_what_it_takes_is_told_with_the_verdict() -> None:
    row = NeedRow("specialist", "specialist", 40.0, None, 660.0, 0.05, 0.06, 20.0, 271_000_000, None)
    said = verdicts(facts(task("a"), need={"a": Need((row,))}))["a"]
    assert said.endswith(
        "It takes 50 ms a row and 271 MB of memory and disk; making it took 11 min 00 s, writing data included."
    )


def test_sentences_say_how_many_tasks_hold_and_what_cannot_be_known() -> None:
    lost = task("c", rival("few_shot", "prompted", "prompted", -9))
    found = scenario_sentences(facts(task("a"), task("b", p=0.2), lost))
    assert found[0] == "Significantly better than every system without it on 1 of 3 tasks: a."
    assert found[1] == "Significantly worse than the best system without it: c."
    assert "+5.0 [+1.0, +9.0]" in found[2]
    assert scenario_sentences(facts()) == [
        "No task has test rows: whether the model is better than its base cannot be known."
    ]
    assert facts(task("a")).all_hold and not facts().all_hold and not facts(task("a"), task("b", p=0.2)).all_hold


def test_the_table_fits_a_terminal_of_eighty_columns() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(scenario_table(facts(task("neutralization"), task("simplification", COPIED, PROMPT, HARPER))))
    text = console.export_text()
    assert "neutralization" in text and "+10.0 [+8.0, +12.0]" in text and "none" in text and "…" not in text
    assert "corrected for 2 tasks (Holm)" in " ".join(text.split())


def test_the_page_stands_alone_and_escapes_what_others_named(tmp_path: Path) -> None:
    bad = task("<script>alert(1)</script>")
    write_scenario(facts(bad, task("b")), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page and "<b>mine" not in page and "&lt;script&gt;" in page
    assert "(left out: 2" in page and "10.0% of the tokens are padding" in page and "100% full" in page
    assert "src=" not in page


def test_writing_is_part_of_what_tuning_costs(tmp_path: Path) -> None:
    assert facts(task("a")).learning_seconds == 660
    write_scenario(facts(task("a")), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Writing synthetic pairs took 10 min 00 s, training 1 min 00 s: 11 min 00 s together." in page
    write_scenario(facts(task("a"), writing_seconds=0.0), tmp_path / "page.html")
    assert "Training took 1 min 00 s." in (tmp_path / "page.html").read_text()


def test_the_page_of_a_scenario_without_tests_shows_no_scores(tmp_path: Path) -> None:
    write_scenario(facts(), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "cannot be known" in page and "<h2>Scores" not in page and "The training data" in page


def test_facts_go_to_json_and_back(make: Make) -> None:
    found = facts(task("a"), task("b", p=0.2), need={"a": Need(make().judged.need.rows)})  # type: ignore[union-attr]
    assert decode(ScenarioFacts, json.loads(json.dumps(encode(found)))) == found
    told = json.loads(json.dumps(scenario_json(found)))
    assert told["verdicts"]["a"].startswith("Use the specialist") and told["writing_seconds"] == 600


def test_the_card_says_what_each_task_was_trained_on(make: Make, tmp_path: Path) -> None:
    one = make(name="a", pairs_by_origin={"synthetic": 40}, synthesis_funnel=())
    other = make(name="b", pairs_by_origin={"labelled": 60}, synthesis_funnel=())
    found = facts(task("a"), task("b", p=0.2), task("for other weights"))
    card: Any = ModelCard.load(write_scenario_card(found, [one, other], tmp_path, "someone/base"))
    assert "synthetic-data" in card.data.tags
    assert "trained on 40 synthetic pairs." in card.text and "trained on 60 labelled rows." in card.text
    assert "| a | SARI | 100 | 30.0 | 20.0 | 40.0 | +10.0 [+8.0, +12.0] | 0.010 | better |" in card.text
    assert "| b |" in card.text and "not shown to be better on every task" in card.text
    assert "| for other weights |" not in card.text
    plain: Any = ModelCard.load(write_scenario_card(facts(task("b")), [other], tmp_path, "someone/base"))
    assert "synthetic-data" not in plain.data.tags and "WARNING" not in plain.text
