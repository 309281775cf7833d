from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.report import words


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
        (0.0, "0.0 s"),
        (1.1e-5, "11 µs"),
        (0.002, "2.0 ms"),
        (0.049, "49 ms"),
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


@given(st.floats(1e-9, 1e6))
def test_a_time_that_is_not_nothing_is_never_told_as_nothing(seconds: float) -> None:
    assert not re.match(r"0(\.0)? ", words.duration(seconds)) and not re.match(r"0(\.0)? ", words.brief(seconds))


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(1, "1 byte"), (350, "350 bytes"), (4_800, "4.8 kB"), (9_970, "10 kB"), (350_000_000, "350 MB"), (16e8, "1.6 GB")],
)
def test_size(size_bytes: int, text: str) -> None:
    assert words.size(size_bytes) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.041, "0.041"), (0.996, "1.0"), (9.53, "9.5"), (99.96, "100"), (12_345.6, "12,346")],
)
def test_rate(value: float, text: str) -> None:
    assert words.rate(value) == text


@given(st.text(alphabet=st.characters(categories=("L", "N", "Cc", "Cs", "Cn", "Zs"))))
def test_clean_text_can_always_be_written_and_shown(text: str) -> None:
    cleaned = words.clean(text)
    cleaned.encode("utf-8")
    assert not any(ord(c) < 32 and c not in "\n\t" for c in cleaned)


def test_long_text_is_cut_and_says_so() -> None:
    assert words.shorten("a" * 10, 4) == "aaaa… (6 more characters)"
    assert words.shorten("aaaa", 4) == "aaaa"


def test_a_list_in_words() -> None:
    said = [words.listed(parts) for parts in ([], ["a"], ["a", "b"], ["a", "b", "c"])]
    assert said == ["", "a", "a and b", "a, b and c"]
