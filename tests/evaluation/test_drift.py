from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.evaluation.drift import DROP, compare_samples
from metier.evaluation.scored import Scored, mean_of
from metier.evaluation.shares import Share


def rows(right: int, of: int) -> Scored:
    return mean_of([100.0] * right + [0.0] * (of - right))


def graded(mean: float, of: int, seed: int = 0) -> Scored:
    return mean_of(np.clip(np.random.default_rng(seed).normal(mean, 15, of), 1, 99))


@pytest.mark.parametrize(("right", "verdict"), [(10, "worse"), (15, "worse"), (18, "not shown"), (20, "not shown")])
def test_a_drop_is_told_once_its_interval_excludes_zero(right: int, verdict: str) -> None:
    found = compare_samples(rows(right, 20), rows(142, 150), seed=0)
    assert found.verdict == verdict and (found.rows, found.test_rows) == (20, 150)
    assert found.today == Share(right, 20).interval and found.test == Share(142, 150).interval
    assert found.difference == Share(right, 20).less(Share(142, 150))
    assert compare_samples(rows(20, 20), rows(90, 150), seed=0).verdict == "better"


@pytest.mark.parametrize(("right", "of"), [(138, 150), (280, 400), (500, 1000)])
def test_the_rows_that_are_named_show_the_drop_four_times_in_five(right: int, of: int) -> None:
    needed = compare_samples(rows(9, 10), rows(right, of), seed=0).rows_needed
    assert needed is not None
    draw = np.random.default_rng(1)
    before = draw.binomial(of, right / of, 2000)
    after = draw.binomial(needed, right / of - DROP / 100, 2000)
    shown = [Share(int(a), needed).less(Share(int(b), of)).high < 0 for a, b in zip(after, before, strict=True)]
    assert 0.72 < np.mean(shown) < 0.92


def test_a_test_that_is_too_small_itself_is_told_from_nothing() -> None:
    assert compare_samples(rows(20, 40), rows(15, 20), seed=0).rows_needed is None


def test_without_a_test_there_is_only_todays_score() -> None:
    found = compare_samples(rows(15, 20), None, seed=0)
    assert found.today == Share(15, 20).interval
    assert (found.test, found.difference, found.rows_needed, found.verdict) == (None, None, None, "not shown")


def test_graded_scores_are_resampled_and_a_few_rows_say_nothing() -> None:
    test = graded(70, 150)
    assert compare_samples(graded(50, 40, 1), test, seed=0).verdict == "worse"
    same = compare_samples(graded(70, 40, 1), test, seed=0)
    assert same.verdict == "not shown" and same.rows_needed is not None
    assert same.difference is not None and same.difference.low < 0 < same.difference.high
    few = compare_samples(graded(50, 9, 1), test, seed=0)
    assert (few.today, few.difference, few.verdict) == (None, None, "not shown")


@given(st.integers(0, 30), st.integers(1, 200), st.integers(0, 5))
def test_a_sample_beside_itself_has_not_changed(right: int, more: int, seed: int) -> None:
    score = rows(right, right + more)
    assert compare_samples(score, score, seed=seed).verdict == "not shown"
