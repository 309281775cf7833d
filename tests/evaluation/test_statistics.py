from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metier.errors import MetierError
from metier.evaluation.statistics import interval_of_mean, paired_bootstrap, smallest_detectable_gain, verdict
from metier.records import Interval


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    after, before = rng.gamma(2, 20, 150), rng.gamma(1.5, 20, 150)
    ours = paired_bootstrap(after, before, resamples=20_000, seed=1)
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
    ours = interval_of_mean(differences, resamples=50_000, seed=1)
    theirs = stats.bootstrap((differences,), np.mean, n_resamples=50_000, method="BCa", rng=2).confidence_interval
    assert ours is not None
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_pairing_narrows_the_interval() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(50, 30, 200)
    after, before = hard + 2 + rng.normal(0, 2, 200), hard
    paired = paired_bootstrap(after, before)
    shuffled = paired_bootstrap(after, rng.permutation(before))
    assert paired is not None and shuffled is not None
    assert verdict(paired) == "better"
    assert shuffled.high - shuffled.low > 5 * (paired.high - paired.low)


def test_equal_systems_and_tiny_sets() -> None:
    same = np.array([100.0, 0.0, 100.0])
    assert paired_bootstrap(same, same) == Interval(0.0, 0.0, 0.0)
    assert verdict(Interval(0.0, 0.0, 0.0)) == "not shown to be better"
    assert paired_bootstrap(np.array([100.0]), np.array([0.0])) is None
    with pytest.raises(MetierError, match="not the same rows"):
        paired_bootstrap(np.zeros(2), np.zeros(3))


def test_it_repeats_with_its_seed() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(50), rng.random(50)
    assert paired_bootstrap(a, b, seed=3) == paired_bootstrap(a, b, seed=3)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=30))
def test_turning_the_question_round_turns_the_sign(rows: list[tuple[float, float]]) -> None:
    after, before = (np.array(x) for x in zip(*rows, strict=True))
    one, other = (
        paired_bootstrap(after, before, resamples=200),
        paired_bootstrap(before, after, resamples=200),
    )
    assert one is not None and other is not None
    assert one.value == pytest.approx(-other.value)
    assert one.low <= one.high


def test_verdicts() -> None:
    assert verdict(Interval(5, 1, 9)) == "better"
    assert verdict(Interval(5, -1, 9)) == "not shown to be better"
    assert verdict(Interval(-5, -9, -1)) == "worse"


def test_the_detectable_gain_falls_with_the_root_of_the_rows() -> None:
    differences = np.tile([100.0, 0.0, 0.0, -100.0], 25)
    small = smallest_detectable_gain(differences)
    large = smallest_detectable_gain(np.tile(differences, 4))
    assert small / large == pytest.approx(2, rel=0.02)
    # (1.96 + 0.8416) * sd / sqrt(n), as statsmodels' TTestPower gives for large n
    assert small == pytest.approx(2.8016 * differences.std(ddof=1) / 10, rel=1e-3)
    assert smallest_detectable_gain(np.array([1.0])) == np.inf
