"""How surely one system is better than another on the same rows. Knows nothing about metrics or models."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from metier.errors import MetierError
from metier.records import Interval, Verdict

_CHUNK = 2**24  # cells of the resampling table held at once
_POWER_FACTOR = 1.959964 + 0.841621  # 95% two-sided and 80% power, standard normal quantiles


def paired_bootstrap(
    after: npt.NDArray[np.float64],
    before: npt.NDArray[np.float64],
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval | None:
    """Return the mean difference of two systems on the same rows, with its 95% interval.

    Rows are resampled in pairs: it is the interval of the mean of the rows' differences.

    Args:
        after: One system's row scores, ``[rows]``.
        before: The other's, ``[rows]``.
        resamples: Bootstrap replicates.
        seed: Seeds the resampling.

    Returns:
        The interval, in the scores' unit; None with fewer than two rows, which have none.

    Raises:
        MetierError: The two are not of the same length.
    """
    if after.shape != before.shape:
        raise MetierError(f"not the same rows: {after.shape} and {before.shape}")
    return interval_of_mean(after - before, resamples=resamples, seed=seed)


def interval_of_mean(scores: npt.NDArray[np.float64], *, resamples: int = 10_000, seed: int = 0) -> Interval | None:
    """Return the mean of row scores with its 95% bootstrap interval.

    The interval is bias-corrected and accelerated (BCa, Efron 1987), and the plain percentile one where the correction
    is not defined (all rows equal, or all replicates on one side).

    Args:
        scores: One system's row scores, or the differences of two systems, ``[rows]``.
        resamples: Bootstrap replicates.
        seed: Seeds the resampling.

    Returns:
        The interval, in the scores' unit; None with fewer than two rows, which have none.
    """
    if len(scores) < 2:
        return None
    value = float(scores.mean())
    replicates = _replicates(scores, resamples, seed)
    low, high = _bca_shares(scores, replicates, value)
    return Interval(value, *(float(x) for x in np.quantile(replicates, [low, high])))


def verdict(gain: Interval) -> Verdict:
    """Return better or worse only where the whole interval is on that side of zero."""
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "not shown to be better"


def smallest_detectable_gain(differences: npt.NDArray[np.float64]) -> float:
    """Return the smallest mean difference that so many rows would show with 80% power at the 95% level.

    Normal approximation: (1.96 + 0.84) standard errors of the mean difference.
    """
    if len(differences) < 2:
        return math.inf
    return float(_POWER_FACTOR * differences.std(ddof=1) / math.sqrt(len(differences)))


def _replicates(values: npt.NDArray[np.float64], resamples: int, seed: int) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    rows = len(values)
    size = max(1, _CHUNK // rows)
    parts = [
        values[rng.integers(0, rows, size=(min(size, resamples - done), rows))].mean(axis=1)
        for done in range(0, resamples, size)
    ]
    return np.concatenate(parts)


def _bca_shares(
    values: npt.NDArray[np.float64], replicates: npt.NDArray[np.float64], value: float
) -> tuple[float, float]:
    """Return which quantiles of the replicates bound the interval."""
    below = (np.mean(replicates < value) + np.mean(replicates <= value)) / 2
    # The mean less each jackknife mean, up to a factor: leaving out a large value lowers the jackknife mean.
    deviations = values - values.mean()
    spread = float((deviations**2).sum()) ** 1.5
    if not 0 < below < 1 or spread == 0:
        return 0.025, 0.975
    bias = ndtri(below)
    acceleration = float((deviations**3).sum()) / (6 * spread)
    shares = []
    for z in (ndtri(0.025), ndtri(0.975)):
        shares.append(float(ndtr(bias + (bias + z) / (1 - acceleration * (bias + z)))))
    return shares[0], shares[1]
