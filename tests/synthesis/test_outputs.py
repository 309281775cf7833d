from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core.records import Candidate, Example
from metier.core.storage import seed_of
from metier.engines.base import GenerationRequest
from metier.engines.prompts import Prompt, PromptFormat
from metier.synthesis.brief import Brief
from metier.synthesis.outputs import answer_inputs, balance, vote, vote_rule
from metier.synthesis.votes import sample_until_decided
from tests.scripted import ByteTokenizer, ScriptedEngine, Shards, last_question, make_brief

PROMPTS = PromptFormat(ByteTokenizer())
ANSWERS = st.lists(st.sampled_from(["a", "bb", "cc", "ddd", "", "Sure, a"]), min_size=12, max_size=12)


def answered(*answers: str) -> Candidate:
    return Candidate("r0.0", "my box", answers=answers)


def test_answers_are_sampled_under_the_few_shot_prompt_until_the_vote_is_decided() -> None:
    table = {"one mind": ["billing"] * 8, "two minds": ["billing", "delivery"] * 4}
    engine = ScriptedEngine(table)
    candidates = [
        Candidate("r0.0", "one mind"),
        Candidate("r0.1", "", dropped_by="empty", reason="why"),
        Candidate("r0.2", "two minds"),
    ]
    brief = make_brief(
        output_samples=8, output_keep=4, output_max_tokens=9, output_temperature=0.4, output_top_k=3, agreement=0.5
    )
    told: list[tuple[int, int]] = []
    shards = Shards()
    got = answer_inputs(brief, engine, PROMPTS, candidates, shards, lambda done, tokens: told.append((done, tokens)))
    assert [c.answers for c in got] == [("billing",) * 3, (), ("billing", "delivery", "billing", "delivery")]
    assert got[1] == candidates[1]
    assert {(r.max_tokens, r.temperature, r.top_k) for r in engine.generated} == {(9, 0.4, 3)}
    assert {r.seed for r in engine.generated} == {seed_of(7, "outputs", name) for name in ("r0.0", "r0.2")}
    shown = "I was charged twice\n<|assistant|>billing\n<|user|>the parcel is late\n<|assistant|>delivery\n"
    assert all(shown in r.prompt.text for r in engine.generated)
    assert [last_question(r.prompt.text) for r in engine.generated] == ["one mind", "two minds", "two minds"]
    assert (told, list(shards.kept)) == ([(2, engine.stats.generated_tokens)], ["outputs-00000"])


def test_many_inputs_are_answered_in_several_shards_and_nothing_open_asks_for_none() -> None:
    engine, shards = ScriptedEngine(lambda request, sample: "billing"), Shards()
    candidates = [Candidate(f"r0.{i}", f"case {i}") for i in range(70)]
    assert all(c.answers for c in answer_inputs(make_brief(), engine, PROMPTS, candidates, shards))
    assert list(shards.kept) == [f"outputs-{n:05d}" for n in range(3)]
    resumed = ScriptedEngine()
    assert all(c.answers for c in answer_inputs(make_brief(), resumed, PROMPTS, candidates, shards))
    assert answer_inputs(make_brief(), resumed, PROMPTS, [], Shards()) == []
    assert resumed.generated == []


def test_examples_that_leave_no_room_for_the_longest_input_are_not_shown() -> None:
    long = Example("q" * 300, "billing")
    engine = ScriptedEngine(lambda request, sample: "billing", context_length=800)
    brief = make_brief(examples=(long, Example("the parcel is late", "delivery")), output_max_tokens=50)
    answer_inputs(brief, engine, PROMPTS, [Candidate("r0.0", "x" * 200)], Shards())
    assert all("q" not in r.prompt.text and "the parcel is late" in r.prompt.text for r in engine.generated)


@pytest.mark.parametrize(
    ("answers", "output", "dropped_by", "reason", "share"),
    [
        (("billing", "delivery", "billing"), "billing", None, None, 2 / 3),
        (("It is billing.",) * 2, "billing", None, None, 1.0),  # the answer is mapped to the label it holds
        (("billing or delivery",), "delivery", None, None, 1.0),  # the last one
        (("the team",), "", "no_label", "the answer 'the team' holds no label", 1.0),
        (("", "Sure, billing"), "", "no_answer", "none of 2 answers passed the filters", None),
        ((), "", "no_answer", "none of 0 answers passed the filters", None),
        (
            ("billing", "delivery", "app"),
            "",
            "disagreement",
            "the commonest answer has a share of 0.33 < 0.5",
            1 / 3,
        ),
    ],
)
def test_the_vote_gives_an_answer_or_a_reason(
    answers: tuple[str, ...], output: str, dropped_by: str | None, reason: str | None, share: float | None
) -> None:
    (voted,) = vote(make_brief(agreement=0.5), [answered(*answers)])
    assert (voted.output, voted.dropped_by, voted.reason, voted.answers) == (output, dropped_by, reason, answers)
    assert voted.share == pytest.approx(share)


def test_in_free_text_the_answer_stays_as_it_is_and_ties_go_to_the_shortest() -> None:
    free = make_brief(labels=None)
    assert [c.output for c in vote(free, [answered("It is billing.", "billing")])] == ["billing"]
    assert [c.output for c in vote(free, [answered("It is billing.", "billing", "It is billing.")])] == [
        "It is billing."
    ]


def test_only_the_first_answers_that_pass_take_part() -> None:
    answers = ("Sure, no", "billing", "billing", "delivery", "delivery", "delivery")
    assert [c.output for c in vote(make_brief(output_keep=2), [answered(*answers)])] == ["billing"]
    assert [c.output for c in vote(make_brief(output_keep=5), [answered(*answers)])] == ["delivery"]


def test_a_vote_can_be_held_by_other_rules_than_the_settings() -> None:
    brief = make_brief(agreement=1.0, output_keep=1)
    answers = ("billing", "delivery", "delivery")
    assert vote(brief, [answered(*answers)], agreement=0.0, keep=3)[0].output == "delivery"
    assert vote(brief, [answered(*answers)], keep=3)[0].dropped_by == "disagreement"
    assert vote(brief, [answered(*answers)])[0].output == "billing"
    rule = vote_rule(brief, PROMPTS)
    assert (rule.keep, rule.agreement) == (1, 1.0)
    rule = vote_rule(brief, PROMPTS, agreement=0.0, keep=3)
    assert (rule.keep, rule.agreement, rule.passes("billing"), rule.passes("Sure, billing")) == (3, 0.0, True, False)


def test_answers_of_an_unusual_length_are_dropped_in_free_text_where_asked_for() -> None:
    examples = tuple(Example("q", "a" * size) for size in (10, 20, 30))
    long = answered("b" * 61)
    assert (
        vote(make_brief(labels=None, examples=examples, output_length_filter=True), [long])[0].dropped_by == "no_answer"
    )
    assert vote(make_brief(labels=None, examples=examples), [long])[0].output == "b" * 61
    # With labels, a long answer may hold one.
    assert vote(make_brief(examples=examples, output_length_filter=True), [answered("billing " * 9)])[0].kept


def test_what_was_dropped_before_does_not_vote() -> None:
    dropped = Candidate("r0.0", "x", dropped_by="noise", reason="why", answers=("billing",))
    assert vote(make_brief(), [dropped]) == [dropped]


@given(ANSWERS, st.integers(1, 12), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_a_vote_decided_early_is_the_whole_vote(script: list[str], keep: int, agreement: float) -> None:
    brief = make_brief(labels=None, output_keep=keep, agreement=agreement)
    engine = ScriptedEngine(lambda request, sample: script[sample])
    asked = [GenerationRequest(Prompt("x"), samples=12)]
    (early,) = sample_until_decided(asked, vote_rule(brief, PROMPTS), engine)
    assert early == script[: len(early)]
    decided, whole = vote(brief, [answered(*early), answered(*script)])
    assert decided.output == whole.output
    assert decided.kept == whole.kept


def labelled(labels: list[str]) -> list[Candidate]:
    return [Candidate(f"r0.{i}", f"case {i}", output=label) for i, label in enumerate(labels)]


@given(st.lists(st.sampled_from(["billing", "delivery", "app"]), max_size=40), st.lists(st.booleans(), min_size=40))
def test_balance_never_leaves_classes_of_unequal_size(labels: list[str], dropped: list[bool]) -> None:
    candidates = [
        c if not gone else Candidate(c.id, c.input, c.output, dropped_by="noise", reason="why")
        for c, gone in zip(labelled(labels), dropped, strict=False)
    ]
    balanced = balance(make_brief(labels=("billing", "delivery", "app")), candidates)
    before, after = (Counter(c.output for c in some if c.kept) for some in (candidates, balanced))
    assert len(set(after.values())) <= 1
    assert set(after) == set(before)
    assert not before or min(before.values()) == min(after.values())
    for old, new in zip(candidates, balanced, strict=True):
        assert new == old or (new.dropped_by, new.reason) == ("balance", f"more {old.output!r} than the rarest class")
        assert old.kept or new == old


@pytest.mark.parametrize("brief", [make_brief(balance=False), make_brief(labels=None)])
def test_nothing_is_balanced_in_free_text_or_where_that_is_off(brief: Brief) -> None:
    candidates = labelled(["billing", "billing", "delivery"])
    assert balance(brief, candidates) == candidates
