"""What counts as better: the one standard that every verdict, table, page and gate uses.

The claim is that the specialist beats every system one could use without it, so it must beat the best of them and each
of them: an intersection-union test (Berger 1982). Such a claim needs no correction for the number of rivals, because
every single test must pass. Several claims side by side (tasks, runs) are corrected by Holm before they come here.
Imports no numerical library, so that a report can be drawn without one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from metier.core.records import Interval, SystemKind, Verdict

SPECIALIST = "specialist"
"""The key of the system that a verdict is about: the tuned model as the run answers with it."""
LEVEL = 0.05
_TO_BEAT: tuple[SystemKind, ...] = ("constant", "prompted", "tuned")


@dataclasses.dataclass(frozen=True, slots=True)
class Rival:
    """A system that the specialist is compared with on one task.

    Attributes:
        system: Its key.
        title: Its name for people.
        kind: What kind of system it is.
        score: By the task's first metric.
        gain: The specialist's over it; None with fewer than two rows.
        p_value: Of that gain, uncorrected.
    """

    system: str
    title: str
    kind: SystemKind
    score: float
    gain: Interval | None
    p_value: float | None

    @property
    def beaten(self) -> bool:
        """Whether the specialist is significantly better than this one system."""
        return judge(self.gain, self.p_value) == "better"


def to_beat(kind: SystemKind) -> bool:
    """Whether a system of this kind is one that the verdict is about: it needs no model, or the same one.

    Classic tools answer another question, whether a language model is needed at all.
    """
    return kind in _TO_BEAT


def best_rival(rivals: Sequence[Rival]) -> Rival | None:
    """Return the best of the systems that the verdict is about; of equals the first, which is the plainer one."""
    return max((r for r in rivals if to_beat(r.kind)), key=lambda rival: rival.score, default=None)


def largest_p(rivals: Sequence[Rival]) -> float | None:
    """Return the largest single p-value among the systems that the verdict is about; None where there is none."""
    return max((r.p_value for r in rivals if to_beat(r.kind) and r.p_value is not None), default=None)


def judge(gain: Interval | None, p_value: float | None) -> Verdict | None:
    """Return what was shown about the specialist.

    Args:
        gain: Over the best system without it, with its interval.
        p_value: The largest of the single p-values against the systems without it; for one of several claims, that
            value corrected for their number.

    Returns:
        "better" where the whole interval is above zero and the p-value (so every single one) is below 0.05; "worse"
        where the whole interval is below zero; None where there is no interval, with fewer than two rows.
    """
    if gain is None:
        return None
    if gain.high < 0:
        return "worse"
    return "better" if gain.low > 0 and p_value is not None and p_value < LEVEL else "not shown to be better"
