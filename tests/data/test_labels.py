from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.data.labels import last_label


@pytest.mark.parametrize(
    ("text", "labels", "found"),
    [
        ("positive", ("positive", "negative"), "positive"),
        ("The answer is Negative.", ("positive", "negative"), "negative"),
        ("positive? no: negative", ("positive", "negative"), "negative"),
        ("it is not positive", ("positive", "not positive"), "not positive"),
        ("positive", ("positive", "not positive"), "positive"),
        ("I do not know", ("yes", "no"), None),
        ("10", ("1", "0"), None),
        ("choice 1.", ("1", "2"), "1"),
        ("B_entails_A", ("B_entails_A", "B_neutral_A"), "B_entails_A"),
        ("", ("a", "b"), None),
        ("C++ it is", ("C", "C++"), "C++"),
    ],
)
def test_the_last_label_is_found(text: str, labels: tuple[str, ...], found: str | None) -> None:
    assert last_label(text, labels) == found


@given(st.text(), st.lists(st.text(min_size=1).filter(lambda t: t.strip()), min_size=1, max_size=4))
def test_what_is_found_is_a_label_that_is_there(text: str, labels: list[str]) -> None:
    found = last_label(text, labels)
    assert found is None or found in labels


@given(st.sampled_from(["billing", "returns", "not positive"]), st.text(alphabet=" .,!?", max_size=5))
def test_a_label_among_punctuation_is_found(label: str, around: str) -> None:
    assert last_label(f"{around} {label}{around}", ("billing", "returns", "not positive", "positive")) == label
