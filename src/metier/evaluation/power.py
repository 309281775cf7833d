"""What difference so many test rows could show, before any System has answered them.

Two Systems are told apart by the rows on which just one of them is right. How many those will be is not known yet, so
one row in five is assumed (or as few as there must be for a larger difference). The normal approximation is that of
`statistics.smallest_detectable_gain`: 95% level, 80% power.
"""

from __future__ import annotations

import math

from metier.evaluation.statistics import POWER_FACTOR

DISAGREEING = 0.2
"""Share of the rows on which just one of two Systems is right."""


def detectable(rows: int) -> float:
    """Return the smallest difference of two Systems, in points, that so many test rows would show four times in five.

    Args:
        rows: At least one.
    """
    # Of a difference d the variance in a row is the share of disagreeing rows less d**2, and that share is at least d.
    factor = POWER_FACTOR**2 / rows
    found = math.sqrt(factor * DISAGREEING / (1 + factor))
    return 100 * (found if found <= DISAGREEING else factor / (1 + factor))


def rows_to_show(points: float) -> int:
    """Return how many test rows would show a difference of so many points four times in five.

    Args:
        points: Above 0, and at most 100.
    """
    difference = points / 100
    variance = max(DISAGREEING, difference) - difference**2
    return max(2, math.ceil(POWER_FACTOR**2 * variance / difference**2))
