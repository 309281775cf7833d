from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.evaluation.power import DISAGREEING, detectable, rows_to_show
from metier.evaluation.scored import mean_of
from metier.evaluation.statistics import smallest_detectable_gain


def test_a_hundred_and_fifty_rows_show_ten_points_as_the_page_says() -> None:
    assert rows_to_show(10) == 150 and detectable(150) == pytest.approx(10, abs=0.05)


@given(st.floats(0.5, 100))
def test_the_rows_that_are_named_do_and_one_fewer_would_not(points: float) -> None:
    rows = rows_to_show(points)
    assert detectable(rows) <= points + 1e-9
    assert rows == 2 or detectable(rows - 1) > points - 1e-9


@given(st.integers(1, 5000))
def test_more_rows_show_smaller_differences(rows: int) -> None:
    assert 0 < detectable(rows + 1) < detectable(rows) < 100


@pytest.mark.parametrize("rows", [60, 150, 600])
def test_it_is_what_is_said_of_two_systems_that_disagree_so_often(rows: int) -> None:
    gain = detectable(rows) / 100
    wins, losses = round(rows * (DISAGREEING + gain) / 2), round(rows * (DISAGREEING - gain) / 2)
    before = np.array([0.0] * wins + [100.0] * losses + [100.0] * (rows - wins - losses))
    after = np.array([100.0] * wins + [0.0] * losses + [100.0] * (rows - wins - losses))
    told = smallest_detectable_gain(mean_of(after), mean_of(before))
    assert told == pytest.approx(100 * gain, rel=0.03)
