"""Compares systems over several tasks: each task by its own metric, and the mean over all. Knows no models.

A task's claim is that the specialist is better than every system without it (`better`). The claims of all tasks are
one family, so each task's largest p-value is corrected for their number (Holm).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from metier.core.errors import MetierError
from metier.core.records import Example, Interval, SystemAnswers, SystemKind, Verdict
from metier.evaluation.better import SPECIALIST, Rival, best_rival, judge, largest_p
from metier.evaluation.compare import rivals_of
from metier.evaluation.measure import Measure, score_main
from metier.evaluation.scored import Scored
from metier.evaluation.statistics import holm_of_known, mean_over_tasks

_UNSEEN = "specialist_unseen"


@dataclasses.dataclass(frozen=True, slots=True)
class TaskAnswers:
    """One task's test rows, and what every system answered.

    Attributes:
        name: The task's name.
        measure: How it is judged.
        rows: The test rows.
        systems: What each system answered; one of them is the specialist.
    """

    name: str
    measure: Measure
    rows: tuple[Example, ...]
    systems: tuple[SystemAnswers, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What the specialist came to on one task.

    Attributes:
        name: The task.
        metric: What the scores are by.
        rows: How many test rows.
        specialist: Its score.
        best: The best system without it, which the gain is over.
        rivals: Every system it was compared with, in the order given; their p-values are uncorrected.
        unseen: Its score when asked in wordings that it was not trained on.
        p_value: The largest single p-value of the systems that the verdict is about, corrected for the tasks (Holm).
        verdict: What `better.judge` makes of the gain over the best and that p-value; None with one row.
    """

    name: str
    metric: str
    rows: int
    specialist: float
    best: Rival
    rivals: tuple[Rival, ...]
    unseen: float | None
    p_value: float | None
    verdict: Verdict | None

    @property
    def holds(self) -> bool:
        """Whether the specialist is significantly better than every system without it."""
        return self.verdict == "better"

    def best_of(self, kind: SystemKind) -> Rival | None:
        """Return the best system of a kind; of equals the first, which is the plainer one."""
        return max((r for r in self.rivals if r.kind == kind), key=lambda rival: rival.score, default=None)


@dataclasses.dataclass(frozen=True, slots=True)
class ScenarioOutcome:
    """What the specialist came to on each task, and its mean gain over the best system without it."""

    tasks: tuple[TaskOutcome, ...]
    mean_gain: Interval | None


def compare_tasks(tasks: Sequence[TaskAnswers], *, resamples: int = 10_000, seed: int = 0) -> ScenarioOutcome:
    """Return what the specialist came to on every task, beside the systems without it.

    Args:
        tasks: Each with the answers to its rows.
        resamples: Of the bootstrap over tasks.
        seed: Seeds it.

    Raises:
        MetierError: A task has no specialist, or nothing that its verdict could be about.
    """
    compared = [compare_task(task) for task in tasks]
    corrected = holm_of_known([one.p_value for one in compared])
    return ScenarioOutcome(
        tuple(
            TaskOutcome(
                name=task.name,
                metric=task.measure.metric,
                rows=len(task.rows),
                specialist=one.ours.corpus,
                best=one.best,
                rivals=one.rivals,
                unseen=one.unseen,
                p_value=p_value,
                verdict=judge(one.best.gain, p_value),
            )
            for task, one, p_value in zip(tasks, compared, corrected, strict=True)
        ),
        mean_over_tasks([(one.ours, one.theirs) for one in compared], resamples=resamples, seed=seed),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class TaskCompared:
    """One task's scores before any correction: the specialist's, and the best system's without it.

    Attributes:
        ours: The specialist's score.
        theirs: The best system's without it.
        best: That system.
        rivals: Every system compared.
        unseen: The specialist's score in unseen wordings.
        p_value: The largest single p-value, uncorrected.
    """

    ours: Scored
    theirs: Scored
    best: Rival
    rivals: tuple[Rival, ...]
    unseen: float | None
    p_value: float | None


def compare_task(task: TaskAnswers) -> TaskCompared:
    """Compare the specialist with every system on one task, uncorrected.

    Raises:
        MetierError: There is no specialist, or nothing that the verdict could be about.
    """
    needed = [s for s in task.systems if s.kind != "specialist" or s.system in (SPECIALIST, _UNSEEN)]
    scores = {s.system: score_main(task.measure, task.rows, s.texts) for s in needed}
    rivals = rivals_of(task.measure, needed, scores)
    best = best_rival(rivals)
    if best is None:
        raise MetierError(f"{task.name}: there is nothing to compare the specialist with")
    unseen = scores.get(_UNSEEN)
    return TaskCompared(
        scores[SPECIALIST], scores[best.system], best, rivals, unseen.corpus if unseen else None, largest_p(rivals)
    )
