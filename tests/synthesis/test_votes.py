from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from metier.engines.base import Generation, GenerationRequest
from metier.engines.prompts import Prompt
from metier.engines.transformers import TransformersEngine
from metier.synthesis.filters import majority_vote
from metier.synthesis.votes import VoteRule, sample_until_decided


class Scripted:
    """Stands for an engine whose samples are known; what is tested is which of them are asked for."""

    def __init__(self, scripts: Sequence[Sequence[str]]) -> None:
        self.scripts = scripts
        self.asked = 0

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        out = []
        for r in requests:
            texts = self.scripts[r.seed][r.first_sample : r.first_sample + r.samples]
            assert len(texts) == r.samples
            self.asked += len(texts)
            out.append(Generation(tuple(texts), (True,) * len(texts)))
        return out


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
    engine: Any = Scripted(scripts)
    asked = [GenerationRequest(Prompt("x"), samples=12, seed=i) for i in range(len(scripts))]
    got = sample_until_decided(asked, rule(keep, agreement), engine)
    for texts, script in zip(got, scripts, strict=True):
        assert texts == script[: len(texts)]
        whole = [t for t in script if t][:keep]
        early = [t for t in texts if t][:keep]
        wanted = majority_vote(whole, agreement)[0] if whole else None
        assert (majority_vote(early, agreement)[0] if early else None) == wanted


def test_a_vote_of_one_mind_takes_six_samples_of_twenty() -> None:
    engine: Any = Scripted([["yes"] * 20, ["", "yes"] * 10])
    asked = [GenerationRequest(Prompt("x"), samples=20, seed=i) for i in range(2)]
    got = sample_until_decided(asked, rule(10, 0.3), engine)
    assert [len(texts) for texts in got] == [6, 13]


def test_later_samples_are_what_they_would_have_been_in_one_call(tiny_model: Path) -> None:
    engine = TransformersEngine(tiny_model, dtype="float32")
    whole = GenerationRequest(Prompt("the parcel"), samples=7, max_tokens=9, temperature=1.0, seed=3)
    parts = [dataclasses.replace(whole, samples=4), dataclasses.replace(whole, samples=3, first_sample=4)]
    texts = [g.texts for g in engine.generate(parts)]
    assert texts[0] + texts[1] == engine.generate([whole])[0].texts
