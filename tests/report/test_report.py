from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from metier.records import Candidate, Interval, LossPoint, SystemScore
from metier.report.card import write_card
from metier.report.facts import (
    BeforeAfter,
    FunnelStep,
    MachineFacts,
    ModelFacts,
    PromptTemplate,
    RenderedExample,
    RunFacts,
    StageCost,
)
from metier.report.html import render
from metier.report.table import result_json, verdict_sentence

EVIL = "<script>alert('x')</script>"


def facts(**changes: object) -> RunFacts:
    made = RunFacts(
        name="routing",
        run_folder="runs/routing",
        instruction=f"Name the team. {EVIL}",
        labels=("billing", "delivery"),
        metrics=("exact_match", "label_match"),
        model=ModelFacts("smollm2", "PyPI", "apache-2.0"),
        recipe="backward",
        tuning="lora",
        seed=0,
        metier_version="0.1.0",
        machine=MachineFacts("a cpu", 2, 8_000_000_000, None, {"torch": "2"}),
        test_source="test.jsonl",
        test_rows=150,
        systems=(
            SystemScore("majority", "majority class", {"exact_match": 20.0, "label_match": 20.0}, Interval(40, 30, 50)),
            SystemScore("few_shot", "prompted", {"exact_match": 40.0, "label_match": 41.0}, Interval(20, 11, 29), 9.0),
            SystemScore("specialist", "specialist", {"exact_match": 60.0, "label_match": 60.0}, None, 5.0),
        ),
        baseline="few_shot",
        gain=Interval(20, 11, 29),
        verdict="better",
        funnel=(FunnelStep("written", 100), FunnelStep("noise", 90, {"noise": 10})),
        kept_pairs=90,
        label_counts={"billing": 45, "delivery": 45},
        loss=(LossPoint(1, 0.5, 2.0), LossPoint(2, 1.0, 1.0), LossPoint(2, 1.0, None, 1.2)),
        chosen_epoch=1,
        predictions=(BeforeAfter(EVIL, "billing", "delivery", "billing", 0, 100),),
        synthetic=(
            Candidate("r0", EVIL, "billing"),
            Candidate("r1", "x", dropped_by="noise", reason="holds 'sure'"),
        ),
        stages=(StageCost("training", 12.0, 100, 2_000_000_000),),
        rendered_example=RenderedExample("<|im_start|>", "billing"),
        prompt=PromptTemplate("before ", " after"),
        settings={"seed": 0, "training": {"epochs": 3}},
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


WORSE = {
    "verdict": "worse",
    "gain": Interval(-9, -15, -3),
}
UNKNOWN = {
    "verdict": None,
    "gain": None,
    "baseline": None,
    "test_source": None,
    "test_rows": 0,
    "systems": (),
}


def test_the_page_stands_alone_and_escapes_what_models_say() -> None:
    page = render(facts())
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"""(src|href)\s*=""", page)
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page


def test_the_verdict_comes_before_everything_else() -> None:
    page = render(facts())
    assert "+20.0 points exact match" in page
    assert page.index("+20.0 points") < page.index("<h2>")
    assert "No harm" not in page


def test_a_run_that_is_not_better_says_so_first() -> None:
    page = render(facts(**WORSE))
    assert page.index("No harm: keep the base model") < page.index("<h2>")
    assert "Keep the base model" in verdict_sentence(facts(**WORSE))


def test_without_a_test_set_the_page_says_what_cannot_be_known() -> None:
    page = render(facts(**UNKNOWN))
    assert "cannot be known" in page
    assert "What cannot" in page


def test_facts_survive_json() -> None:
    made = facts()
    assert RunFacts.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_facts_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="not above zero"):
        facts(gain=Interval(2, -1, 5))
    with pytest.raises(ValueError, match="all of them, or none"):
        facts(verdict=None)


def test_the_card_is_one_the_hub_reads(tmp_path: Path) -> None:
    card = ModelCard.load(write_card(facts(), tmp_path, "org/base"))
    assert card.data.base_model == "org/base"
    assert card.data.library_name == "peft"
    assert card.data.license == "apache-2.0"
    assert card.data.eval_results[0].metric_value == 60.0
    assert "Warning" not in card.text
    assert "before {input} after" in card.text
    assert (
        "Warning: this model was not shown to be better"
        in ModelCard.load(write_card(facts(**WORSE), tmp_path, "org/base")).text
    )
    assert ModelCard.load(write_card(facts(**UNKNOWN), tmp_path, "org/base")).data.eval_results is None


def test_the_json_result() -> None:
    result = result_json(facts())
    assert json.loads(json.dumps(result)) == result
    assert result["verdict"] == "better"
    assert result["recommended"] == "specialist"
    assert result["gain"] == {"value": 20, "low": 11, "high": 29}
    assert result["seconds"] == {"training": 12.0}
    assert result_json(facts(**WORSE))["recommended"] == "base"
