from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core.records import Example
from metier.engines.prompts import PromptFormat, Style
from metier.training.edits import changed_spans, weights
from metier.training.examples import encode_examples


@pytest.mark.parametrize(
    ("source", "target", "changed"),
    [
        ("he go home now", "he goes home now", ["goes"]),
        ("he go home now", "he go home now", []),
        ("he goes now home", "he goes home", ["home"]),  # what follows the word that was left out
        ("go home now soon", "go home now", [""]),  # the end
        ("he home", "he goes right home", ["goes right"]),
        ("all is well here", "nothing at all like this was ever said", []),  # no rewriting
        ("He came late , sadly .", "He came late.", ["."]),
    ],
)
def test_what_is_changed(source: str, target: str, changed: list[str]) -> None:
    assert [target[begin:end] for begin, end in changed_spans(source, target)] == changed


@given(st.text("ab .", max_size=30), st.text("ab .", max_size=30))
def test_spans_lie_in_the_target_or_behind_it(source: str, target: str) -> None:
    for begin, end in changed_spans(source, target):
        assert 0 <= begin < end <= len(target) + 1


def test_a_token_that_touches_a_change_has_the_weight() -> None:
    assert weights([(3, 7), (12, 13)], [(0, 2), (2, 5), (5, 7), (7, 12), (12, 13)], 3.0) == [1, 3, 3, 1, 3]


@pytest.mark.parametrize("style", ["chat", "plain"])
def test_encoded_examples_weigh_the_words_that_change(tiny_model: Path, style: Style) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model))
    prompts = PromptFormat(tokenizer, style)
    pairs = [Example("he go home", "he goes home"), Example("same", "same")]
    (first, second), _ = encode_examples(pairs, "Mend it.", (), prompts, max_length=512, edit_weight=3.0)
    heavy = [i for i, w in zip(first.input_ids, first.weights, strict=True) if w == 3.0]
    assert tokenizer.decode(heavy).strip() == "goes"
    assert set(second.weights) == {1.0} and len(second.weights) == len(second.labels)
    assert all(w == 1 for w, label in zip(first.weights, first.labels, strict=True) if label == -100)
    (plain, _), _ = encode_examples(pairs, "Mend it.", (), prompts, max_length=512)
    assert plain.weights == () and plain.input_ids == first.input_ids
