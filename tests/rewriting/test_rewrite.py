"""With a scripted engine, since what a model returns must be chosen here; the real model is in test_rewrite_command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.engines.base import EngineStats, Generation, GenerationRequest, Scores, ScoringRequest
from metier.engines.prompts import PromptFormat
from metier.rewriting.diff import plain_diff, word_diff
from metier.rewriting.rewrite import rewrite


class Scripted:
    """Answers a prompt's input by a function, and finds one continuation likelier than the other by another."""

    def __init__(self, answer: Callable[[str], tuple[str, bool]], prefers_change: bool = True) -> None:
        self._answer = answer
        self._prefers = prefers_change
        self.stats = EngineStats()
        self.asked = 0
        self.context_length = 200

    def generate(self, requests: Sequence[GenerationRequest], progress: object = None) -> list[Generation]:
        self.asked += len(requests)
        made = [self._answer(r.prompt.text[r.prompt.shared :].removesuffix("\nOutput:")) for r in requests]
        return [Generation((text,), (ended,)) for text, ended in made]

    def score(self, requests: Sequence[ScoringRequest], progress: object = None) -> list[Scores]:
        return [Scores((-2.0, -1.0 if self._prefers else -3.0), (3, 3)) for _ in requests]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


@pytest.fixture
def prompts(tiny_base_model: Path) -> PromptFormat:
    from transformers import AutoTokenizer

    return PromptFormat(AutoTokenizer.from_pretrained(str(tiny_base_model)), "plain")


def test_a_better_sentence_takes_the_place(prompts: PromptFormat) -> None:
    engine = Scripted(lambda text: (text.replace("bad", "good"), True))
    found = rewrite(["a bad one", "fine as it is", "a bad one"], "Mend it.", engine, prompts)
    assert [r.after for r in found] == ["a good one", "fine as it is", "a good one"]
    assert [r.changed for r in found] == [True, False, True] and engine.asked == 2  # the same sentence once


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda text: ("", True), "the model returned nothing"),
        (lambda text: ("a b c d a b c d a b c d a b c d", False), "the model did not finish it"),
        (lambda text: ("go on and on go on and on go on and on", True), "it repeats itself"),
    ],
)
def test_a_model_that_returns_nothing_or_loops_changes_nothing(
    prompts: PromptFormat, answer: Callable[[str], tuple[str, bool]], told: str
) -> None:
    (found,) = rewrite(["It was said here."], "Mend it.", Scripted(answer), prompts)
    assert (found.after, found.reason) == ("It was said here.", told)


def test_a_change_the_model_itself_finds_less_likely_is_not_made(prompts: PromptFormat) -> None:
    engine = Scripted(lambda text: (text + " indeed", True), prefers_change=False)
    (found,) = rewrite(["It is so."], "Mend it.", engine, prompts)
    assert (found.changed, found.reason) == (False, "the original is more likely")


def test_what_does_not_fit_the_model_is_not_asked(prompts: PromptFormat) -> None:
    engine = Scripted(lambda text: (text.upper(), True))
    long = "word " * 10_000
    found = rewrite([long, "many words here " * 25], "Mend it.", engine, prompts)
    assert [r.reason for r in found] == ["it is too long for the model"] * 2
    assert found[0].after == long and engine.asked == 0


def test_only_the_spaces_of_a_wrapped_sentence_are_no_change(prompts: PromptFormat) -> None:
    (found,) = rewrite(["It is\nwrapped  here."], "Mend it.", Scripted(lambda text: (text, True)), prompts)
    assert found.after == "It is\nwrapped  here."


def test_a_diff_in_marks() -> None:
    assert plain_diff("He go home.", "He goes home now.") == "He [-go-]{+goes+} home{+ now+}."
    assert plain_diff("same", "same") == "same"


@given(before=st.text("ab .\n", max_size=30), after=st.text("ab .\n", max_size=30))
def test_a_diff_holds_both_texts(before: str, after: str) -> None:
    parts = word_diff(before, after)
    assert "".join(text for kind, text in parts if kind != "new") == before
    assert "".join(text for kind, text in parts if kind != "gone") == after
