from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from metier.core.records import Candidate
from metier.engines.prompts import PromptFormat
from metier.synthesis.agreement import agree, evidence_of
from tests.scripted import EXAMPLES, ByteTokenizer, ScriptedEngine, Shards, last_question, make_brief

PROMPTS = PromptFormat(ByteTokenizer())
ASK = "Write a new input to which the right answer is: "
LABELS = ("billing", "delivery")


def reader(evidence: dict[str, float], bias: float = 0.0) -> ScriptedEngine:
    """Return an engine that finds ``billing`` likelier by the evidence, each way round, and by a bias."""

    def score(prompt: str, continuation: str) -> float:
        asked = last_question(prompt)
        text, label = (continuation, asked[len(ASK) :]) if asked.startswith(ASK) else (asked, continuation)
        return -10.0 + (evidence[text] / 4 + bias) * (1 if label == "billing" else -1)

    return ScriptedEngine(score=score)


def written(evidence: dict[str, float], asked: str = "billing") -> list[Candidate]:
    return [Candidate(f"r0.0.{i}", text, output=asked, asked_label=asked) for i, text in enumerate(evidence)]


def test_inputs_take_the_label_they_are_read_as_and_the_most_certain_are_kept() -> None:
    evidence = {"charged": 3.0, "billed": 1.0, "parcel": -4.0, "box": -0.5, "fee": 0.5, "late": 0.0}
    candidates = written(evidence)
    judged = agree(make_brief(keep_share=0.5), reader(evidence), PROMPTS, candidates, Shards())
    # ceil(0.5 * 6 / 2) = 2 of each label.
    assert [(c.input, c.output, c.dropped_by) for c in judged] == [
        ("charged", "billing", None),
        ("billed", "billing", None),
        ("parcel", "delivery", None),
        ("box", "delivery", None),
        ("fee", "billing", "quota"),
        ("late", "billing", "quota"),
    ]
    assert [c.share for c in judged] == pytest.approx(
        [1 / (1 + math.exp(-abs(e))) for e in evidence.values()], abs=0.02
    )
    assert judged[4].reason == "not among the 2 surest of 'billing': written for 'billing', read with 0.62"


@given(
    hnp.arrays(float, (12, 3), elements=st.floats(-30, 0)),
    hnp.arrays(float, (12, 3), elements=st.floats(-90, 0)),
    hnp.arrays(float, 3, elements=st.floats(-5, 5)),
)
def test_neither_a_labels_bias_nor_an_inputs_length_changes_the_evidence(direct: Any, channel: Any, bias: Any) -> None:
    plain = evidence_of(direct, channel)
    assert plain.shape == (12, 3) and np.abs(plain.sum(axis=1)).max() < 1e-6
    shifted = evidence_of(direct, channel + bias + np.arange(12)[:, None])
    assert shifted == pytest.approx(plain, abs=1e-6)


def test_real_inputs_are_calibrated_and_counted_apart_from_those_that_were_written() -> None:
    # Of the real ones all lean to billing, by what they have in common; of the written ones half do.
    real = {f"real {i}": 2.0 + i / 10 for i in range(20)}
    own = {f"written {i}": (-1.0) ** i for i in range(10)}
    engine = reader(real | own)
    unlabelled = [Candidate(f"real.{i}", text) for i, text in enumerate(real)]
    brief = dataclasses.replace(make_brief(keep_share=0.5), unlabelled=tuple(real))
    judged = agree(brief, engine, PROMPTS, [*unlabelled, *written(own)], Shards())
    kept = [c for c in judged if c.kept]
    assert [c.input for c in kept if c.output == "billing" and c.asked_label is None] == [
        f"real {i}" for i in range(15, 20)
    ]
    assert [c.input for c in kept if c.output == "delivery" and c.asked_label is None] == [
        f"real {i}" for i in range(5)
    ]
    assert sum(c.asked_label is not None for c in kept) == 6  # three of each label
    assert next(c for c in judged if c.input == "real 9").reason is not None
    assert "a real input" in str(next(c for c in judged if c.input == "real 9").reason)


def test_too_few_real_inputs_are_calibrated_with_those_that_were_written() -> None:
    evidence = {"charged": 3.0, "parcel": -4.0, "billed": 1.0, "box": -0.5}
    candidates = [Candidate("real.0", "charged"), Candidate("real.1", "billed"), *written(evidence)[1:4:2]]
    brief = dataclasses.replace(make_brief(keep_share=1.0), unlabelled=("charged", "billed"))
    judged = agree(brief, reader(evidence), PROMPTS, candidates, Shards())
    assert [(c.output, c.kept) for c in judged] == [
        ("billing", True), ("billing", True), ("delivery", True), ("delivery", True),
    ]  # fmt: skip


def test_an_input_is_read_forwards_with_the_examples_and_backwards_under_every_label() -> None:
    evidence = {"charged": 2.0, "parcel": -2.0}
    engine = reader(evidence)
    told: list[tuple[int, int]] = []
    shards = Shards()
    agree(make_brief(), engine, PROMPTS, written(evidence), shards, lambda done, tokens: told.append((done, tokens)))
    forwards, backwards = engine.scored[:2], engine.scored[2:]
    assert [(last_question(r.prompt.text), r.continuations) for r in forwards] == [
        ("charged", LABELS),
        ("parcel", LABELS),
    ]
    assert all("I was charged twice\n<|assistant|>billing" in r.prompt.text for r in forwards)
    assert [(last_question(r.prompt.text), r.continuations) for r in backwards] == [
        (f"{ASK}{label}", ("charged", "parcel")) for label in LABELS
    ]
    assert (told, list(shards.kept)) == ([(2, 0)], ["agreement-00000"])


@given(st.lists(st.floats(-5, 5).map(lambda x: round(x, 2)), min_size=2, max_size=12), st.floats(-3, 3))
def test_a_bias_towards_a_label_that_all_inputs_share_changes_nothing(values: list[float], bias: float) -> None:
    evidence = {f"text {i}": value for i, value in enumerate(values)}
    brief = make_brief(keep_share=1.0)

    def shares(engine: ScriptedEngine) -> list[float]:
        judged = agree(brief, engine, PROMPTS, written(evidence), Shards())
        return [c.share if c.output == "billing" else 1 - c.share for c in judged if c.share is not None]

    assert shares(reader(evidence, bias)) == pytest.approx(shares(reader(evidence)), abs=1e-6)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30, unique=True), st.floats(0.1, 1))
def test_of_each_label_at_most_its_part_of_the_share_is_kept_and_never_a_less_certain_one(
    values: list[float], keep_share: float
) -> None:
    evidence = {f"text {i}": value for i, value in enumerate(values)}
    judged = agree(make_brief(keep_share=keep_share), reader(evidence), PROMPTS, written(evidence), Shards())
    for label in LABELS:
        kept = [c.share or 0 for c in judged if c.output == label and c.kept]
        dropped = [c.share or 0 for c in judged if c.output == label and not c.kept]
        assert len(kept) <= math.ceil(keep_share * len(values) / 2)
        assert not kept or not dropped or min(kept) >= max(dropped)


def test_many_inputs_are_read_in_several_shards_as_in_one() -> None:
    evidence = {f"text {i}": math.sin(i) for i in range(130)}
    shards = Shards()
    judged = agree(make_brief(), reader(evidence), PROMPTS, written(evidence), shards)
    assert list(shards.kept) == [f"agreement-{n:05d}" for n in range(3)]
    assert sum(c.kept for c in judged) == 66  # ceil(0.5 * 130 / 2) = 33 of each label


@pytest.mark.parametrize("labels", [LABELS, None])
def test_what_was_dropped_before_is_not_read_and_stays_as_it_was(labels: tuple[str, ...] | None) -> None:
    dropped = Candidate("r0.0.0", "", output="billing", dropped_by="empty", reason="why")
    engine = ScriptedEngine()
    assert agree(make_brief(labels=labels), engine, PROMPTS, [dropped], Shards()) == [dropped]
    assert engine.scored == []


def test_an_input_whose_prompt_does_not_fit_the_context_is_dropped_with_its_size() -> None:
    evidence = {"charged": 2.0, "x" * 300: -1.0}
    engine = ScriptedEngine(score=reader(evidence)._score, context_length=400)
    judged = agree(make_brief(keep_share=1.0), engine, PROMPTS, written(evidence), Shards())
    assert [c.dropped_by for c in judged] == [None, "too_long"]
    assert judged[1].reason is not None
    assert judged[1].reason.startswith("its prompt of ") and judged[1].reason.endswith("fit the context of 400")
    assert all("x" * 300 not in r.prompt.text for r in engine.scored)


@pytest.mark.parametrize(("spare", "dropped_by"), [(0, None), (-1, "too_long")])
def test_the_longest_answer_and_its_end_must_fit_behind_the_prompt(spare: int, dropped_by: str | None) -> None:
    text = "charged " * 30  # the examples take less than half of the context
    prompt = PROMPTS.task("Name the team.", EXAMPLES, text).text
    room = len(prompt) + len("delivery") + 1 + spare
    engine = ScriptedEngine(score=lambda prompt, continuation: -1.0, context_length=room)
    (judged,) = agree(make_brief(), engine, PROMPTS, written({text: 1.0}), Shards())
    assert judged.dropped_by == dropped_by


def pairs(count: int) -> list[Candidate]:
    return [Candidate(f"r0.{i}.0", f"in {i}", output=f"out {i}", asked_label=f"out {i}") for i in range(count)]


def fitting(own: dict[int, float]) -> ScriptedEngine:
    """Return an engine that finds an answer likelier after its own input, by so many nats a token."""

    def score(prompt: str, continuation: str) -> float:
        place = int(continuation.rpartition(" ")[2])
        right = last_question(prompt) == f"in {place}"
        return (own.get(place, 0.0) if right else 0.0) * (len(continuation.encode()) + 1) - 7.0 * (
            len(continuation) + 1
        )

    return ScriptedEngine(score=score)


def test_in_free_text_the_pairs_whose_answers_gain_most_from_their_own_inputs_are_kept() -> None:
    gains = {0: 3.0, 1: 0.5, 2: 2.0, 3: 1.0}
    engine = fitting(gains)
    judged = agree(make_brief(labels=None, keep_share=0.5), engine, PROMPTS, pairs(4), Shards())
    assert [c.share for c in judged] == pytest.approx(list(gains.values()))
    assert [c.dropped_by for c in judged] == [None, "quota", None, "quota"]
    assert judged[1].reason == "not among the surest: its input makes the answer likelier by only 0.50 nats a token"
    assert [c.output for c in judged] == [f"out {i}" for i in range(4)]
    # Every input is read once, before its own answer and those of the three others.
    asked = {last_question(r.prompt.text): r.continuations for r in engine.scored}
    assert asked.keys() == {f"in {i}" for i in range(4)} and len(engine.scored) == 4
    for i in range(4):
        own, *others = asked[f"in {i}"]
        assert own == f"out {i}" and {own, *others} == {f"out {k}" for k in range(4)}


@given(st.integers(1, 9), st.randoms(use_true_random=False))
def test_a_gain_is_what_an_answer_has_after_its_own_input_over_the_mean_after_others(count: int, draw: Any) -> None:
    likely: dict[tuple[str, str], float] = {
        (f"in {i}", f"out {k}"): draw.uniform(-9, 0) for i in range(count) for k in range(count)
    }

    def score(prompt: str, continuation: str) -> float:
        return likely[last_question(prompt), continuation.strip()] * (len(continuation.encode()) + 1)

    engine = ScriptedEngine(score=score)
    judged = agree(make_brief(labels=None, keep_share=1.0), engine, PROMPTS, pairs(count), Shards())
    after = [(last_question(r.prompt.text), text.strip()) for r in engine.scored for text in r.continuations]
    for i, pair in enumerate(judged):
        rivals = [likely[asked] for asked in after if asked[1] == f"out {i}" and asked[0] != f"in {i}"]
        assert len(rivals) == min(3, count - 1)
        mean = sum(rivals) / len(rivals) if rivals else 0.0
        assert pair.share == pytest.approx(likely[f"in {i}", f"out {i}"] - mean)


def test_an_answer_that_gains_nothing_is_dropped_however_much_is_to_be_kept() -> None:
    judged = agree(
        make_brief(labels=None, keep_share=1.0), fitting({0: 1.0, 1: 0.0, 2: -1.0}), PROMPTS, pairs(3), Shards()
    )
    assert [c.dropped_by for c in judged] == [None, "disagreement", "disagreement"]
    assert judged[2].reason == "its input makes the answer no likelier (-1.00 nats a token)"


def test_rival_inputs_depend_on_the_seed_alone() -> None:
    shards = Shards()
    engine = fitting({})
    agree(make_brief(labels=None), engine, PROMPTS, pairs(100), shards)
    assert list(shards.kept) == ["answers-after-inputs-00000", "answers-after-inputs-00001"]
    again = fitting({})
    agree(make_brief(labels=None), again, PROMPTS, pairs(100), Shards())
    assert again.scored == engine.scored
    other = fitting({})
    agree(dataclasses.replace(make_brief(labels=None), seed=8), other, PROMPTS, pairs(100), Shards())
    assert other.scored != engine.scored
