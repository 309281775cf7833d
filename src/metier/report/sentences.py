"""Says the facts of a run in sentences: the verdict, what qualifies it, and how the model was made.

The page, the model card, the terminal and the JSON share them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from metier.core.records import Interval, Origin, SystemKind, SystemScore
from metier.evaluation.better import LEVEL, SPECIALIST, judge, to_beat
from metier.evaluation.records import WORST_LOSS, Split
from metier.report.facts import Judged, RunFacts
from metier.report.made import Data
from metier.report.words import (
    brief,
    count,
    interval_text,
    listed,
    metric_title,
    number,
    p_value,
    points,
    size,
    span,
)

# By origin, the noun of one pair and what comes after it.
_ORIGINS: Mapping[Origin, tuple[str, str]] = {
    "example": ("hand-written example", ""),
    "labelled": ("labelled row", ""),
    "synthetic": ("synthetic pair", ""),
    "pool": ("row", " chosen from a pool"),
    "generic": ("pair", " of generic instruction data"),
}


def verdict_sentence(facts: RunFacts) -> str:
    """Return the verdict in one sentence; where there can be none, why."""
    judged = facts.judged
    if judged is None or judged.gain is None or judged.best is None or judged.verdict is None:
        why = "there is no test set" if judged is None else "the test set is too small for an interval"
        return f"Whether the specialist is better cannot be known: {why}."
    numbers = (
        f"{points(judged.gain.value)} points {metric_title(facts.metric)} over the best system without it "
        f"({judged.best.title}), 95% interval {span(judged.gain)}, on {count(judged.rows, 'row')}"
    )
    if judged.claims > 1:
        numbers += f", p-values corrected for {judged.claims} tasks"
    return f"{judged.verdict.capitalize()}: {numbers}."


def product_sentence(facts: RunFacts) -> str | None:
    """Return what the run ends with and why, in one sentence; None where it ended with nothing."""
    product = facts.product
    if product is None:
        return None
    took = f"{size(product.nbytes)}"
    if product.measured is not None and product.measured.milliseconds is not None:
        took = f"{brief(product.measured.milliseconds / 1000)} a row, {took}"
    score = ""
    if product.measured is not None:
        found = product.measured.score
        ends = f" [{number(found.low)}, {number(found.high)}]" if found.low < found.high else ""
        score = f"{number(found.value)}{ends} {metric_title(product.measured.metric)}, "
    return f"Ships: {product.title} ({score}{took}), because {product.why}."


def good_enough_sentence(facts: RunFacts) -> str:
    """Return what counts as good enough to ship in place of the best System."""
    tolerance = facts.setting("ship", "tolerance")
    if not isinstance(tolerance, int | float):
        return ""
    return (
        f"Good enough: at most {tolerance:g} points below the best System, with an interval that allows for no more "
        f"than {WORST_LOSS * tolerance:g}."
    )


def product_notes(facts: RunFacts) -> tuple[str, ...]:
    """Return what a user of the product must know: its score without the flattery of the choice, its confidence."""
    product = facts.product
    if product is None:
        return ()
    notes = []
    measured = product.measured
    if measured is not None and measured.unseen_score is not None:
        unseen = measured.unseen_score
        interval = f"[{number(unseen.low)}, {number(unseen.high)}]"
        notes.append(
            f"Chosen in this way, a System scores {number(unseen.value)} {interval} on rows that had no part in the "
            f"choice; {100 * measured.stability:.0f}% of resamples of the test rows choose the same one."
        )
    if product.confidence is not None:
        confidence = product.confidence
        notes.append(
            f"Its probabilities are read with a temperature of {confidence.temperature:.2f}, fitted on the test rows; "
            f"cross-fitted, they are off by {100 * confidence.calibration_error:.1f} points on average "
            f"(Brier score {confidence.brier:.3f})."
        )
    if product.threshold is not None:
        threshold = product.threshold
        if threshold.answered:
            notes.append(
                f"It answers from a probability of {threshold.threshold:.2f} on: {100 * threshold.answered:.0f}% of "
                f"the rows, {100 * threshold.right:.1f}% of them right, at least {100 * threshold.lower:.1f}% with 95% "
                f"confidence ({threshold.state})."
            )
        else:
            notes.append(
                f"No probability was shown to be enough for {100 * threshold.accuracy:g}% right answers: "
                "it always abstains."
            )
    return tuple(notes)


def advice(facts: RunFacts) -> str:
    """Return what to use: the cheapest system that is good enough, whatever was shown about the specialist."""
    chosen = facts.judged.advised if facts.judged else None
    if chosen is None:
        return "Keep the base model until test rows show that something else is better."
    return advice_of(chosen.system, chosen.title, chosen.kind, better=facts.better)


def advice_of(system: str, title: str, kind: SystemKind, *, better: bool) -> str:
    """Return that a system is the one to use, as the cheapest that is good enough.

    Args:
        system: Its key.
        title: Its name for people.
        kind: What kind of system it is.
        better: Whether the specialist was shown to be better than every system without it.
    """
    if system == SPECIALIST:
        if better:
            return "Use the specialist: no cheaper system is good enough."
        return "Nothing cheaper than the specialist is good enough, but that it is better was not shown."
    if system == "copied_input":
        return "Leave the text as it is: that is good enough."
    if kind == "constant":
        return f"Do not use a model for this yet: the {title} is good enough and needs none."
    what = f"Keep the base model ({title})" if kind == "prompted" else f"Use this instead: {title}"
    return f"{what}, the cheapest system that is good enough."


def trial_notes(facts: RunFacts) -> tuple[str, ...]:
    """Return that a run was made with little, where it was: what it says is then no measurement."""
    judged = facts.judged
    notes = []
    if facts.is_smoke:
        notes.append(
            "This was made with the settings of --smoke, a handful of rows to see that everything works: its scores "
            "mean nothing."
        )
    if judged is not None and judged.drawn_from is not None:
        notes.append(
            f"Only {judged.rows:,} of the {count(judged.drawn_from, 'test row')} were used, drawn by the seed "
            "(--limit, or evaluation.limit)."
        )
    return tuple(notes)


def scenario_notes(tasks: Sequence[RunFacts]) -> tuple[str, ...]:
    """Return the `trial_notes` of a scenario's tasks, each with its task unless it is the same for all of them."""
    notes = {facts.name: trial_notes(facts) for facts in tasks}
    every = dict.fromkeys(note for some in notes.values() for note in some)
    common = [note for note in every if all(note in some for some in notes.values())]
    own = [
        f"{name}: {note[0].lower()}{note[1:]}" for name, some in notes.items() for note in some if note not in common
    ]
    return (*common, *own)


def answering_sentence(facts: RunFacts) -> str:
    """Return how the specialist's answers were had."""
    if not facts.by_likelihood:
        return "The specialist writes its answer, the likeliest token at each step."
    if facts.label_prior == "none":
        return "The specialist answers with the label whose tokens are likeliest on average after the prompt."
    anyway = "the inputs of its synthetic pairs" if facts.label_prior == "synthetic" else "inputs that say nothing"
    return (
        "The specialist answers with the likeliest label: of each label's log-likelihood after the prompt, its mean "
        f"after {anyway} is taken off, which is how likely the model finds it anyway."
    )


def split_sentences(split: Split) -> tuple[tuple[str, str], ...]:
    """Return what the gain over few-shot prompting is made of: the name of each part, and what it says."""
    ability, form = split.ability, split.format
    if _includes_zero(form):
        what = "The interval includes zero: no such difference was shown."
    elif form.value > 0:
        what = "The specialist also learnt the form in which to answer."
    else:
        what = "Tuning did more for finding the right label likeliest than for writing it."
    return (
        (
            "Ability",
            f"{interval_text(ability)} points of exact match: the specialist's gain where both models choose the "
            "likeliest label, so that the form of the answer plays no part."
            + (" The interval includes zero: no such gain was shown." if _includes_zero(ability) else ""),
        ),
        (
            "Format",
            f"{interval_text(form)}: by how much the gain is {'larger' if form.value >= 0 else 'smaller'} where both "
            f"models write instead. {what}",
        ),
    )


def caveats(facts: RunFacts) -> tuple[str, ...]:
    """Return what a reader must know beside the verdict, most important first; empty where there is nothing to add."""
    judged = facts.judged
    if judged is None or judged.gain is None:
        return trial_notes(facts)
    notes = [*trial_notes(facts), *_unbeaten(judged)]
    if judged.detectable and math.isfinite(judged.detectable):
        notes.append(
            f"With {count(judged.rows, 'row')} like these, a true gain of {number(judged.detectable)} points is "
            "detected four times in five; smaller gains need more rows."
        )
    if judged.verdict == "not shown to be better" and judged.rows_needed and judged.rows_needed > judged.rows:
        notes.append(
            f"The test set is too small to show the gain that was found: with about {judged.rows_needed:,} rows like "
            "these it would be detected four times in five."
        )
    if judged.leaked_rows:
        without = f" Without them the gain is {interval_text(judged.clean_gain)}." if judged.clean_gain else ""
        leaked = count(judged.leaked_rows, "test row")
        are = "is" if judged.leaked_rows == 1 else "are"
        notes.append(f"{leaked} {are} nearly the same as something the model was trained on (leakage.jsonl).{without}")
    return tuple(notes)


def data_sentences(data: Data) -> tuple[str, ...]:
    """Return what the model was trained on, and how it was come by."""
    nouns = [(n, *_ORIGINS[origin]) for origin, n in data.pairs_by_origin.items() if n]
    parts = [f"{count(n, noun)}{rest}" for n, noun, rest in nouns]
    if len(parts) == 1:
        said = [f"It was trained on {parts[0]}."]
    else:
        said = [f"It was trained on {count(data.pairs, 'pair')}" + (f": {listed(parts)}." if parts else ".")]
    if data.synthesis_funnel:
        first, last = data.synthesis_funnel[0], data.synthesis_funnel[-1]
        wrote = f"The base model wrote {count(first.entered - data.real_inputs, 'pair')} for this task, from the "
        wrote += "instruction and a few examples"
        if data.real_inputs:
            wrote += f", and answered {count(data.real_inputs, 'real input')}"
            said.append(f"{wrote}; {last.kept:,} passed the filters, {data.real_kept:,} of them with real inputs.")
        else:
            said.append(f"{wrote}; {last.kept:,} passed the filters.")
    if data.as_asked is not None:
        chance = 100 / data.asked_labels
        said.append(
            f"Of the inputs that it wrote for a label, {100 * data.as_asked:.0f}% were read as that label "
            f"({chance:.0f}% would be by chance): the nearer to chance, the less its pairs can teach."
        )
    if data.selection_funnel:
        said.append(_selection(data))
    return tuple(said)


def held_out_sentence(facts: RunFacts) -> str:
    """Return how the specialist does on pairs held out from training, and why that is no result; empty without any."""
    training = facts.training
    if facts.metric not in training.held_out_scores:
        return ""
    score = training.held_out_scores[facts.metric]
    why = "they are from where the training data is from, not from the test"
    if facts.data.synthetic:
        # Hand-written examples are always trained on, so they are never among those held out.
        alone = facts.data.synthetic + facts.data.pairs_by_origin.get("example", 0) == facts.data.pairs
        why = f"the model wrote {'those' if alone else 'some of those'} answers itself"
    said = (
        f"On {count(training.held_out_rows, 'pair')} held out from the training data the specialist scores "
        f"{number(score)} {metric_title(facts.metric)}. This is not a result: {why}."
    )
    ours = facts.judged.ours if facts.judged else None
    if ours is None or facts.metric not in ours.scores:
        return said
    real = ours.scores[facts.metric]
    return f"{said} On the test rows it scores {number(real)}, a difference of {points(real - score)} points."


def _unbeaten(judged: Judged) -> list[str]:
    """Name the systems that the specialist is not shown to beat, where the verdict alone would not tell."""
    left = [s for s in judged.systems if s.gain is not None and judge(s.gain, s.p_value) != "better"]
    if judged.verdict == "better":
        named = "; ".join(f"{s.title} ({interval_text(s.gain)})" for s in left if s.gain)
        return [f"It is not shown to be better than: {named}."] if named else []
    if judged.gain is None or judged.gain.low <= 0:
        return []
    said = [f"{s.title} (p = {p_value(s.p_value or 1.0)}, uncorrected)" for s in left if _undecided(s)]
    if said:
        return [
            "The interval over the best system is above zero, but the specialist must be significantly better than "
            f"each system, and it is not for: {'; '.join(said)}."
        ]
    return [
        f"Alone it would count as better; corrected for {judged.claims} tasks, its largest p-value is "
        f"{p_value(judged.p_value or 1.0)}."
    ]


def _includes_zero(interval: Interval) -> bool:
    return interval.low <= 0 <= interval.high


def _undecided(system: SystemScore) -> bool:
    return to_beat(system.kind) and system.p_value is not None and system.p_value >= LEVEL


def _selection(data: Data) -> str:
    first, last = data.selection_funnel[0], data.selection_funnel[-1]
    between = data.selection_funnel[1:-1]
    related = f", {between[-1].kept:,} of which count as the task's" if between else ""
    if data.pairs_by_origin.get("pool"):
        return f"The pool has {count(first.entered, 'row')}{related}; {last.kept:,} were chosen."
    were = "was" if last.kept == 1 else "were"
    return f"{count(last.kept, 'row')} {were} chosen from {first.entered:,}{related}."
