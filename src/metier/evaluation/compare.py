"""Scores every system on the same rows and says whether the specialist is better. Knows nothing about models."""

from __future__ import annotations

import dataclasses
import statistics as moments
from collections import Counter
from collections.abc import Mapping, Sequence

from metier.core.errors import MetierError
from metier.core.records import Example, Interval, Prediction, SystemScore, Verdict
from metier.evaluation.metrics import METRICS, get_metric
from metier.evaluation.scored import Scored, Texts, mean_of
from metier.evaluation.statistics import (
    holm_of_known,
    interval_of_score,
    paired_bootstrap,
    randomisation_p,
    rows_needed,
    smallest_detectable_gain,
    verdict,
)
from metier.systems.registry import KINDS, ORDER, SPECIALIST, SPECIALIST_SCORING_CALIBRATED, TITLES
from metier.tasks.task import Task

_CORRECTION = ("gleu", "errant", "edit_f05", "edit_match")


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """What one system answered, a text for each test row."""

    system: str
    texts: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """What a gain over few-shot prompting is made of, in points of exact match.

    Attributes:
        ability: What label scoring gained: the model tells the labels apart better.
        format: What generation gained beyond that: the model says what it knew already.
    """

    ability: Interval
    format: Interval


@dataclasses.dataclass(frozen=True, slots=True)
class SeedScore:
    """The specialist of one training seed: its score by the first metric, and its gain over the baseline."""

    seed: int
    score: float
    gain: float


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of an evaluation.

    Attributes:
        systems: One score row a system, in display order; those that could not be had with a note.
        predictions: One record a system and row.
        baseline: The best system that uses the base model, or no model: what the verdict is about.
        gain: The specialist's gain over it, in points; None with fewer than two rows.
        verdict: better, not shown to be better, or worse; None where no interval can be had.
        detectable: The smallest gain that so many rows would show four times in five, in points.
        rows_needed: How many rows like these would show the gain that was found.
        split: What the gain over few-shot prompting is made of (tasks with labels).
        seeds: The specialist's scores by training seed, where there are several.
        seed_spread: Their standard deviation.
        clean_rows: Rows that nothing trained on comes near.
        clean_gain: The gain on those alone; None where it is the same, or no interval can be had.
    """

    systems: tuple[SystemScore, ...]
    predictions: tuple[Prediction, ...]
    baseline: str
    gain: Interval | None
    verdict: Verdict | None
    detectable: float | None
    rows_needed: int | None = None
    split: Split | None = None
    seeds: tuple[SeedScore, ...] = ()
    seed_spread: float | None = None
    clean_rows: int | None = None
    clean_gain: Interval | None = None


def constant_answers(task: Task, rows: Sequence[Example]) -> Answers:
    """Return the system that needs no model: the test set's commonest label, or the input itself."""
    if task.labels:
        common = Counter(row.output for row in rows).most_common(1)[0][0]
        return Answers("majority", tuple(common for _ in rows))
    return Answers("copied_input", tuple(row.input for row in rows))


def compare(
    task: Task,
    rows: Sequence[Example],
    answers: Sequence[Answers],
    *,
    missing: Mapping[str, str] | None = None,
    more_seeds: Mapping[int, Sequence[str]] | None = None,
    leaked: Sequence[int] = (),
) -> Comparison:
    """Score all systems on all rows and compare the specialist with each of them, row by row.

    Args:
        task: Says which metric counts.
        rows: The test rows.
        answers: One entry a system; one of them is the specialist.
        missing: Systems that could not be had, and why.
        more_seeds: What specialists of other training seeds answered.
        leaked: Indices of rows that something trained on comes near.
    """
    names = metrics_of(task)
    texts = {a.system: a.texts for a in answers}
    scores = {system: score_texts(task, rows, given) for system, given in texts.items()}
    main = names[0]
    ours = scores[SPECIALIST][main]
    settings = {"resamples": task.evaluation.resamples, "seed": task.seed}
    rivals = [a.system for a in answers if KINDS[a.system] != "specialist"]
    gains = {s: paired_bootstrap(ours, scores[s][main], **settings) for s in rivals}
    p_values = holm_of_known([randomisation_p(ours, scores[s][main], **settings) for s in rivals])
    corrected = dict(zip(rivals, p_values, strict=True))
    # Of equals the first: then the plainer system is the one to beat.
    same_model = [s for s in rivals if KINDS[s] != "classic"]
    baseline = max(same_model, key=lambda system: scores[system][main].corpus)
    rival = scores[baseline][main]
    gain = gains[baseline]
    seeds, spread = _seeds(task, rows, ours, rival, more_seeds or {})
    clean = sorted(set(range(len(rows))) - set(leaked))
    systems = [
        SystemScore(
            system=system,
            title=TITLES[system],
            scores={name: scored[name].corpus for name in names if name in scored},
            gain=gains.get(system),
            kind=KINDS[system],
            p_value=corrected.get(system),
        )
        for system, scored in scores.items()
    ]
    systems += [
        SystemScore(system, TITLES[system], {}, note=why, kind=KINDS[system]) for system, why in (missing or {}).items()
    ]
    return Comparison(
        systems=tuple(sorted(systems, key=lambda s: ORDER.index(s.system))),
        predictions=tuple(
            Prediction(i, a.system, row.input, row.output, text, text, float(scores[a.system][main].rows[i]))
            for a in answers
            for i, (row, text) in enumerate(zip(rows, a.texts, strict=True))
        ),
        baseline=baseline,
        gain=gain,
        verdict=verdict(gain) if gain else None,
        detectable=smallest_detectable_gain(ours, rival),
        rows_needed=rows_needed(ours, rival),
        split=_split(task, scores),
        seeds=seeds,
        seed_spread=spread,
        clean_rows=len(clean) if leaked else None,
        clean_gain=_clean_gain(task, rows, texts, baseline, clean) if leaked else None,
    )


def score_texts(task: Task, rows: Sequence[Example], texts: Sequence[str]) -> dict[str, Scored]:
    """Return one system's scores by every metric that fits the task; one that needs what is not here is left out."""
    given = Texts(texts, [row.references for row in rows], [row.input for row in rows], task.labels)
    main, *others = metrics_of(task)
    out = {main: get_metric(main).score(given)}
    for name in others:
        try:
            out[name] = get_metric(name).score(given)
        except MetierError:  # an extra that is not installed: only the metric that counts must be there
            continue
    return out


def check_metric(task: Task) -> None:
    """Score one of the task's own examples, so that a metric that cannot be computed here is told before any work.

    Raises:
        MetierError: What the metric needs is not installed.
    """
    own = task.examples[0]
    score_texts(task, [Example(own.input, own.output)], [own.output])


def metrics_of(task: Task) -> tuple[str, ...]:
    """Return the metrics that fit the task, the one that counts first."""
    main = task.main_metric
    if task.labels:
        fitting = ["exact_match", "label_match", "macro_f1"]
    elif main in _CORRECTION:
        fitting = ["gleu", "edit_f05", "errant", "exact_match", "over_editing", "copied_rate", "length_ratio"]
    elif METRICS[main].needs == "sources":
        fitting = ["sari", "rouge_l", "exact_match", "over_editing", "copied_rate", "length_ratio"]
        fitting += ["self_similarity", "meaning"] if main == "ibleu" else ["readability"]
    else:
        fitting = ["rouge_l", "char_lcs_f1", "exact_match"]
    return (main, *(name for name in fitting if name != main))


def is_correction(task: Task) -> bool:
    """Whether the task is to correct its input, as its metric says."""
    return task.main_metric in _CORRECTION


def is_rewriting(task: Task) -> bool:
    """Whether the answer is a form of the input, as the metric says."""
    return METRICS[task.main_metric].needs == "sources"


def _split(task: Task, scores: Mapping[str, Mapping[str, Scored]]) -> Split | None:
    needed = (SPECIALIST, "few_shot", SPECIALIST_SCORING_CALIBRATED, "label_scoring_calibrated")
    if not task.labels or any(system not in scores for system in needed):
        return None
    after, before, after_scoring, before_scoring = (scores[system]["exact_match"].rows for system in needed)
    ability = after_scoring - before_scoring
    settings = {"resamples": task.evaluation.resamples, "seed": task.seed}
    parts = [interval_of_score(mean_of(d), **settings) for d in (ability, after - before - ability)]
    return Split(parts[0], parts[1]) if parts[0] and parts[1] else None


def _seeds(
    task: Task, rows: Sequence[Example], ours: Scored, rival: Scored, more: Mapping[int, Sequence[str]]
) -> tuple[tuple[SeedScore, ...], float | None]:
    if not more:
        return (), None
    main = task.main_metric
    found = {task.seed: ours.corpus, **{seed: score_texts(task, rows, t)[main].corpus for seed, t in more.items()}}
    return (
        tuple(SeedScore(seed, score, score - rival.corpus) for seed, score in found.items()),
        moments.stdev(found.values()),
    )


def _clean_gain(
    task: Task, rows: Sequence[Example], texts: Mapping[str, Sequence[str]], baseline: str, clean: Sequence[int]
) -> Interval | None:
    if len(clean) < 2:
        return None
    kept = [rows[i] for i in clean]
    main = task.main_metric
    after, before = (
        score_texts(task, kept, [texts[system][i] for i in clean])[main] for system in (SPECIALIST, baseline)
    )
    return paired_bootstrap(after, before, resamples=task.evaluation.resamples, seed=task.seed)
