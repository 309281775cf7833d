from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metier.core.errors import MetierError
from metier.core.records import Interval
from metier.evaluation.metrics import get_metric
from metier.evaluation.scored import Floats, Scored, Texts, mean_of
from metier.evaluation.statistics import (
    holm,
    interval_of_score,
    mean_over_tasks,
    paired_bootstrap,
    randomisation_p,
    rows_needed,
    smallest_detectable_gain,
)


def gain(after: Floats, before: Floats, **settings: int) -> Interval | None:
    return paired_bootstrap(mean_of(after), mean_of(before), **settings)


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    after, before = rng.gamma(2, 20, 150), rng.gamma(1.5, 20, 150)
    ours = gain(after, before, resamples=20_000, seed=1)
    theirs = stats.bootstrap((after - before,), np.mean, n_resamples=20_000, method="BCa", rng=2).confidence_interval
    assert ours is not None
    assert ours.value == pytest.approx(np.mean(after - before))
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("rows", [20, 60])
def test_the_interval_leans_to_the_long_tail_as_scipys_does(rows: int, sign: int) -> None:
    # So few and so skewed that an acceleration of the wrong sign, or none, is off by 7% of the width and more.
    differences = sign * np.random.default_rng(0).exponential(20, rows)
    ours = interval_of_score(mean_of(differences), resamples=50_000, seed=1)
    theirs = stats.bootstrap((differences,), np.mean, n_resamples=50_000, method="BCa", rng=2).confidence_interval
    assert ours is not None
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_pairing_narrows_the_interval() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(50, 30, 200)
    after, before = hard + 2 + rng.normal(0, 2, 200), hard
    paired = gain(after, before)
    shuffled = gain(after, rng.permutation(before))
    assert paired is not None and shuffled is not None
    assert paired.low > 0
    assert shuffled.high - shuffled.low > 5 * (paired.high - paired.low)


def test_equal_systems_and_tiny_sets() -> None:
    same = np.array([100.0, 0.0, 100.0])
    assert gain(same, same) == Interval(0.0, 0.0, 0.0)
    assert gain(np.array([100.0]), np.array([0.0])) is None
    with pytest.raises(MetierError, match="different numbers of rows"):
        gain(np.zeros(2), np.zeros(3))
    with pytest.raises(MetierError, match="row 2: its score is not a number"):
        gain(np.array([1.0, np.nan]), np.zeros(2))


def test_it_repeats_with_its_seed() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(50), rng.random(50)
    assert gain(a, b, seed=3) == gain(a, b, seed=3)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=30))
def test_turning_the_question_round_turns_the_sign(rows: list[tuple[float, float]]) -> None:
    after, before = (np.array(x) for x in zip(*rows, strict=True))
    one, other = (
        gain(after, before, resamples=200),
        gain(before, after, resamples=200),
    )
    assert one is not None and other is not None
    assert one.value == pytest.approx(-other.value)
    assert one.low <= one.high


def difference(values: Floats) -> tuple[Scored, Scored]:
    return mean_of(values), mean_of(np.zeros(len(values)))


def test_the_detectable_gain_falls_with_the_root_of_the_rows() -> None:
    differences = np.tile([100.0, 0.0, 0.0, -100.0], 25)
    small = smallest_detectable_gain(*difference(differences))
    large = smallest_detectable_gain(*difference(np.tile(differences, 4)))
    assert small is not None and large is not None
    assert small / large == pytest.approx(2, rel=0.02)
    # (1.96 + 0.8416) * sd / sqrt(n), as statsmodels' TTestPower gives for large n
    assert small == pytest.approx(2.8016 * differences.std(ddof=1) / 10, rel=1e-3)
    assert smallest_detectable_gain(*difference(np.array([1.0]))) is None


@pytest.mark.parametrize(
    ("effect", "rows"),
    # statsmodels 0.15: TTestPower().solve_power(effect_size=effect, alpha=0.05, power=0.8); it has t where we have z
    [(0.2, 198.15), (0.1, 786.81)],
)
def test_the_rows_needed_are_statsmodels(effect: float, rows: float) -> None:
    values = np.random.default_rng(0).normal(0, 1, 4000)
    values = (values - values.mean()) / values.std(ddof=1) + effect
    assert rows_needed(*difference(values)) == pytest.approx(rows, rel=0.02)
    assert rows_needed(*difference(np.zeros(5))) is None
    assert rows_needed(*difference(np.ones(1))) is None


@pytest.mark.parametrize(
    ("values", "corrected"),
    [  # statsmodels 0.15: multipletests(values, method="holm")[1]
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.2, 0.5, 0.9], [0.6, 1.0, 1.0]),
        ([0.04, 0.04, 0.001, 0.6, 0.012], [0.12, 0.12, 0.005, 0.6, 0.048]),
        ([], []),
    ],
)
def test_holm_is_statsmodels(values: list[float], corrected: list[float]) -> None:
    assert holm(values) == pytest.approx(corrected)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_helps_and_keeps_the_order(values: list[float]) -> None:
    corrected = holm(values)
    assert all(before <= after <= 1 for before, after in zip(values, corrected, strict=True))
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert [corrected[i] for i in order] == sorted(corrected)


@pytest.mark.parametrize("shift", [0.0, 3.0, 8.0])
def test_the_p_value_is_scipys(shift: float) -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(50, 10, 60)
    after = before + shift + rng.normal(0, 15, 60)
    ours = randomisation_p(mean_of(after), mean_of(before), resamples=20_000, seed=1)
    theirs = stats.permutation_test(
        (after, before),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        rng=2,
    ).pvalue
    assert ours == pytest.approx(theirs, abs=0.02)


def test_equal_systems_have_a_p_value_of_1() -> None:
    same = mean_of([100.0, 0.0, 100.0])
    assert randomisation_p(same, same) == 1
    assert randomisation_p(mean_of([1.0]), mean_of([0.0])) is None


def test_a_metric_that_is_no_mean_is_resampled_whole() -> None:
    labels = ("a", "b", "c")
    rng = np.random.default_rng(3)
    wanted = [labels[i] for i in rng.choice(3, 80, p=[0.7, 0.2, 0.1])]
    guessed = [w if rng.random() < 0.7 else labels[rng.integers(3)] for w in wanted]
    metric = get_metric("macro_f1").score
    after = metric(Texts(guessed, [[w] for w in wanted], labels=labels))
    before = metric(Texts(["a"] * 80, [[w] for w in wanted], labels=labels))
    ours = paired_bootstrap(after, before, resamples=2000, seed=0)
    assert ours is not None

    def of(rows: Any) -> float:
        kept = [int(i) for i in rows]
        some = [
            metric(Texts([texts[i] for i in kept], [[wanted[i]] for i in kept], labels=labels)).corpus
            for texts in (guessed, ["a"] * 80)
        ]
        return some[0] - some[1]

    replicates = [of(rng.integers(0, 80, 80)) for _ in range(600)]
    low, high = np.quantile(replicates, [0.025, 0.975])
    assert ours.value == pytest.approx(after.corpus - before.corpus)
    assert ours.low == pytest.approx(low, abs=0.12 * (high - low))
    assert ours.high == pytest.approx(high, abs=0.12 * (high - low))


def test_the_mean_over_tasks_is_as_wide_as_the_tasks_differ() -> None:
    rng = np.random.default_rng(0)
    alike = [difference(rng.normal(10, 5, 100)) for _ in range(6)]
    apart = [difference(rng.normal(10 + 20 * (i % 2) - 10, 5, 100)) for i in range(6)]
    one, other = mean_over_tasks(alike), mean_over_tasks(apart)
    assert one is not None and other is not None
    assert one.value == pytest.approx(10, abs=1) and one.low > 8
    assert other.high - other.low > 5 * (one.high - one.low)
    assert mean_over_tasks(alike[:1]) is None
