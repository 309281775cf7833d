from __future__ import annotations

import pytest

from metier.core.records import Interval, SystemKind, Verdict
from metier.evaluation.better import Rival, best_rival, judge, largest_p


def rival(kind: SystemKind, score: float, p_value: float | None = 0.01) -> Rival:
    return Rival(f"{kind} {score}", kind, kind, score, Interval(5, 1, 9), p_value)


@pytest.mark.parametrize(
    ("gain", "p_value", "verdict"),
    [
        (Interval(5, 1, 9), 0.049, "better"),
        (Interval(5, 1, 9), 0.05, "not shown to be better"),  # one single test does not pass
        (Interval(5, 1, 9), None, "not shown to be better"),
        (Interval(5, 0, 9), 0.001, "not shown to be better"),
        (Interval(-5, -9, -1), 0.001, "worse"),
        (Interval(-5, -9, -1), 0.9, "worse"),  # the interval over the best alone decides
        (Interval(-5, -9, 0), 0.001, "not shown to be better"),
        (None, 0.001, None),
    ],
)
def test_a_verdict_needs_the_interval_and_every_single_test(
    gain: Interval | None, p_value: float | None, verdict: Verdict | None
) -> None:
    assert judge(gain, p_value) == verdict


def test_the_verdict_is_about_what_needs_no_model_or_the_same_one() -> None:
    rivals = [
        rival("constant", 50, 0.001),
        rival("prompted", 50, 0.03),
        rival("tuned", 40, None),
        rival("classic", 90, 0.8),
        rival("specialist", 95, 0.9),
    ]
    best = best_rival(rivals)
    assert best is not None and best.kind == "constant"  # of equals the plainer one
    assert largest_p(rivals) == 0.03
    assert best_rival(rivals[3:]) is None and largest_p(rivals[2:]) is None


def test_one_rival_is_beaten_by_the_same_standard() -> None:
    assert rival("classic", 1, 0.04).beaten and not rival("classic", 1, 0.06).beaten
