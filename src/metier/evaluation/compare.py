"""Scores every system on the same rows and says whether the specialist is better. Knows nothing about models."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from metier.evaluation.metrics import get_metric
from metier.evaluation.statistics import paired_bootstrap, smallest_detectable_gain, verdict
from metier.records import Example, Interval, Prediction, SystemScore, Verdict
from metier.task import Task

SPECIALIST = "specialist"
TITLES: Mapping[str, str] = {
    "majority": "majority class",
    "copied_input": "copied input",
    "zero_shot": "prompted, zero-shot",
    "few_shot": "prompted, few-shot",
    "label_scoring": "label scoring, few-shot",
    "label_scoring_calibrated": "label scoring, calibrated",
    SPECIALIST: "specialist",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """What one system answered, a text for each test row, and how long it took in seconds (None: nothing to time)."""

    system: str
    texts: tuple[str, ...]
    seconds: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of an evaluation.

    Attributes:
        systems: One score row a system, in the order given.
        predictions: One record a system and row.
        baseline: The best system that is not the specialist: what the verdict is about.
        gain: The specialist's gain over it, in points; None with fewer than two rows.
        verdict: better, not shown to be better, or worse; None where no interval can be had.
        detectable: The smallest gain that so many rows could have shown, in points.
    """

    systems: tuple[SystemScore, ...]
    predictions: tuple[Prediction, ...]
    baseline: str
    gain: Interval | None
    verdict: Verdict | None
    detectable: float | None


def constant_answers(task: Task, rows: Sequence[Example]) -> Answers:
    """Return the system that needs no model: the test set's commonest label, or the input itself."""
    if task.labels:
        common = Counter(row.output for row in rows).most_common(1)[0][0]
        return Answers("majority", tuple(common for _ in rows))
    return Answers("copied_input", tuple(row.input for row in rows))


def compare(task: Task, rows: Sequence[Example], answers: Sequence[Answers]) -> Comparison:
    """Score all systems on all rows and compare the specialist with each of them, row by row.

    Args:
        task: Says which metric counts.
        rows: The test rows.
        answers: One entry a system; one of them is the specialist.
    """
    references = [r.output for r in rows]
    names = metrics_of(task)
    scores: dict[str, dict[str, npt.NDArray[np.float64]]] = {
        a.system: {name: get_metric(name).rows(a.texts, references, labels=task.labels) for name in names}
        for a in answers
    }
    main = names[0]
    ours = scores[SPECIALIST][main]
    resamples, seed = task.evaluation.resamples, task.seed
    gains = {
        a.system: paired_bootstrap(ours, scores[a.system][main], resamples=resamples, seed=seed)
        for a in answers
        if a.system != SPECIALIST
    }
    # Of equals the first: then the plainer system is the one to beat.
    baseline = max(gains, key=lambda system: float(scores[system][main].mean()))
    gain = gains[baseline]
    return Comparison(
        systems=tuple(
            SystemScore(
                system=a.system,
                title=TITLES[a.system],
                scores={name: float(scores[a.system][name].mean()) for name in names},
                gain=gains.get(a.system),
                seconds=a.seconds,
            )
            for a in answers
        ),
        predictions=tuple(
            Prediction(i, a.system, row.input, row.output, text, text, float(scores[a.system][main][i]))
            for a in answers
            for i, (row, text) in enumerate(zip(rows, a.texts, strict=True))
        ),
        baseline=baseline,
        gain=gain,
        verdict=verdict(gain) if gain else None,
        detectable=smallest_detectable_gain(ours - scores[baseline][main]) if gain else None,
    )


def metrics_of(task: Task) -> tuple[str, ...]:
    """Return the metrics that fit the task, the one that counts first."""
    fitting = ("exact_match", "label_match") if task.labels else ("rouge_l", "char_lcs_f1", "exact_match")
    return (task.main_metric, *(name for name in fitting if name != task.main_metric))
