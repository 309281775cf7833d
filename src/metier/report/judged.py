"""Turns a finished comparison into what a report says of it: the result table, rows to show, and typical errors."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

from metier.core.records import Prediction, SystemAnswers
from metier.evaluation import diagnostics
from metier.evaluation.better import SPECIALIST
from metier.evaluation.compare import Comparison
from metier.evaluation.measure import Measure
from metier.evaluation.records import ByLabel, Need
from metier.report.facts import BeforeAfter, Judged

_SHOWN = 20


@dataclasses.dataclass(frozen=True, slots=True)
class RowsTested:
    """Where the test rows are from, and where they are kept.

    Attributes:
        source: Name of the test file, in words.
        drawn_from: Test rows there are, where not all were taken.
        folder: Name of the evaluation's folder inside the run folder.
    """

    source: str
    drawn_from: int | None = None
    folder: str | None = None


def judged_by(
    comparison: Comparison, measure: Measure, systems: Sequence[SystemAnswers], need: Need, tested: RowsTested
) -> Judged:
    """Return what a report says of a comparison.

    Args:
        comparison: What `compare` returned.
        measure: What it was given.
        systems: What it was given; the specialist's probabilities say how confident it was.
        need: What `need.weigh` returned.
        tested: Where the rows are from.
    """
    rows = _before_and_after(comparison)
    places = list(range(len(rows)))
    random.Random(measure.seed).shuffle(places)
    lost = sorted((row for row in rows if row.score_after < 100), key=lambda row: row.score_after - row.score_before)
    return Judged(
        source=tested.source,
        rows=len(rows),
        systems=comparison.systems,
        baseline=comparison.baseline if comparison.gain else None,
        gain=comparison.gain,
        p_value=comparison.p_value,
        verdict=comparison.verdict,
        drawn_from=tested.drawn_from,
        detectable=comparison.detectable,
        rows_needed=comparison.rows_needed,
        split=comparison.split,
        seeds=comparison.seeds,
        seed_spread=comparison.seed_spread,
        leaked_rows=comparison.leaked_rows,
        clean_gain=comparison.clean_gain,
        need=need,
        by_label=_by_label(measure, rows, systems),
        sample=tuple(rows[i] for i in sorted(places[:_SHOWN])),
        worst=tuple(lost[:_SHOWN]),
        evaluation_folder=tested.folder,
    )


def _before_and_after(comparison: Comparison) -> list[BeforeAfter]:
    before, after = _of(comparison, comparison.baseline), _of(comparison, SPECIALIST)
    return [
        BeforeAfter(a.input, a.reference, b.prediction, a.prediction, b.score, a.score)
        for a, b in zip(after, before, strict=True)
    ]


def _of(comparison: Comparison, system: str) -> list[Prediction]:
    return [p for p in comparison.predictions if p.system == system]


def _by_label(measure: Measure, rows: Sequence[BeforeAfter], systems: Sequence[SystemAnswers]) -> ByLabel | None:
    if not measure.labels:
        return None
    ours = next(s for s in systems if s.system == SPECIALIST)
    return diagnostics.by_label(measure.labels, [row.reference for row in rows], ours)
