from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.data.two_parts import TwoParts, find_two_parts, names_in_all

WORDS = st.text("abcdef ,.", min_size=1).filter(str.strip)


@pytest.mark.parametrize(
    ("text", "names", "parts"),
    [
        ("Premise: It rains.\nHypothesis: It is wet.", ("Premise", "Hypothesis"), ("It rains.", "It is wet.")),
        ("sentence_A: One. sentence_B: Two.", ("sentence_A", "sentence_B"), ("One.", "Two.")),
        ("Sentence 1: One. Sentence 2: Two.", ("Sentence 1", "Sentence 2"), ("One.", "Two.")),
        ("claim : One\n perspective : Two", ("claim", "perspective"), ("One", "Two")),
    ],
)
def test_two_parts_are_found_by_their_names(text: str, names: tuple[str, str], parts: tuple[str, str]) -> None:
    found = find_two_parts([text] * 3)
    assert found == TwoParts(*names)
    assert found is not None and found.split(text) == parts


@pytest.mark.parametrize(
    "inputs",
    [
        ["The parcel came late."],
        ["Subject: late", "Subject: early"],
        ["a: 1 b: 2 c: 3"],
        ["one: x two: y", "two: y one: x"],
        ["one: x two: y", "no names here"],
        ["it is 10:30 and http://x"],
    ],
)
def test_inputs_that_do_not_have_just_two_parts(inputs: list[str]) -> None:
    assert find_two_parts(inputs) is None


def test_a_name_that_a_few_inputs_have_besides_is_none_of_the_parts() -> None:
    usual = ["Premise: x Hypothesis: y"] * 19
    assert find_two_parts([*usual, "Premise: he said: x Hypothesis: y"]) == TwoParts("Premise", "Hypothesis")


def test_an_input_without_the_parts_is_either_part() -> None:
    parts = TwoParts("Premise", "Hypothesis")
    for text in ("no names", "Premise: alone", "Hypothesis: first Premise: second"):
        assert parts.split(text) == (text, text)


@given(WORDS, WORDS)
def test_parts_are_whole(one: str, other: str) -> None:
    text = f"Premise: {one}\nHypothesis: {other}"
    assert TwoParts("Premise", "Hypothesis").split(text) == (one.strip(), other.strip())


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (["Fact: It rains.", "Fact: It is late. Source: me"], ("Fact",)),
        (["Premise: a\nHypothesis: b", "Hypothesis: b\nPremise: a"], ("Premise", "Hypothesis")),
        (["Premise: a\nHypothesis: b"], ()),
        (["It rains.", "Fact: It rains."], ()),
        ([], ()),
    ],
)
def test_the_names_that_all_inputs_have(inputs: list[str], names: tuple[str, ...]) -> None:
    assert names_in_all(inputs) == names
