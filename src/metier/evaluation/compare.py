"""Scores every system on the same rows and says whether the specialist is better. Knows nothing about models."""

from __future__ import annotations

import dataclasses
import statistics as moments
from collections.abc import Mapping, Sequence

from metier.core.errors import MetierError
from metier.core.records import (
    Example,
    Interval,
    MissingSystem,
    Prediction,
    SystemAnswers,
    SystemKind,
    SystemScore,
    Verdict,
)
from metier.evaluation.better import SPECIALIST, Rival, best_rival, judge, largest_p
from metier.evaluation.measure import Measure, metrics_of, score_main, score_texts
from metier.evaluation.records import SeedScore, Split
from metier.evaluation.scored import Scored, mean_of
from metier.evaluation.statistics import interval_of_score, rows_needed, smallest_detectable_gain

# The systems that a gain is split by: the tuned model writing and scored over labels, the base model the same two ways.
_WRITTEN, _FEW_SHOT, _SCORED = "specialist_written", "few_shot", "label_scoring_calibrated"


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of an evaluation.

    Attributes:
        systems: One score row a system, in the order given, the specialist's last; those that could not be had with a
            note. Their p-values are single ones, uncorrected.
        predictions: One record a system and row.
        baseline: The best system that uses the base model, or no model: the gain is over it.
        gain: The specialist's gain over it, in points; None with fewer than two rows.
        p_value: The largest single p-value against the systems that the verdict is about.
        verdict: What `better.judge` makes of the two; None where no interval can be had.
        detectable: The smallest gain that so many rows would show four times in five, in points; None where the rows
            do not say (a single one, or all with the same difference).
        rows_needed: How many rows like these would show the gain that was found; None where they do not say.
        split: What the gain over few-shot prompting is made of (tasks with labels).
        seeds: The specialist's scores by training seed, where there are several.
        seed_spread: Their standard deviation.
        leaked_rows: Rows that something trained on comes near.
        clean_gain: The gain without them; None where there are none, or no interval can be had.
    """

    systems: tuple[SystemScore, ...]
    predictions: tuple[Prediction, ...]
    baseline: str
    gain: Interval | None
    p_value: float | None
    verdict: Verdict | None
    detectable: float | None
    rows_needed: int | None = None
    split: Split | None = None
    seeds: tuple[SeedScore, ...] = ()
    seed_spread: float | None = None
    leaked_rows: int = 0
    clean_gain: Interval | None = None


def compare(
    measure: Measure,
    rows: Sequence[Example],
    systems: Sequence[SystemAnswers],
    *,
    missing: Sequence[MissingSystem] = (),
    more_seeds: Mapping[int, Sequence[str]] | None = None,
    leaked: Sequence[int] = (),
) -> Comparison:
    """Score all systems on all rows and compare the specialist with each of them, row by row.

    Args:
        measure: Says which metric counts.
        rows: The test rows.
        systems: What each system answered, in display order; one of them is the specialist.
        missing: Systems that could not be had, and why.
        more_seeds: What specialists of other training seeds answered.
        leaked: Indices of rows that something trained on comes near.

    Raises:
        MetierError: There is no specialist, or nothing that the verdict could be about; a count differs.
    """
    scores = {s.system: score_texts(measure, rows, s.texts) for s in systems}
    rivals = rivals_of(measure, systems, {key: scored[measure.metric] for key, scored in scores.items()})
    best = _best(rivals)
    ours, theirs = scores[SPECIALIST][measure.metric], scores[best.system][measure.metric]
    seeds, spread = _seeds(measure, rows, ours.corpus, best.score, more_seeds or {})
    p_value = largest_p(rivals)
    return Comparison(
        systems=_score_rows(measure, systems, missing, scores, rivals),
        predictions=tuple(
            Prediction(i, s.system, row.input, row.output, text, text, float(scores[s.system][measure.metric].rows[i]))
            for s in systems
            for i, (row, text) in enumerate(zip(rows, s.texts, strict=True))
        ),
        baseline=best.system,
        gain=best.gain,
        p_value=p_value,
        verdict=judge(best.gain, p_value),
        detectable=smallest_detectable_gain(ours, theirs),
        rows_needed=rows_needed(ours, theirs),
        split=_split(measure, systems, scores),
        seeds=seeds,
        seed_spread=spread,
        leaked_rows=len(set(leaked)),
        clean_gain=_clean_gain(measure, rows, systems, best.system, leaked),
    )


def rivals_of(measure: Measure, systems: Sequence[SystemAnswers], scores: Mapping[str, Scored]) -> tuple[Rival, ...]:
    """Return the specialist's comparison with every system that is not the run's own.

    Args:
        measure: Says how intervals and p-values are drawn.
        systems: What was answered.
        scores: Each system's score by the first metric.

    Raises:
        MetierError: There is no specialist.
    """
    if SPECIALIST not in scores:
        raise MetierError("there is no specialist to compare")
    ours = scores[SPECIALIST]
    return tuple(
        Rival(
            s.system,
            s.title,
            s.kind,
            scores[s.system].corpus,
            measure.gain(ours, scores[s.system]),
            measure.p_value(ours, scores[s.system]),
        )
        for s in systems
        if s.kind != "specialist"
    )


def _best(rivals: Sequence[Rival]) -> Rival:
    best = best_rival(rivals)
    if best is None:
        raise MetierError("there is nothing to compare the specialist with: no constant, no prompt, no tuned model")
    return best


def _score_rows(
    measure: Measure,
    systems: Sequence[SystemAnswers],
    missing: Sequence[MissingSystem],
    scores: Mapping[str, Mapping[str, Scored]],
    rivals: Sequence[Rival],
) -> tuple[SystemScore, ...]:
    """Return the result table: the run's own systems last, what could not be had before them."""
    names = metrics_of(measure)
    compared = {rival.system: rival for rival in rivals}
    found = [
        SystemScore(
            system=s.system,
            title=s.title,
            scores={name: scores[s.system][name].corpus for name in names if name in scores[s.system]},
            gain=compared[s.system].gain if s.system in compared else None,
            seconds=s.seconds,
            kind=s.kind,
            p_value=compared[s.system].p_value if s.system in compared else None,
        )
        for s in systems
    ]
    found += [SystemScore(m.system, m.title, {}, note=m.why, kind=m.kind) for m in missing]
    return tuple(sorted(found, key=lambda s: _place(s.system, s.kind)))


def _place(system: str, kind: SystemKind) -> int:
    return 2 if system == SPECIALIST else 1 if kind == "specialist" else 0


def _split(
    measure: Measure, systems: Sequence[SystemAnswers], scores: Mapping[str, Mapping[str, Scored]]
) -> Split | None:
    """Return ability and format; None unless the specialist answers by likelihood and all four answers are there."""
    needed = (_WRITTEN, _FEW_SHOT, SPECIALIST, _SCORED)
    by_likelihood = any(s.system == SPECIALIST and s.probabilities is not None for s in systems)
    if not measure.labels or not by_likelihood or any(system not in scores for system in needed):
        return None
    after, before, after_scored, before_scored = (scores[system]["exact_match"].rows for system in needed)
    ability = after_scored - before_scored
    settings = {"resamples": measure.resamples, "seed": measure.seed}
    parts = [interval_of_score(mean_of(d), **settings) for d in (ability, after - before - ability)]
    return Split(parts[0], parts[1]) if parts[0] and parts[1] else None


def _seeds(
    measure: Measure, rows: Sequence[Example], ours: float, best: float, more: Mapping[int, Sequence[str]]
) -> tuple[tuple[SeedScore, ...], float | None]:
    if not more:
        return (), None
    found = {measure.seed: ours, **{seed: score_main(measure, rows, texts).corpus for seed, texts in more.items()}}
    return tuple(SeedScore(seed, score, score - best) for seed, score in found.items()), moments.stdev(found.values())


def _clean_gain(
    measure: Measure, rows: Sequence[Example], systems: Sequence[SystemAnswers], baseline: str, leaked: Sequence[int]
) -> Interval | None:
    clean = sorted(set(range(len(rows))) - set(leaked))
    if not leaked or len(clean) < 2:
        return None
    kept = [rows[i] for i in clean]
    texts = {s.system: [s.texts[i] for i in clean] for s in systems if s.system in (SPECIALIST, baseline)}
    after, before = (score_main(measure, kept, texts[system]) for system in (SPECIALIST, baseline))
    return measure.gain(after, before)
