from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core.errors import MetierError
from metier.core.records import Example
from metier.systems import replacements
from metier.systems.base import Material
from metier.systems.replacements import learn_replacements
from tests.systems.scripted import make_tools

PAIRS = [
    Example("we utilize the big tool", "we use the big tool"),
    Example("they utilize a tool", "they use a tool"),
    Example("he has commence to work", "he has begun to work"),
    Example("I am agree with you", "I agree with you"),
    Example("they am agree with it", "they agree with it"),
    Example("a big house", "a large house"),
    Example("a big dog", "a big dog"),
    Example("a big cat and a big town", "a large cat and a big town"),
]


def test_what_is_replaced_again_and_again_is_learnt_and_the_rest_is_not() -> None:
    learnt = learn_replacements(PAIRS)
    assert learnt.table[("utilize",)] == ("use",)
    assert ("commence",) not in learnt.table  # seen once
    assert ("big",) not in learnt.table  # more often left than replaced
    assert learnt.answer(["We   utilize it", "nothing  here"]).texts == ("We use it", "nothing  here")
    assert learnt.nbytes > 0


def test_a_deletion_is_a_replacement_by_nothing() -> None:
    assert learn_replacements(PAIRS).answer(["You am agree"]).texts == ("You agree",)


def test_the_longest_phrase_wins() -> None:
    pairs = [Example("in order to go", "to go")] * 3 + [Example("in the town", "at the town")] * 4
    assert learn_replacements(pairs).answer(["in order to see"]).texts == ("to see",)


def test_an_insertion_takes_its_neighbour_along() -> None:
    learnt = learn_replacements([Example("he goes school", "he goes to school")] * 2)
    assert learnt.answer(["she goes school"]).texts == ("she goes to school",)


def test_it_learns_from_labelled_rows_alone(tmp_path: Path) -> None:
    labelled = Material(None, labelled=tuple(PAIRS))
    assert replacements.learn(labelled, make_tools(tmp_path)).answer(["utilize it"]).texts == ("use it",)
    with pytest.raises(MetierError, match="no labelled pairs"):
        replacements.learn(Material(None, examples=tuple(PAIRS), synthetic=tuple(PAIRS)), make_tools(tmp_path))


def test_pairs_that_show_nothing_are_told() -> None:
    with pytest.raises(MetierError, match="no phrase"):
        learn_replacements([Example("same", "same"), Example("a b", "c d")])


@given(st.lists(st.tuples(st.text("ab ", max_size=8), st.text("ab ", max_size=8)), min_size=1, max_size=8))
def test_any_pairs_are_learnt_from_or_refused(raw: list[tuple[str, str]]) -> None:
    pairs = [Example(a, b) for a, b in raw]
    try:
        learnt = learn_replacements(pairs)
    except MetierError:
        return
    assert len(learnt.answer([p.input for p in pairs]).texts) == len(pairs)
