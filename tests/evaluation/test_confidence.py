"""Temperatures, what is said of them, and thresholds, against other libraries and on simulated classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss

from metier.core.errors import UserError
from metier.evaluation.confidence import (
    cross_fitted,
    find_threshold,
    fit_confidence,
    lower_bound,
    tempered,
)


def simulated(rows: int, seed: int, temperature: float = 1.0, spread: float = 2.0) -> tuple[Any, list[int]]:
    """Return a classifier's probabilities over three labels, and the right ones.

    The right ones are drawn from the true probabilities; what is returned are these as they would be stated by a
    classifier that has to be divided by ``temperature`` to be right.
    """
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=spread, size=(rows, 3))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = [int(rng.choice(3, p=row)) for row in true]
    stated = np.exp(logits * temperature)
    return stated / stated.sum(axis=1, keepdims=True), right


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    # Logits of spread 1, so that no probability is below what is taken for a rounded zero.
    found = fit_confidence(*simulated(4000, 1, temperature, spread=1.0), 0)
    assert found.temperature == pytest.approx(temperature, rel=0.1)
    assert found.rows == 4000


def test_a_temperature_makes_an_overconfident_classifier_calibrated() -> None:
    probabilities, right = simulated(4000, 2, temperature=4.0, spread=1.0)
    sure, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == right
    assert sure.mean() - hit.mean() > 0.15, "as it states them, it is far too sure"
    found = fit_confidence(probabilities, right, 0)
    assert found.calibration_error < 0.04
    assert cross_fitted(probabilities, right, 0).max(axis=1).mean() == pytest.approx(hit.mean(), abs=0.02)


def test_brier_is_scikit_learns_on_the_cross_fitted_probabilities() -> None:
    probabilities, right = simulated(300, 3, temperature=2.0)
    fitted = cross_fitted(probabilities, right, 5)
    by_label = [brier_score_loss(np.array(right) == label, fitted[:, label]) for label in range(3)]
    assert fit_confidence(probabilities, right, 5).brier == pytest.approx(sum(by_label))


def test_the_calibration_error_is_what_it_is_by_hand() -> None:
    probabilities, right = simulated(60, 4)
    fitted = cross_fitted(probabilities, right, 5)
    expected = 0.0
    for low in np.arange(10) / 10:
        rows = [(max(row), int(row.argmax()) == r) for row, r in zip(fitted, right, strict=True)]
        own = [(sure, hit) for sure, hit in rows if low <= sure < low + 0.1 - 1e-12]
        if own:
            gap = sum(hit for _, hit in own) / len(own) - sum(sure for sure, _ in own) / len(own)
            expected += len(own) / 60 * abs(gap)
    assert expected > 0
    assert fit_confidence(probabilities, right, 5).calibration_error == pytest.approx(expected)


def test_no_row_is_judged_with_a_temperature_that_it_had_part_in() -> None:
    probabilities, right = simulated(50, 6)
    before = cross_fitted(probabilities, right, 5)
    for row in range(0, 50, 10):
        changed = list(right)
        changed[row] = (right[row] + 1) % 3
        after = cross_fitted(probabilities, changed, 5)
        assert np.array_equal(after[row], before[row]), "its own right label changed, and with it its probabilities"
        assert not np.array_equal(after, before), "it has part in those of other folds"


SHARES = st.lists(st.floats(0.001, 1), min_size=2, max_size=6).map(lambda s: tuple(v / sum(s) for v in s))


@given(shares=SHARES, temperature=st.floats(0.05, 20))
def test_tempered_probabilities_are_a_distribution_in_the_same_order(
    shares: tuple[float, ...], temperature: float
) -> None:
    found = tempered(shares, temperature)
    assert sum(found) == pytest.approx(1, abs=len(shares) * 1e-6)
    for i, one in enumerate(shares):
        for k, other in enumerate(shares):
            assert one <= other or found[i] >= found[k]


def test_a_row_that_was_not_asked_stays_zeros_and_a_temperature_of_1_changes_nothing() -> None:
    assert tempered((0.0, 0.0, 0.0), 2.0) == (0.0, 0.0, 0.0)
    assert tempered((0.7, 0.2, 0.1), 1.0) == (0.7, 0.2, 0.1)


@settings(deadline=None)
@given(rows=st.integers(1, 500), share=st.floats(0, 1))
def test_the_lower_bound_is_scipys_exact_one(rows: int, share: float) -> None:
    right = round(rows * share)
    # A one-sided bound of 95% is the lower end of a two-sided interval of 90%.
    exact = binomtest(right, rows).proportion_ci(0.9, method="exact").low
    assert lower_bound(right, rows) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize(("rows", "state"), [(50, "provisional"), (199, "provisional"), (200, "firm")])
def test_few_rows_make_a_threshold_provisional(rows: int, state: str) -> None:
    assert find_threshold(*simulated(rows, 7), 0.8).state == state


def test_too_few_rows_promise_nothing() -> None:
    with pytest.raises(UserError, match="49 test rows are too few") as caught:
        find_threshold(*simulated(49, 7), 0.8)
    assert caught.value.hint == "use at least 50"


def test_where_nothing_is_enough_the_threshold_is_above_every_probability() -> None:
    rng = np.random.default_rng(8)
    probabilities = rng.dirichlet([1, 1, 1], 300)
    found = find_threshold(probabilities.tolist(), rng.integers(0, 3, 300).tolist(), 0.9)
    assert found.threshold > 1 and (found.answered, found.right, found.lower) == (0, 0, 0)


@pytest.mark.parametrize("accuracy", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_a_classifier_that_is_always_right_answers_everything(accuracy: float) -> None:
    probabilities, _ = simulated(1000, 9)
    found = find_threshold(probabilities, probabilities.argmax(axis=1).tolist(), accuracy)
    assert (found.answered, found.right) == (1, 1), "no accuracy is too high for one that makes no mistake"
    assert found.lower >= accuracy and found.threshold <= 1


def test_fifty_rows_without_a_mistake_promise_90_percent_and_cannot_promise_99() -> None:
    probabilities, _ = simulated(50, 10)
    right = probabilities.argmax(axis=1).tolist()
    assert find_threshold(probabilities, right, 0.9).answered == 1
    assert find_threshold(probabilities, right, 0.99).threshold > 1, "that takes 299 rows"


def test_a_higher_accuracy_is_answered_more_rarely() -> None:
    probabilities, right = simulated(2000, 11, temperature=2.0)
    found = [find_threshold(probabilities, right, accuracy) for accuracy in (0.75, 0.85, 0.95)]
    assert 1 > found[0].answered > found[1].answered > found[2].answered > 0.1
    assert found[0].threshold < found[1].threshold < found[2].threshold < 1
    for one in found:
        assert one.lower >= one.accuracy and one.right > one.lower


def test_rows_that_are_as_sure_are_answered_together() -> None:
    # Two kinds of rows: 100 sure and right, 100 less sure and mostly wrong.
    probabilities = [[0.9, 0.1]] * 100 + [[0.6, 0.4]] * 100
    right = [0] * 100 + [1] * 80 + [0] * 20
    fitted = cross_fitted(probabilities, right, 0)
    found = find_threshold(probabilities, right, 0.8)
    assert found.answered <= 0.5 and found.right == 1
    assert found.threshold >= fitted[100:].max(), "none of the less sure ones is let through"


@pytest.mark.parametrize(("accuracy", "spread"), [(0.8, 2.0), (0.9, 3.0)])
def test_the_promised_accuracy_holds_on_fresh_rows(accuracy: float, spread: float) -> None:
    fresh, fresh_right = simulated(20_000, 12, 2.0, spread)
    kept_promise, promised = 0, 0
    for seed in range(100):
        probabilities, right = simulated(250, 1000 + seed, 2.0, spread)
        found = find_threshold(probabilities, right, accuracy)
        scale = fit_confidence(probabilities, right, seed).temperature
        logs = np.log(np.maximum(fresh, 1e-6)) / scale
        sure = 1 / np.exp(logs - logs.max(axis=1, keepdims=True)).sum(axis=1)
        answered = sure >= found.threshold
        promised += bool(answered.any())
        kept_promise += not answered.any() or float((fresh.argmax(axis=1) == fresh_right)[answered].mean()) >= accuracy
    assert promised >= 80, "it promises something in most simulations"
    assert kept_promise >= 90, "95 are expected; 90 is more than two standard errors below"
