from __future__ import annotations

import pytest

from metier.core.records import Candidate, Example
from metier.synthesis.checks import answer_checks, filter_inputs, input_limits
from tests.scripted import make_brief

# 10, 20 and 30 characters.
THREE = tuple(Example(letter * size, "billing") for letter, size in (("a", 10), ("b", 20), ("c", 30)))


def test_every_filter_gives_its_reason_and_the_first_one_that_does_decides() -> None:
    texts = {
        "": ("empty", "nothing but white space or punctuation"),
        "...": ("empty", "nothing but white space or punctuation"),  # too short as well
        "Sure, " + "d" * 90: ("length", "96 characters, outside 5 to 60"),  # noise as well
        "Sure, my box is here": ("noise", "holds 'sure,'"),
        "A" * 10: ("duplicate", "the same as an earlier one"),  # an example's input
        "a box came late": (None, None),
        "A box  came late": ("duplicate", "the same as an earlier one"),
    }
    candidates = [Candidate(f"r0.{i}", text) for i, text in enumerate(texts)]
    candidates.append(Candidate("r0.7", "", dropped_by="cut_off", reason="why"))
    filtered = filter_inputs(make_brief(examples=THREE), candidates)
    assert [(c.dropped_by, c.reason) for c in filtered[:-1]] == list(texts.values())
    assert [(c.id, c.input) for c in filtered] == [(c.id, c.input) for c in candidates]
    assert filtered[-1] == candidates[-1]


def test_a_dropped_text_does_not_make_later_ones_duplicates() -> None:
    noisy = Candidate("r0.0", "Sure, my box is here")
    again = Candidate("r0.1", "Sure, my box is here")
    assert [c.dropped_by for c in filter_inputs(make_brief(), [noisy, again])] == ["noise", "noise"]


def test_filters_can_be_turned_off() -> None:
    candidates = [Candidate("r0.0", "Sure, " + "d" * 90)]
    off = make_brief(examples=THREE, input_length_filter=False, noise_filter=False)
    assert filter_inputs(off, candidates) == candidates


def test_near_duplicates_are_dropped_where_a_threshold_is_given() -> None:
    long = (Example("a box " * 9, "delivery"),)
    near = make_brief(examples=long, near_duplicates=0.7)
    candidates = [
        Candidate("r0.0", "the parcel that I ordered on Monday has not come to my house"),
        Candidate("r0.1", "the parcel that I ordered on Monday has not come to my flat"),
    ]
    assert [c.dropped_by for c in filter_inputs(near, candidates)] == [
        None,
        "duplicate",
    ]
    assert [c.dropped_by for c in filter_inputs(make_brief(examples=long), candidates)] == [None, None]


def test_self_guide_has_a_noise_list_and_length_limits_of_its_own() -> None:
    texts = {
        "Sure, a box is here": (None, "noise"),
        "Absolutely! A box": ("noise", None),
        "a box, no input": ("noise", None),
        "...": ("empty", "empty"),
        "d" * 36: ("length", None),
        "e" * 61: ("length", "length"),
        "f" * 4: (None, "length"),
        "A" * 10: ("duplicate", "duplicate"),
    }
    candidates = [Candidate(f"r0.{i}", text) for i, text in enumerate(texts)]
    both = [
        filter_inputs(make_brief(examples=THREE, method=method), candidates) for method in ("self-guide", "backward")
    ]
    assert [(one.dropped_by, other.dropped_by) for one, other in zip(*both, strict=True)] == list(texts.values())


def test_every_method_has_length_limits_of_its_own() -> None:
    assert input_limits(make_brief(method="backward", examples=THREE[:2])) == (5, 40)
    assert input_limits(make_brief(method="self-guide", examples=THREE[:2])) == (5, 24)
    assert input_limits(make_brief(method="self-guide", examples=THREE, input_length_filter=False)) is None


@pytest.mark.parametrize(
    ("method", "passing"), [("self-guide", [True, False, False]), ("backward", [False, True, True])]
)
def test_answers_go_through_the_filters_of_the_method_too(method: str, passing: list[bool]) -> None:
    checks = answer_checks(make_brief(method=method))
    texts = ["here is: billing", "Hence billing", "the output billing"]
    assert [all(check(text) is None for check in checks) for text in texts] == passing


def test_an_input_has_the_parts_that_all_examples_have() -> None:
    examples = tuple(Example(f"Premise: a {word}\nHypothesis: {word} is here", "billing") for word in ("dog", "cat"))
    texts = {
        "Premise: a cow\nHypothesis: cow is there": None,
        "Premise: a cow, and a hypothesis of it": "has no 'Hypothesis:', as all examples have",
        "a cow\nHypothesis: cow is there": "has no 'Premise:', as all examples have",
    }
    candidates = [Candidate(f"r0.{i}", text) for i, text in enumerate(texts)]
    found = filter_inputs(make_brief(examples=examples, method="backward"), candidates)
    assert [c.reason for c in found] == list(texts.values())
    assert {c.dropped_by for c in found} == {None, "form"}
    of_one = filter_inputs(make_brief(examples=examples[:1], method="backward"), candidates)
    published = filter_inputs(make_brief(examples=examples, method="self-guide"), candidates)
    assert "form" not in {c.dropped_by for c in (*of_one, *published)}
