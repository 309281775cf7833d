"""What becomes of sentences, with answers chosen here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.rewriting.diff import plain_diff, word_diff
from metier.rewriting.rewrite import Proposal, rewrite


class Scripted:
    """Answers sentences by a function, and remembers how many it was asked."""

    def __init__(self, answer: Callable[[str], str], *, finished: bool = True) -> None:
        self._answer, self._finished = answer, finished
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> list[Proposal]:
        self.asked += texts
        return [Proposal(self._answer(text), self._finished) for text in texts]


def test_a_better_sentence_takes_the_place() -> None:
    scripted = Scripted(lambda text: text.replace("bad", "good"))
    found = rewrite(["a bad one", "fine as it is", "a bad one"], scripted)
    assert [r.after for r in found] == ["a good one", "fine as it is", "a good one"]
    assert [r.changed for r in found] == [True, False, True]
    assert scripted.asked == ["a bad one", "fine as it is"], "the same sentence once"


@pytest.mark.parametrize(
    ("answer", "finished", "told"),
    [
        ("", True, "there is no answer to it"),
        ("It was said", False, "the model did not finish it"),
        ("go on and on go on and on go on and on", True, "it repeats itself"),
    ],
)
def test_an_answer_that_is_empty_cut_off_or_loops_changes_nothing(answer: str, finished: bool, told: str) -> None:
    (found,) = rewrite(["It was said here."], Scripted(lambda text: answer, finished=finished))
    assert (found.after, found.reason) == ("It was said here.", told)


def test_an_unchanged_sentence_needs_no_reason_even_where_it_is_as_long_as_answers_may_be() -> None:
    (found,) = rewrite(["It is so."], Scripted(lambda text: text, finished=False))
    assert (found.changed, found.reason) == (False, None)


def test_progress_counts_sentences_asked_for_once() -> None:
    told: list[int] = []
    rewrite([f"line {i % 100}" for i in range(300)], Scripted(lambda text: text), lambda done, _: told.append(done))
    assert told == [64, 100]


def test_only_the_spaces_of_a_wrapped_sentence_are_no_change() -> None:
    (found,) = rewrite(["It is\nwrapped  here."], Scripted(lambda text: text))
    assert found.after == "It is\nwrapped  here."


def test_a_diff_in_marks() -> None:
    assert plain_diff("He go home.", "He goes home now.") == "He [-go-]{+goes+} home{+ now+}."
    assert plain_diff("same", "same") == "same"


@given(before=st.text("ab .\n", max_size=30), after=st.text("ab .\n", max_size=30))
def test_a_diff_holds_both_texts(before: str, after: str) -> None:
    parts = word_diff(before, after)
    assert "".join(text for kind, text in parts if kind != "new") == before
    assert "".join(text for kind, text in parts if kind != "gone") == after
