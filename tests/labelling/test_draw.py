from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.core.errors import UserError
from metier.labelling.draw import (
    CANDIDATES,
    RANDOM,
    UNCERTAIN,
    Question,
    answered_sentence,
    draw,
    least_sure,
    questions,
)

SIZES = st.tuples(st.integers(1, 60), st.integers(2, 80), st.integers(0, 9))


@given(SIZES)
def test_half_are_random_and_the_others_are_sought_among_the_rest(sizes: tuple[int, int, int]) -> None:
    rows, several, seed = sizes
    drawn = draw(rows, several, seed)
    assert draw(rows, several, seed) == drawn
    assert len(drawn.random) + drawn.others == min(rows, several)
    assert len(drawn.random) == (rows if several >= rows else (several + 1) // 2)
    assert not set(drawn.random) & set(drawn.candidates)
    assert {*drawn.random, *drawn.candidates} == set(range(rows)) and len(drawn.candidates) >= drawn.others


@given(SIZES, st.integers(0, 40))
def test_a_larger_draw_holds_the_random_rows_of_a_smaller_one(sizes: tuple[int, int, int], more: int) -> None:
    rows, several, seed = sizes
    few, many = draw(rows, several, seed).random, draw(rows, several + more, seed).random
    assert many[: len(few)] == few


def test_a_random_row_is_any_row_as_often() -> None:
    times = [0] * 10
    for seed in range(2000):
        for place in draw(10, 6, seed).random:
            times[place] += 1
    assert all(500 < several < 700 for several in times)


def test_candidates_of_a_large_file_are_some_of_it_or_as_many_as_are_wanted() -> None:
    assert len(draw(CANDIDATES * 3, 40, 0).candidates) == CANDIDATES
    assert len(draw(CANDIDATES * 6, CANDIDATES * 4, 0).candidates) == CANDIDATES * 2


@given(SIZES, st.data())
def test_the_least_sure_are_chosen_and_what_could_not_be_asked_is_not(
    sizes: tuple[int, int, int], data: st.DataObject
) -> None:
    drawn = draw(*sizes)
    share = st.none() | st.floats(0, 1)
    sure = {place: data.draw(share) for place in drawn.candidates}
    chosen = least_sure(drawn, sure)
    asked = sorted(value for value in sure.values() if value is not None)
    assert [sure[i] for i in chosen] == asked[: drawn.others]
    assert len(set(chosen)) == len(chosen) and set(chosen) <= set(drawn.candidates)


@given(SIZES, st.data())
def test_random_rows_do_not_depend_on_what_else_is_chosen(sizes: tuple[int, int, int], data: st.DataObject) -> None:
    rows, several, seed = sizes
    inputs = [f"row {i}" for i in range(rows)]
    drawn = draw(rows, several, seed)
    chosen = data.draw(st.permutations(drawn.candidates))[: drawn.others]
    asked = questions(inputs, drawn, chosen, UNCERTAIN)
    assert [q.input for q in asked if q.part == RANDOM] == [inputs[i] for i in drawn.random]
    assert [q.input for q in asked if q.part == UNCERTAIN] == [inputs[i] for i in chosen]
    if several < rows:
        first = [q.part for q in asked[: 2 * len(chosen)]]
        assert first == [RANDOM, UNCERTAIN] * len(chosen), "whoever stops early has answered both"


def test_one_row_is_no_two_halves() -> None:
    with pytest.raises(UserError, match="--rows: 1 are too few"):
        draw(10, 1, 0)


def test_how_many_are_answered_is_said_by_part() -> None:
    asked = [Question("a", RANDOM), Question("b", UNCERTAIN), Question("c", RANDOM)]
    assert answered_sentence(asked, asked[:1]) == "Answered: 1 of 2 random rows, 0 of 1 uncertain row."
