"""Is a System as good on rows of today as it was on its test? Two samples of rows that have none in common.

Where a row is right or wrong, the interval of the difference is Newcombe's; of other scores both samples are resampled,
each by itself.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np

from metier.core.records import Interval
from metier.evaluation.scored import Scored
from metier.evaluation.shares import Share
from metier.evaluation.statistics import POWER_FACTOR, interval_of_score, percentile_interval, resampled

DROP = 10.0
"""Points: what is said of how many rows would do is about a drop of this size."""
_LEAST = 10  # rows of a graded score, below which resampling says too little of what other rows would give
_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True, slots=True)
class Drift:
    """A System's score today beside the one of its test.

    Attributes:
        rows: Rows of today.
        today: Their score, with its interval; None where there are too few for one.
        test_rows: Rows of the test; 0 without one.
        test: Their score; None without a test.
        difference: Today's score less the test's; None where it cannot be said.
        rows_needed: How many rows of today would show a drop of `DROP` points four times in five; None where none
            would, since the test itself has too few.
    """

    rows: int
    today: Interval | None
    test_rows: int
    test: Interval | None
    difference: Interval | None
    rows_needed: int | None

    @property
    def verdict(self) -> Literal["worse", "better", "not shown"]:
        """What the interval of the difference says."""
        if self.difference is None or self.difference.low <= 0 <= self.difference.high:
            return "not shown"
        return "worse" if self.difference.value < 0 else "better"


def compare_samples(today: Scored, test: Scored | None, *, seed: int) -> Drift:
    """Return a System's score today beside the one of its test.

    Args:
        today: On rows drawn at random from those of today.
        test: On the test rows, by the same metric; None: there was no test.
        seed: Seeds the resampling of graded scores.
    """
    rows, test_rows = len(today.rows), 0 if test is None else len(test.rows)
    ours, theirs = _share(today), _share(test) if test is not None else None
    if ours is not None and (test is None or theirs is not None):
        difference = ours.less(theirs) if theirs is not None else None
        test_score = theirs.interval if theirs is not None else None
        return Drift(rows, ours.interval, test_rows, test_score, difference, _needed(test))
    here = interval_of_score(today, resamples=_RESAMPLES, seed=seed) if rows >= _LEAST else None
    there = interval_of_score(test, resamples=_RESAMPLES, seed=seed) if test is not None else None
    difference = None
    if here is not None and there is not None and test is not None:
        apart = resampled(today, _RESAMPLES, seed) - resampled(test, _RESAMPLES, seed + 1)
        difference = percentile_interval(today.corpus - test.corpus, apart)
    return Drift(rows, here, test_rows, there, difference, _needed(test))


def _share(score: Scored) -> Share | None:
    """Return a score as a share of the rows; None where a row can be partly right, or rows are not simply counted."""
    right = int((score.rows == 100).sum())
    whole = bool(np.isin(score.rows, (0, 100)).all())
    return Share(right, len(score.rows)) if whole and math.isclose(score.corpus, float(score.rows.mean())) else None


def _needed(test: Scored | None) -> int | None:
    if test is None or len(test.rows) < 2:
        return None
    # A share has another spread once it has dropped; of graded scores it is taken for the same.
    share = _share(test)
    own = float(test.rows.var())
    after = own if share is None else max(own, (share.interval.value - DROP) * (100 - share.interval.value + DROP))
    room = (DROP / POWER_FACTOR) ** 2 - own / len(test.rows)
    return max(2, math.ceil(after / room)) if room > 0 else None
