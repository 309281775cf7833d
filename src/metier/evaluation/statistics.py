"""Whether one system is significantly better than another on the same rows. Knows nothing about any metric or model.

Rows are resampled in pairs: both systems keep or lose the same rows. Each row's contribution to the corpus score
(`scored.Scored.stats`) is added up with weights, so a metric that is not a mean over rows is treated like any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from metier.core.errors import MetierError
from metier.core.records import Interval
from metier.evaluation.scored import Floats, Scored

_CHUNK = 2**23  # cells of the resampling table held at once
POWER_FACTOR = 1.959964 + 0.841621
"""Standard errors that a difference must have to be shown at the 95% level (two-sided), four times in five."""
_NO_ERROR = 1e-9  # points; a standard error below this is rounding


def paired_bootstrap(after: Scored, before: Scored, *, resamples: int = 10_000, seed: int = 0) -> Interval | None:
    """Return the difference of two systems' corpus scores on the same rows, with its 95% interval.

    The interval is bias-corrected and accelerated (BCa, Efron 1987), or the plain percentile interval where the
    correction is not defined (all rows equal, or all replicates on one side).

    Args:
        after: One system's score.
        before: The other's, by the same metric.
        resamples: Bootstrap replicates.
        seed: Seeds the resampling.

    Returns:
        The interval, in the scores' unit; None with fewer than two rows.

    Raises:
        MetierError: The two scores are for different rows, or one is not a number.
    """
    _check(after, before)
    return _interval(_Difference(after, before), len(after.stats), resamples, seed)


def interval_of_score(score: Scored, *, resamples: int = 10_000, seed: int = 0) -> Interval | None:
    """Return a corpus score with its 95% BCa bootstrap interval; None with fewer than two rows."""
    _check(score, score)
    return _interval(_Single(score), len(score.stats), resamples, seed)


def randomisation_p(after: Scored, before: Scored, *, resamples: int = 10_000, seed: int = 0) -> float | None:
    """Return the two-sided p-value of approximate randomisation (Noreen 1989).

    If the systems did not differ, swapping their outputs on any row would not matter. So rows are swapped at random,
    and the p-value is the share of swaps with a difference at least as large as the observed one. The observed
    difference counts as one of them, so the p-value is never 0.

    Returns:
        The p-value; None with fewer than two rows.

    Raises:
        MetierError: The two scores are for different rows, or one is not a number.
    """
    _check(after, before)
    rows = len(after.stats)
    if rows < 2:
        return None
    found = abs(_plain(after) - _plain(before))
    rng = np.random.default_rng(seed)
    total = after.stats.sum(axis=0) + before.stats.sum(axis=0)
    as_large = 0
    for size in _sizes(resamples, rows):
        kept = rng.integers(0, 2, size=(size, rows), dtype=np.int8).astype(np.float64)
        ours = kept @ after.stats + (1 - kept) @ before.stats
        differences = np.abs(after.combine(ours) - before.combine(total - ours))
        as_large += int((differences >= found - 1e-9).sum())
    return (as_large + 1) / (resamples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple testing by Holm's step-down method (1979), in their order."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    out = [0.0] * len(p_values)
    highest = 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[i]))
        out[i] = highest
    return out


def holm_of_known(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected as `holm` does; unknown ones stay None and do not count."""
    corrected = iter(holm([p for p in p_values if p is not None]))
    return [None if p is None else next(corrected) for p in p_values]


def mean_over_tasks(
    pairs: Sequence[tuple[Scored, Scored]], *, resamples: int = 10_000, seed: int = 0
) -> Interval | None:
    """Return the mean over tasks of the difference of two systems, with its 95% interval.

    A hierarchical bootstrap: tasks are drawn, then rows within each drawn task, so the interval is about tasks like
    these and not only about these. Percentile interval; with few tasks it is wide, as it should be.

    Args:
        pairs: For each task, the score after and before.
        resamples: Bootstrap replicates.
        seed: Seeds the resampling.

    Returns:
        The interval; None with fewer than two tasks.
    """
    if len(pairs) < 2:
        return None
    replicates = np.empty((len(pairs), resamples))
    for task, (after, before) in enumerate(pairs):
        _check(after, before)
        difference = _Difference(after, before)
        parts = [difference.of(w) for w in _weights(len(after.stats), resamples, seed + task + 1)]
        replicates[task] = np.concatenate(parts) + difference.shift
    drawn = np.random.default_rng(seed).integers(0, len(pairs), size=(len(pairs), resamples))
    means = np.take_along_axis(replicates, drawn, axis=0).mean(axis=0)
    value = float(np.mean([after.corpus - before.corpus for after, before in pairs]))
    return percentile_interval(value, means)


def percentile_interval(value: float, draws: Floats) -> Interval:
    """Return a value with the interval of the middle 95% of its replicates."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def resampled(score: Scored, resamples: int, seed: int) -> Floats:
    """Return a corpus score on resamples of its rows, ``[resamples]``."""
    single = _Single(score)
    return np.concatenate([single.of(w) for w in _weights(len(score.stats), resamples, seed)]) + single.shift


def smallest_detectable_gain(after: Scored, before: Scored) -> float | None:
    """Return the smallest difference that this many rows would detect with 80% power at the 95% level.

    Normal approximation: (1.96 + 0.84) standard errors. None with fewer than two rows, and where all rows differ by the
    same: their spread, which is all that is known of the error, would be none.
    """
    error = _standard_error(after, before)
    return None if error is None else POWER_FACTOR * error


def rows_needed(after: Scored, before: Scored) -> int | None:
    """Return how many rows like these would detect the observed difference with 80% power at the 95% level.

    None if that cannot be computed: fewer than two rows, no difference, or the same difference on every row.
    """
    gain, error = after.corpus - before.corpus, _standard_error(after, before)
    if error is None or gain == 0:
        return None
    return max(2, math.ceil((POWER_FACTOR * error / gain) ** 2 * len(after.stats)))


class _Difference:
    """The difference of two systems' corpus scores under weights on the rows."""

    def __init__(self, after: Scored, before: Scored) -> None:
        self._after, self._before = after, before
        # A corpus score may differ from what its sums give (GLEU's draws); replicates are shifted by that difference.
        self.value = after.corpus - before.corpus
        self.shift = self.value - (_plain(after) - _plain(before))

    def of(self, weights: Floats) -> Floats:
        """Return the differences under each row of weights, ``[replicates, rows]``."""
        after, before = self._after, self._before
        return after.combine(weights @ after.stats) - before.combine(weights @ before.stats)

    def without_each(self) -> Floats:
        """Return the differences with one row left out, for each row."""
        after, before = self._after, self._before
        return after.combine(after.stats.sum(axis=0) - after.stats) - before.combine(
            before.stats.sum(axis=0) - before.stats
        )


class _Single:
    """One system's corpus score under weights on the rows."""

    def __init__(self, score: Scored) -> None:
        self._score = score
        self.value = score.corpus
        self.shift = score.corpus - _plain(score)

    def of(self, weights: Floats) -> Floats:
        return self._score.combine(weights @ self._score.stats)

    def without_each(self) -> Floats:
        return self._score.combine(self._score.stats.sum(axis=0) - self._score.stats)


def _interval(statistic: _Difference | _Single, rows: int, resamples: int, seed: int) -> Interval | None:
    if rows < 2:
        return None
    replicates = np.concatenate([statistic.of(w) for w in _weights(rows, resamples, seed)]) + statistic.shift
    low, high = _bca_shares(statistic.without_each() + statistic.shift, replicates, statistic.value)
    return Interval(statistic.value, *(float(x) for x in np.quantile(replicates, [low, high])))


def _weights(rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield how often each row is drawn, ``[some replicates, rows]``, until all replicates are made."""
    rng = np.random.default_rng(seed)
    for size in _sizes(resamples, rows):
        drawn = rng.integers(0, rows, size=(size, rows)) + rows * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)


def _sizes(resamples: int, rows: int) -> list[int]:
    size = max(1, _CHUNK // rows)
    return [min(size, resamples - done) for done in range(0, resamples, size)]


def _bca_shares(jackknife: Floats, replicates: Floats, value: float) -> tuple[float, float]:
    """Return which quantiles of the replicates bound the interval."""
    near = 1e-9 * max(1.0, abs(value))  # sums in a different order differ in the last digit
    below = float(np.mean(replicates < value - near) + np.mean(replicates <= value + near)) / 2
    deviations = jackknife.mean() - jackknife
    spread = float((deviations**2).sum()) ** 1.5
    if not 0 < below < 1 or spread == 0:
        return 0.025, 0.975
    bias = ndtri(below)
    acceleration = float((deviations**3).sum()) / (6 * spread)
    shares = []
    for z in (ndtri(0.025), ndtri(0.975)):
        shares.append(float(ndtr(bias + (bias + z) / (1 - acceleration * (bias + z)))))
    return shares[0], shares[1]


def _standard_error(after: Scored, before: Scored) -> float | None:
    """Return the jackknife's standard error of the difference; for a mean, the usual one. None where it is unknown."""
    rows = len(after.stats)
    if rows < 2:
        return None
    left_out = _Difference(after, before).without_each()
    error = math.sqrt((rows - 1) / rows * float(((left_out - left_out.mean()) ** 2).sum()))
    return error if error > _NO_ERROR else None


def _plain(score: Scored) -> float:
    return float(score.combine(score.stats.sum(axis=0)))


def _check(after: Scored, before: Scored) -> None:
    if len(after.stats) != len(before.stats):
        raise MetierError(f"different numbers of rows: {len(after.stats)} and {len(before.stats)}")
    for score in (after, before):
        _finite(score.stats)


def _finite(stats: npt.NDArray[np.float64]) -> None:
    wrong = ~np.isfinite(stats).all(axis=1)
    if wrong.any():
        raise MetierError(f"row {int(wrong.argmax()) + 1}: its score is not a number")
