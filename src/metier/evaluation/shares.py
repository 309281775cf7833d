"""Shares of rows with their 95% intervals: of one sample, and the difference of two that have no rows in common.

Both hold with few rows, and where all of them are right. Sources: Wilson 1927; Newcombe 1998, Statistics in Medicine
17:873-890 (method 10).
"""

from __future__ import annotations

import dataclasses
import math

from metier.core.records import Interval

_Z = 1.959964  # of a 95% interval


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """How many of some rows are right: at least one row."""

    right: int
    rows: int

    @property
    def interval(self) -> Interval:
        """The share in per cent, with Wilson's interval."""
        share, spread = self.right / self.rows, _Z * _Z / self.rows
        middle = (share + spread / 2) / (1 + spread)
        half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / self.rows + spread / (4 * self.rows))
        return Interval(100 * share, 100 * max(0.0, middle - half), 100 * min(1.0, middle + half))

    def less(self, other: Share) -> Interval:
        """Return this share less another sample's, in points, with Newcombe's interval."""
        own, theirs = self.interval, other.interval
        difference = own.value - theirs.value
        low = math.hypot(own.value - own.low, theirs.high - theirs.value)
        high = math.hypot(own.high - own.value, theirs.value - theirs.low)
        return Interval(difference, difference - low, difference + high)
