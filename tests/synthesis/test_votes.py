from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.engines.base import GenerationRequest
from metier.engines.prompts import Prompt
from metier.engines.transformers import TransformersEngine
from metier.synthesis.filters import majority_vote
from metier.synthesis.votes import VoteRule, decided, sample_until_decided
from tests.scripted import ScriptedEngine


def rule(keep: int, agreement: float) -> VoteRule:
    return VoteRule(keep, agreement, str.strip, bool)


@given(
    st.lists(st.lists(st.sampled_from(["a", "bb", "cc", "ddd", ""]), min_size=12, max_size=12), min_size=1, max_size=5),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_a_vote_that_stops_early_is_won_as_the_whole_one_is(
    scripts: list[list[str]], keep: int, agreement: float
) -> None:
    engine = ScriptedEngine(lambda request, sample: scripts[request.seed][sample])
    asked = [GenerationRequest(Prompt("x"), samples=12, seed=i) for i in range(len(scripts))]
    got = sample_until_decided(asked, rule(keep, agreement), engine)
    for texts, script in zip(got, scripts, strict=True):
        assert texts == script[: len(texts)]
        whole = [t for t in script if t][:keep]
        early = [t for t in texts if t][:keep]
        wanted = majority_vote(whole, agreement)[0] if whole else None
        assert (majority_vote(early, agreement)[0] if early else None) == wanted


def test_a_unanimous_vote_takes_six_samples_of_twenty() -> None:
    scripts = [["yes"] * 20, ["", "yes"] * 10]
    engine = ScriptedEngine(lambda request, sample: scripts[request.seed][sample])
    asked = [GenerationRequest(Prompt("x"), samples=20, seed=i) for i in range(2)]
    got = sample_until_decided(asked, rule(10, 0.3), engine)
    assert [len(texts) for texts in got] == [6, 13]
    # A wave draws no more than the vote still lacks, and what is decided is not asked again.
    assert [(r.seed, r.first_sample, r.samples) for r in engine.generated] == [
        (0, 0, 6),
        (1, 0, 6),
        (1, 6, 7),
    ]


@pytest.mark.parametrize(
    ("texts", "keep", "agreement", "over"),
    [
        ([], 3, 0.0, False),
        (["a", "a"], 3, 0.0, True),
        (["a", "b"], 3, 0.0, False),
        (["a", "a", "b"], 4, 0.0, False),  # a tie could go to the shorter
        (["a", "a", "a", "b"], 5, 0.0, True),
        (["a", "a"], 3, 0.9, False),  # leads, but may yet fall short of the agreement
        (["a", "b", "c"], 3, 1.0, True),  # all have voted
        (["", "", "a"], 2, 0.0, False),  # what does not pass takes no part
        (["a", "a", "b", "b", "b"], 2, 0.0, True),  # what comes later takes none either
    ],
)
def test_a_vote_is_decided_when_nothing_to_come_can_change_it(
    texts: list[str], keep: int, agreement: float, over: bool
) -> None:
    assert decided(texts, rule(keep, agreement)) is over


def test_later_samples_are_what_they_would_have_been_in_one_call(tiny_model: Path) -> None:
    engine = TransformersEngine(tiny_model, dtype="float32")
    whole = GenerationRequest(Prompt("the parcel"), samples=7, max_tokens=9, temperature=1.0, seed=3)
    parts = [dataclasses.replace(whole, samples=4), dataclasses.replace(whole, samples=3, first_sample=4)]
    texts = [g.texts for g in engine.generate(parts)]
    assert texts[0] + texts[1] == engine.generate([whole])[0].texts
