"""The metrics by name. A metric scores each row 0 to 100, higher is better; a corpus scores its rows' mean."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from metier.errors import MetierError, UserError
from metier.evaluation.metrics import char_lcs_f1, exact_match, label_match, rouge_l

Scores = npt.NDArray[np.float64]


RowScorer = Callable[[str, str, tuple[str, ...] | None], float]
"""Scores one prediction against its reference, given the task's labels; 0 to 100."""


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: As a task file names it.
        title: In words.
        make: Returns its scorer; what is costly to set up is set up once here.
    """

    name: str
    title: str
    make: Callable[[], RowScorer]

    def rows(
        self, predictions: Sequence[str], references: Sequence[str], *, labels: tuple[str, ...] | None = None
    ) -> Scores:
        """Return each row's score, ``[rows]``.

        Raises:
            MetierError: There are no rows, or not as many predictions as references.
        """
        if len(predictions) != len(references):
            raise MetierError(f"{self.name}: {len(predictions)} predictions for {len(references)} references")
        if not predictions:
            raise MetierError(f"{self.name}: no rows to score")
        score = self.make()
        return np.array([score(p, r, labels) for p, r in zip(predictions, references, strict=True)], dtype=np.float64)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("exact_match", "exact match", exact_match.make),
            Metric("label_match", "label match", label_match.make),
            Metric("rouge_l", "ROUGE-L", rouge_l.make),
            Metric("char_lcs_f1", "character LCS F1", char_lcs_f1.make),
        )
    }
)


def get_metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        UserError: There is none of that name.
    """
    if name in METRICS:
        return METRICS[name]
    near = difflib.get_close_matches(name, METRICS, n=1)
    raise UserError(
        f"metric: {name!r} is not known",
        hint=f"did you mean {near[0]}?" if near else f"known: {', '.join(METRICS)}",
    )
