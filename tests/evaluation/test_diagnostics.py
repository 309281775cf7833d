from __future__ import annotations

import pytest

from metier.evaluation import diagnostics

from .made import answered

LABELS = ("a", "b", "c")


def test_confusion_and_label_facts_are_scikit_learns() -> None:
    wanted, given = ("a", "a", "b", "b", "b"), ("a", "b", "b", "what?", "B.")
    found = diagnostics.by_label(LABELS, wanted, answered("specialist", given))
    assert found.confusion == ((1, 1, 0, 0), (0, 2, 0, 1), (0, 0, 0, 0))
    facts = {f.label: f for f in found.labels}
    assert facts["b"].precision == pytest.approx(200 / 3) and facts["b"].recall == pytest.approx(200 / 3)
    assert (facts["c"].predicted, facts["c"].precision, facts["c"].f1) == (0, 0, 0)
    assert found.never_predicted == ("c",)
    assert found.reliability == () and found.calibration_error is None  # it gave no probabilities


def test_reliability_is_of_the_likeliest_label() -> None:
    sure = (
        (0.95, 0.05, 0.0),
        (0.0, 0.95, 0.05),
        (0.2, 0.55, 0.25),
        (0.0, 0.0, 1.0),
        (0.0, 0.0, 0.0),  # too long to be asked: no confidence, so no row of the figure
    )
    wanted = ("a", "a", "b", "c", "a")
    found = diagnostics.by_label(LABELS, wanted, answered("specialist", wanted, probabilities=sure))
    assert [(b.low, b.rows) for b in found.reliability] == [(0.5, 1), (0.9, 3)]
    assert found.reliability[1].accuracy == pytest.approx(2 / 3)
    assert found.calibration_error == pytest.approx(0.25 * 0.45 + 0.75 * abs(2.9 / 3 - 2 / 3))


def test_probabilities_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="longer than"):
        diagnostics.reliability(LABELS, ["a", "b"], [(1.0, 0.0, 0.0)])
