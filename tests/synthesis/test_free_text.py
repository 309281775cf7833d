"""Free-text pairs: written ones are answered again, and real ones have to gain from their own inputs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core.records import Candidate
from metier.engines.base import GenerationRequest
from metier.engines.prompts import PromptFormat
from metier.synthesis.agreement import agree
from tests.scripted import ByteTokenizer, ScriptedEngine, Shards, last_question, make_brief

PROMPTS = PromptFormat(ByteTokenizer())


def written(answers: dict[str, str]) -> list[Candidate]:
    """Return pairs that were written: an input for each answer."""
    return [
        Candidate(f"r0.{i}.0", text, output=answer, asked_label=answer)
        for i, (text, answer) in enumerate(answers.items())
    ]


def answering(said: dict[str, str], context_length: int = 100_000) -> ScriptedEngine:
    """Return an engine that answers inputs by a table."""

    def answer(request: GenerationRequest, sample: int) -> str:
        return said[last_question(request.prompt.text)]

    return ScriptedEngine(answer, context_length=context_length)


def test_inputs_are_answered_again_and_those_answered_most_alike_are_kept_with_that_answer() -> None:
    asked = {"a": "the red fox", "b": "a tall tree", "c": "my old house", "d": "rain in May"}
    said = {"a": " The red fox. ", "b": "zzz", "c": "an old house", "d": "snow"}
    engine = answering(said)
    judged = agree(make_brief(labels=None, keep_share=0.5), engine, PROMPTS, written(asked), Shards())
    assert [(c.output, c.dropped_by) for c in judged] == [
        ("The red fox.", None),
        ("zzz", "disagreement"),
        ("an old house", None),
        ("snow", "quota"),
    ]
    assert [c.asked_label for c in judged] == list(asked.values())
    assert judged[0].share == pytest.approx(22 / 23) and judged[1].share == 0.0
    assert judged[3].reason == "not among the 2 surest: written for 'rain in May', alike by 0.13"
    assert judged[1].reason == "written for 'a tall tree', which has nothing in common"
    assert engine.scored == [] and all(request.temperature == 0 for request in engine.generated)


def test_an_input_that_is_not_answered_to_the_end_or_does_not_fit_is_dropped() -> None:
    asked = {"a": "one", "b": "two", "c": "three", "x" * 900: "four"}
    engine = answering({"a": "one", "b": "y" * 300, "c": "..."}, context_length=1000)
    brief = make_brief(labels=None, keep_share=1.0, output_max_tokens=20)
    judged = agree(brief, engine, PROMPTS, written(asked), Shards())
    assert [c.dropped_by for c in judged] == [None, "cut_off", "no_answer", "too_long"]


@given(
    st.dictionaries(st.text("abc ", min_size=1, max_size=6).filter(str.strip), st.text("abc", max_size=4), max_size=8),
    st.floats(0.1, 1.0),
)
def test_what_is_kept_is_never_less_alike_than_what_is_not(said: dict[str, str], keep_share: float) -> None:
    inputs = {f"in {i}": text for i, text in enumerate(said)}
    engine = answering({text: said[answer] for text, answer in inputs.items()})
    brief = make_brief(labels=None, keep_share=keep_share)
    judged = agree(brief, engine, PROMPTS, written(inputs), Shards())
    kept = [c.share for c in judged if c.kept]
    left = [c.share for c in judged if c.dropped_by in ("quota", "disagreement")]
    assert all(k is not None and o is not None and k >= o for k in kept for o in left)
    assert len(kept) <= -(-keep_share * len(inputs) // 1)
    assert all(0 <= (c.share or 0) <= 1 for c in judged)


def test_many_inputs_are_answered_in_several_shards_and_a_stopped_run_asks_no_answer_twice() -> None:
    asked = {f"in {i}": f"out {i}" for i in range(100)}
    shards = Shards()
    first = agree(make_brief(labels=None), answering(asked), PROMPTS, written(asked), shards)
    assert list(shards.kept) == ["answers-forwards-00000", "answers-forwards-00001"]
    again = answering({})
    assert agree(make_brief(labels=None), again, PROMPTS, written(asked), shards) == first
    assert again.generated == [] and sum(c.kept for c in first) == 50


def test_real_inputs_are_chosen_among_themselves_by_what_their_answers_gain() -> None:
    asked = {"a": "fox", "b": "tree"}
    real = pairs(4)
    engine = fitting({0: 3.0, 1: 0.5, 2: 2.0, 3: 1.0}, asked)
    judged = agree(make_brief(labels=None, keep_share=0.5), engine, PROMPTS, [*real, *written(asked)], Shards())
    assert [c.dropped_by for c in judged] == [None, "quota", None, "quota", None, "quota"]
    assert [c.output for c in judged] == ["out 0", "out 1", "out 2", "out 3", "fox", "tree"]


def pairs(count: int) -> list[Candidate]:
    return [Candidate(f"real.{i}", f"in {i}", output=f"out {i}") for i in range(count)]


def fitting(own: dict[int, float], said: dict[str, str] | None = None) -> ScriptedEngine:
    """Return an engine that finds an answer likelier after its own input, by so many nats a token, and says others."""

    def score(prompt: str, continuation: str) -> float:
        place = int(continuation.rpartition(" ")[2])
        right = last_question(prompt) == f"in {place}"
        return (own.get(place, 0.0) if right else 0.0) * (len(continuation.encode()) + 1) - 7.0 * (
            len(continuation) + 1
        )

    def answer(request: GenerationRequest, sample: int) -> str:
        return (said or {})[last_question(request.prompt.text)]

    return ScriptedEngine(answer, score)


def test_the_real_pairs_whose_answers_gain_most_from_their_own_inputs_are_kept() -> None:
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
