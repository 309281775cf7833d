"""An answer is cut in the same place whether it comes whole or in pieces."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.serving.cutting import Cutter, Limits

PIECES = st.lists(st.text("ab ", min_size=1, max_size=4), max_size=12)
STOPS = st.lists(st.text("ab ", min_size=1, max_size=3), max_size=3).map(tuple)


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


@given(pieces=PIECES, stops=STOPS, tokens=st.none() | st.integers(1, 6))
def test_pieces_are_cut_as_the_whole(pieces: list[str], stops: tuple[str, ...], tokens: int | None) -> None:
    limits = Limits(stops, tokens)
    whole, parts = Cutter(limits, words), Cutter(limits, words)
    expected = whole.whole("".join(pieces))
    assert "".join(parts.pieces(pieces)) == expected == parts.text
    assert not any(stop in expected for stop in stops)
    assert tokens is None or words([expected])[0] <= tokens
    assert "".join(pieces).startswith(expected)
    if parts.reason is None:
        assert expected == "".join(pieces)


@given(pieces=PIECES, stops=STOPS)
def test_what_was_told_is_not_taken_back(pieces: list[str], stops: tuple[str, ...]) -> None:
    told = ""
    cutter = Cutter(Limits(stops), words)
    for piece in cutter.pieces(pieces):
        told += piece
        assert cutter.text == told


@pytest.mark.parametrize(
    ("limits", "text", "reason"),
    [
        (Limits(("END",)), "one two ", "stop"),
        (Limits((), 2), "one two ", "length"),
        (Limits(("END",), 1), "one ", "length"),
        (Limits(("never",), 9), "one two END three", None),
    ],
)
def test_why_it_was_cut(limits: Limits, text: str, reason: str | None) -> None:
    cutter = Cutter(limits, words)
    assert (cutter.whole("one two END three"), cutter.reason) == (text, reason)


def test_the_rest_is_not_asked_for_once_it_is_cut() -> None:
    asked = []

    def pieces() -> object:
        for piece in ("a", "stop", "more"):
            asked.append(piece)
            yield piece

    assert list(Cutter(Limits(("stop",)), words).pieces(pieces())) == ["a"]  # type: ignore[arg-type]
    assert asked == ["a", "stop"]
