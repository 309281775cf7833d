from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core.records import Interval
from metier.report import words
from metier.report.facts import RunFacts

from .conftest import Make


def test_the_verdict_is_one_sentence_with_interval_and_rows(make: Make) -> None:
    assert words.verdict_sentence(make()) == (
        "Better: +12.3 points exact match over the best without it (prompted, few-shot), "
        "95% interval +6.1 to +18.4, on 150 rows."
    )


def test_a_verdict_that_is_not_better_says_to_keep_the_base(make: Make) -> None:
    unclear = make(gain=Interval(2.1, -3.9, 8.0), verdict="not shown to be better")
    worse = make(gain=Interval(-5.0, -9.0, -1.0), verdict="worse", test_rows=1)
    assert words.verdict_sentence(unclear).startswith("Not shown to be better: +2.1 points")
    assert words.verdict_sentence(worse).startswith("Worse: -5.0 points")
    assert "on 1 row." in words.verdict_sentence(worse)
    for facts in (unclear, worse):
        assert words.verdict_sentence(facts).endswith("Keep the base model.")


def test_without_a_verdict_the_sentence_says_why(make: Make, untested: RunFacts) -> None:
    assert "there is no test set" in words.verdict_sentence(untested)
    one_row = make(test_rows=1, baseline=None, gain=None, verdict=None)
    assert "too small for an interval" in words.verdict_sentence(one_row)


def test_a_system_that_is_not_beaten_qualifies_a_better(make: Make) -> None:
    import dataclasses

    systems = tuple(
        dataclasses.replace(s, gain=Interval(3.0, -0.5, 7.0)) if s.system == "majority" else s for s in make().systems
    )
    notes = words.caveats(make(systems=systems))
    assert notes[0] == "It is not shown to be better than: majority class (+3.0 [-0.5, +7.0])."
    assert "8.8 points" in notes[1]
    assert len(words.caveats(make())) == 1


def test_an_unknown_or_unbounded_detectable_gain_is_not_spoken_of(make: Make, untested: RunFacts) -> None:
    assert words.caveats(make(detectable=None)) == ()
    assert words.caveats(make(detectable=float("inf"))) == ()
    assert words.caveats(untested) == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [(12.34, "+12.3"), (-0.0, "0.0"), (0.0, "0.0"), (0.04, "+0.04"), (-0.012, "-0.01"), (-3.96, "-4.0")],
)
def test_points(value: float, text: str) -> None:
    assert words.points(value) == text


@given(st.floats(-100, 100, allow_nan=False))
def test_a_difference_keeps_its_sign_however_small(value: float) -> None:
    text = words.points(value)
    assert (text[0] == "+") == (value > 0)
    assert (text[0] == "-") == (value < 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.24, "4.2 s"),
        (9.97, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
        (float("nan"), "not known"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@given(st.text(alphabet=st.characters(categories=("L", "N", "Cc", "Cs", "Cn", "Zs"))))
def test_clean_text_can_always_be_written_and_shown(text: str) -> None:
    cleaned = words.clean(text)
    cleaned.encode("utf-8")
    assert not any(ord(c) < 32 and c not in "\n\t" for c in cleaned)


def test_long_text_is_cut_and_says_so() -> None:
    assert words.shorten("a" * 10, 4) == "aaaa… (6 more characters)"
    assert words.shorten("aaaa", 4) == "aaaa"
