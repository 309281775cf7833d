"""Rows taken in turn: each text gets its best, whatever the others have around them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from metier.selection.turns import in_turn


def test_texts_take_turns_and_a_taken_row_is_passed_over() -> None:
    alike = np.array([[0.9, 0.8, 0.1, 0.0], [0.7, 0.6, 0.2, 0.3]], np.float32)
    assert list(in_turn(alike)) == [0, 1, 2, 3]
    assert list(in_turn(alike[::-1])) == [0, 1, 3, 2]


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 30)), elements=st.floats(-1, 1, width=32)))
def test_every_row_comes_once_and_every_text_takes_the_best_that_is_left(alike: np.ndarray) -> None:
    order = list(in_turn(alike))
    assert sorted(order) == list(range(alike.shape[1]))
    for turn, row in enumerate(order):
        left = order[turn:]
        assert alike[turn % len(alike), row] == max(alike[turn % len(alike), other] for other in left)
