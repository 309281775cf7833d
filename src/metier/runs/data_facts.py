"""Says where a task's training pairs are from: by origin, through which filters, chosen from what."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from metier.core import storage
from metier.core.records import Candidate, Origin
from metier.core.step import Done
from metier.data.mixture import MixedRow
from metier.report.made import Data, FunnelStep
from metier.steps.pairs import TaskPairs
from metier.steps.select import Selection
from metier.steps.synthesize import Synthesis

_SHOWN = 20


def data_facts(rows: Sequence[MixedRow], pairs: TaskPairs) -> Data:
    """Return where a task's training pairs are from.

    Args:
        rows: The task's rows of the mixture.
        pairs: What they are made of.
    """
    synthesis, labels = pairs.synthesis, pairs.rows.task.labels
    candidates = synthesis.value.candidates if synthesis else ()
    origins: Counter[Origin] = Counter(row.origin for row in rows)
    return Data(
        pairs_by_origin=dict(origins),
        label_counts=dict(sorted(Counter(row.output for row in rows).items())) if labels else {},
        synthesis_funnel=_funnel(synthesis),
        selection_funnel=_selection_funnel(pairs.selection),
        candidates=_sample(candidates, pairs.rows.task.seed),
        real_inputs=sum(c.real for c in candidates),
        real_kept=sum(c.real and c.kept for c in candidates),
        as_asked=_as_asked(candidates) if labels else None,
        asked_labels=len({c.asked_label for c in candidates if c.asked_label}) if labels else 0,
    )


def _as_asked(candidates: Sequence[Candidate]) -> float | None:
    """Return the share of inputs that were read as the label they were written for, of those that were read."""
    read = [c for c in candidates if c.asked_label is not None and c.share is not None and c.output]
    return sum(c.output == c.asked_label for c in read) / len(read) if read else None


def _funnel(synthesis: Done[Synthesis] | None) -> tuple[FunnelStep, ...]:
    """Return the way from what was written to what was kept, filter by filter, in the order in which they came."""
    if synthesis is None or not synthesis.value.candidates:
        return ()
    dropped = Counter(c.dropped_by for c in synthesis.value.candidates if c.dropped_by)
    left = len(synthesis.value.candidates)
    real = any(c.real for c in synthesis.value.candidates)
    steps = [FunnelStep("written or answered" if real else "written", left)]
    for name, several in sorted(dropped.items(), key=lambda item: _place(item[0])):
        left -= several
        steps.append(FunnelStep(name, left, {name: several}))
    return tuple(steps)


_ORDER = (
    "cut_off",
    "empty",
    "length",
    "form",
    "unchanged",
    "noise",
    "edits",
    "duplicate",
    "too_long",
    "no_answer",
    "disagreement",
    "no_repair",
    "quota",
    "no_label",
    "balance",
)


def _place(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _selection_funnel(selection: Done[Selection] | None) -> tuple[FunnelStep, ...]:
    if selection is None:
        return ()
    found = selection.value
    steps = [FunnelStep("rows to choose from", found.pool_rows)]
    if found.region_rows is not None:
        steps.append(FunnelStep("the task's part", found.region_rows))
    return (*steps, FunnelStep("chosen", len(found.places)))


def _sample(candidates: Sequence[Candidate], seed: int) -> tuple[Candidate, ...]:
    rng = random.Random(storage.seed_of(seed, "sample"))
    kept = [c for c in candidates if c.kept]
    dropped = [c for c in candidates if not c.kept]
    half = _SHOWN // 2
    return (*rng.sample(kept, min(half, len(kept))), *rng.sample(dropped, min(half, len(dropped))))
