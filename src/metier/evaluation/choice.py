"""Chooses which System ships: the cheapest that is good enough.

Good enough is a System that loses at most a tolerance to the best one, in points, and whose interval does not allow for
a loss of more than five times that. Of those the cheapest ships: by the median time of one row, then by bytes. A test
that is too small lets no System but the best one be good enough in that way: then the best ships, and the choice says
so.

Choosing among many on one test flatters the one that is chosen. So every choice is made again on resamples of the
rows, and what was chosen there is scored on the rows that the resample left out: their mean is what the choice is worth
on rows that had no part in it (the out-of-bag estimate of Breiman 1996). The share of resamples that choose the same
System says how stable the choice is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from metier.core.errors import MetierError
from metier.core.records import Interval
from metier.evaluation.records import WORST_LOSS
from metier.evaluation.scored import Scored
from metier.evaluation.statistics import paired_bootstrap, percentile_interval

Floats = npt.NDArray[np.float64]
_RESAMPLES = 2000
_ROWS_MOST = 100_000


@dataclasses.dataclass(frozen=True, slots=True)
class Choosable:
    """A System that may ship.

    Attributes:
        system: Its key.
        score: On the test rows.
        seconds: Median of one row answered alone; None if it was not measured.
        nbytes: What it takes.
    """

    system: str
    score: Scored
    seconds: float | None
    nbytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """What ships, and how sure that is.

    Attributes:
        system: The System that ships.
        best: The best System.
        loss: The shipped System's score less the best one's, with its interval; zero if it is the best.
        good_enough: The Systems that are good enough, the cheapest first.
        stability: Share of resamples that choose the same System, 0 to 1.
        score: The shipped System's on all rows.
        unseen_score: What a choice made in this way scores on rows that had no part in it, with its interval; None with
            fewer than two rows.
        rows: How many rows it was chosen on.
        rows_needed: Where the test is too small to tell: how many rows like these would do; None where it is not.
    """

    system: str
    best: str
    loss: Interval
    good_enough: tuple[str, ...]
    stability: float
    score: float
    unseen_score: Interval | None
    rows: int
    rows_needed: int | None


def choose(systems: Sequence[Choosable], *, tolerance: float, seed: int) -> Choice:
    """Choose the System that ships.

    Args:
        systems: Those that may, each scored on the same rows; of equals the first counts as the better one.
        tolerance: Points that the shipped System may lose to the best.
        seed: Seeds the resamples.

    Raises:
        MetierError: There is none.
    """
    if not systems:
        raise MetierError("no System may ship", hint="name one with ship: SYSTEM")
    rows = len(systems[0].score.stats)
    scores = np.array([s.score.corpus for s in systems])
    best = int(scores.argmax())
    losses = [loss_to(s.score, systems[best].score, seed) for s in systems]
    widths = np.array([loss.value - loss.low for loss in losses])
    order = _by_cost(systems)
    enough = [i for i in order if _is_good_enough(losses[i], tolerance)]
    # By points alone: a test too small to tell lets fewer through than would be good enough on a larger one.
    near = [i for i in order if losses[i].value >= -tolerance]
    chosen = enough[0] if enough else best
    stability, unseen = _on_resamples(systems, chosen, order, widths, tolerance, seed)
    return Choice(
        system=systems[chosen].system,
        best=systems[best].system,
        loss=losses[chosen],
        good_enough=tuple(systems[i].system for i in enough) or (systems[best].system,),
        stability=stability,
        score=float(scores[chosen]),
        unseen_score=unseen,
        rows=rows,
        rows_needed=_rows_needed(losses, near, enough, tolerance, rows),
    )


def loss_to(own: Scored, best: Scored, seed: int) -> Interval:
    """Return a score less the best one's, with its interval, which is never narrower than so few rows allow for.

    Args:
        own: A System's score.
        best: The best one's, on the same rows.
        seed: Seeds the bootstrap.
    """
    if own is best:
        return Interval(0.0, 0.0, 0.0)
    found = paired_bootstrap(own, best, resamples=_RESAMPLES, seed=seed)
    difference = own.corpus - best.corpus
    if found is None:
        return Interval(difference, -math.inf, math.inf)
    # Where no row differs, every resample agrees and the bootstrap is certain, of five rows too. But what happens on
    # so large a share of rows is not seen on any of these once in twenty times (the rule of three).
    unseen = 100.0 * (1 - 0.05 ** (1 / len(own.stats)))
    return dataclasses.replace(found, low=min(found.low, -unseen))


def _is_good_enough(loss: Interval, tolerance: float) -> bool:
    return loss.value >= -tolerance and loss.low >= -WORST_LOSS * tolerance


def _by_cost(systems: Sequence[Choosable]) -> list[int]:
    """Return the Systems' places, the cheapest first; a time that was not measured is not taken for a short one."""

    def cost(i: int) -> tuple[float, int, float]:
        one = systems[i]
        return (math.inf if one.seconds is None else one.seconds, one.nbytes, -one.score.corpus)

    return sorted(range(len(systems)), key=cost)


def _on_resamples(
    systems: Sequence[Choosable],
    chosen: int,
    order: Sequence[int],
    widths: Floats,
    tolerance: float,
    seed: int,
) -> tuple[float, Interval | None]:
    """Return the share of resamples that choose the same, and the score of their choices on the rows they left out."""
    rows = len(systems[0].score.stats)
    if rows < 2:
        return 1.0, None
    rng = np.random.default_rng([seed, rows])
    counts = rng.multinomial(rows, np.full(rows, 1 / rows), size=_RESAMPLES).astype(np.float64)
    left_out = (counts == 0).astype(np.float64)
    some = left_out.sum(axis=1) > 0
    drawn = np.stack([_combined(s.score, counts) for s in systems])  # [systems, resamples]
    out = np.stack([_combined(s.score, left_out) for s in systems])
    losses = drawn - drawn.max(axis=0)
    # The width of each System's interval is that of the whole test: it hardly changes from resample to resample.
    enough = (losses >= -tolerance) & (losses - widths[:, None] >= -WORST_LOSS * tolerance)
    enough |= losses == 0  # the best always is
    ranked = np.array(order)
    picked = ranked[enough[ranked].argmax(axis=0)]
    places = np.arange(_RESAMPLES)[some]
    unseen = out[picked[some], places]
    return float((picked == chosen).mean()), percentile_interval(float(unseen.mean()), unseen)


def _combined(score: Scored, weights: Floats) -> Floats:
    found: Floats = np.asarray(score.combine(weights @ score.stats), np.float64)
    return found


def _rows_needed(
    losses: Sequence[Interval], near: Sequence[int], enough: Sequence[int], tolerance: float, rows: int
) -> int | None:
    """Return how many rows would let the cheapest near System be told from one that loses too much."""
    if not near or (enough and enough[0] == near[0]):
        return None
    loss = losses[near[0]]
    width, room = loss.value - loss.low, loss.value + WORST_LOSS * tolerance
    if not math.isfinite(width) or room <= 0:
        return None
    return min(_ROWS_MOST, math.ceil(rows * (width / room) ** 2))
