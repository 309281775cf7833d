from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.evaluation.shares import Share

SHARES = st.integers(1, 300).flatmap(lambda rows: st.builds(Share, st.integers(0, rows), st.just(rows)))


@pytest.mark.parametrize(
    ("share", "low", "high"),
    [
        (Share(81, 263), 25.53, 36.62),
        (Share(15, 148), 6.24, 16.05),
        (Share(0, 20), 0.0, 16.11),
        (Share(1, 29), 0.61, 17.18),
    ],
)
def test_wilsons_interval_is_that_of_newcombes_table(share: Share, low: float, high: float) -> None:
    found = share.interval
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        (Share(56, 70), Share(48, 80), 5.24, 33.39),
        (Share(9, 10), Share(3, 10), 17.05, 80.90),
        (Share(0, 10), Share(0, 20), -16.11, 27.75),
        (Share(10, 10), Share(0, 20), 67.91, 100.0),
    ],
)
def test_the_interval_of_a_difference_is_that_of_newcombes_table(
    one: Share, other: Share, low: float, high: float
) -> None:
    found = one.less(other)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)


@given(SHARES, SHARES)
def test_intervals_hold_their_values_and_differences_turn_round(one: Share, other: Share) -> None:
    for share in (one, other):
        own = share.interval
        assert 0 <= own.low <= own.value + 1e-9 and own.value <= own.high + 1e-9 <= 100 + 2e-9
    found, back = one.less(other), other.less(one)
    assert -100 - 1e-9 <= found.low <= found.value <= found.high <= 100 + 1e-9
    assert (found.value, found.low, found.high) == pytest.approx((-back.value, -back.high, -back.low))
