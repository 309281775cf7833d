"""How one task's answers are judged: its metrics, labels and resampling, without the rest of the task."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from metier.core.errors import MetierError
from metier.core.records import Example, Interval
from metier.evaluation.metrics import get_metric
from metier.evaluation.scored import Scored, Texts
from metier.evaluation.statistics import paired_bootstrap, randomisation_p

_CORRECTION = ("gleu", "errant", "edit_f05", "edit_match")


@dataclasses.dataclass(frozen=True, slots=True)
class Measure:
    """What evaluation must know of a task.

    Attributes:
        metric: The metric the verdict is made on.
        labels: The possible answers; None for free text.
        resamples: Of the bootstrap and of the randomisation test.
        seed: Seeds both.
    """

    metric: str
    labels: tuple[str, ...] | None = None
    resamples: int = 10_000
    seed: int = 0

    def gain(self, after: Scored, before: Scored) -> Interval | None:
        """Return the paired difference of two systems with its interval; None with fewer than two rows."""
        return paired_bootstrap(after, before, resamples=self.resamples, seed=self.seed)

    def p_value(self, after: Scored, before: Scored) -> float | None:
        """Return the uncorrected p-value of that difference; None with fewer than two rows."""
        return randomisation_p(after, before, resamples=self.resamples, seed=self.seed)


def metrics_of(measure: Measure) -> tuple[str, ...]:
    """Return the metrics that fit the task, the one that the verdict is made on first."""
    main = measure.metric
    if measure.labels:
        fitting = ["exact_match", "label_match", "macro_f1"]
    elif is_correction(measure):
        fitting = ["gleu", "edit_f05", "errant", "exact_match", "over_editing", "copied_rate", "length_ratio"]
    elif is_rewriting(measure):
        fitting = ["sari", "rouge_l", "exact_match", "over_editing", "copied_rate", "length_ratio"]
        fitting += ["self_similarity", "meaning"] if main == "ibleu" else ["readability"]
    else:
        fitting = ["rouge_l", "char_lcs_f1", "exact_match"]
    return (main, *(name for name in fitting if name != main))


def is_correction(measure: Measure) -> bool:
    """Whether the task is to correct its input, as its metric says."""
    return measure.metric in _CORRECTION


def is_rewriting(measure: Measure) -> bool:
    """Whether the answer is a form of the input, as the metric says."""
    return get_metric(measure.metric).needs == "sources"


def score_texts(measure: Measure, rows: Sequence[Example], texts: Sequence[str]) -> dict[str, Scored]:
    """Return one system's scores by every metric that fits; a further metric that cannot be computed is left out.

    Args:
        measure: Says which metrics fit.
        rows: The test rows.
        texts: The system's answers, one a row.

    Raises:
        MetierError: The counts differ, or what the first metric needs is not installed.
    """
    main, *others = metrics_of(measure)
    given = _texts(measure, rows, texts)
    out = {main: get_metric(main).score(given)}
    for name in others:
        try:
            out[name] = get_metric(name).score(given)
        except MetierError:  # an extra that is not installed: only the metric that counts must be there
            continue
    return out


def score_main(measure: Measure, rows: Sequence[Example], texts: Sequence[str]) -> Scored:
    """Return one system's score by the first metric alone.

    Raises:
        MetierError: The counts differ, or what the metric needs is not installed.
    """
    return get_metric(measure.metric).score(_texts(measure, rows, texts))


def check_metric(measure: Measure) -> None:
    """Score a row made up for it, so that a metric that cannot be computed here is reported before any work.

    Raises:
        MetierError: What the metric needs is not installed.
    """
    answer = measure.labels[0] if measure.labels else "This is a sentence."
    score_main(measure, [Example(answer, answer)], [answer])


def _texts(measure: Measure, rows: Sequence[Example], texts: Sequence[str]) -> Texts:
    return Texts(texts, [row.references for row in rows], [row.input for row in rows], measure.labels)
