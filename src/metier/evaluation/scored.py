"""What a metric takes and returns. Knows nothing about any particular metric, or about models.

A corpus score is often not the mean of its rows' scores: BLEU, SARI and F1 first add up counts. So every metric gives
numbers for each row that can be added up over rows, and a function from such sums to the corpus score. Resampling rows
(for intervals and tests) is then a matrix product for every metric.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from metier.core.errors import MetierError

Floats = npt.NDArray[np.float64]
Combine = Callable[[Floats], Floats]
"""From sums over rows, ``[..., k]``, to corpus scores, ``[...]``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Texts:
    """What a metric compares, row by row.

    Attributes:
        predictions: A system's outputs, ``[rows]``.
        references: For each row, one or more right outputs.
        sources: The inputs, ``[rows]``; None if not available.
        labels: The possible outputs of a task with labels.

    Raises:
        MetierError: There are no rows, the counts differ, or a row has no reference.
    """

    predictions: Sequence[str]
    references: Sequence[Sequence[str]]
    sources: Sequence[str] | None = None
    labels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.predictions) != len(self.references):
            raise MetierError(f"{len(self.predictions)} predictions for {len(self.references)} references")
        if self.sources is not None and len(self.sources) != len(self.predictions):
            raise MetierError(f"{len(self.sources)} sources for {len(self.predictions)} predictions")
        if not self.predictions:
            raise MetierError("no rows to score")
        for i, row in enumerate(self.references):
            if not row:
                raise MetierError(f"row {i + 1} has no reference")


@dataclasses.dataclass(frozen=True, slots=True)
class Scored:
    """One system's score by one metric.

    Attributes:
        rows: Each row's own score, ``[rows]``.
        stats: The numbers to add up over rows, ``[rows, k]``.
        combine: Turns such sums into the corpus score.
        corpus: The corpus score.
    """

    rows: Floats
    stats: Floats
    combine: Combine
    corpus: float


def mean_of(rows: Sequence[float] | Floats) -> Scored:
    """Return a score whose corpus value is the mean of its rows."""
    array = np.asarray(rows, dtype=np.float64)
    return Scored(array, np.column_stack([array, np.ones(len(array))]), _mean, float(array.mean()))


def added_up(stats: Floats, combine: Combine, *, rows: Floats | None = None, corpus: float | None = None) -> Scored:
    """Return a score made from sums; by default a row's own score is the corpus score of that row alone."""
    return Scored(
        combine(stats) if rows is None else rows,
        stats,
        combine,
        float(combine(stats.sum(axis=0))) if corpus is None else corpus,
    )


def by_best_reference(texts: Texts, score: Callable[[str, str], float]) -> Scored:
    """Return the mean over rows of the best score against any of the row's references (as in Super-NI)."""
    return mean_of(
        [
            max(score(prediction, reference) for reference in references)
            for prediction, references in zip(texts.predictions, texts.references, strict=True)
        ]
    )


def ratio(above: Floats, below: Floats, empty: float = 0.0) -> Floats:
    """Return ``above / below``, and ``empty`` where ``below`` is 0."""
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    out: Floats = np.divide(above, below, out=np.full(above.shape, empty), where=below > 0)
    return out


def _mean(sums: Floats) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])
