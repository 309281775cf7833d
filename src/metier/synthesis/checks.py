"""Which filters a job's texts go through: those that SELF-GUIDE published, or those of `backward` or `damage`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from metier.core.records import Candidate
from metier.data.two_parts import names_in_all
from metier.synthesis import filters
from metier.synthesis.brief import Brief

Checks = list[tuple[str, filters.Filter]]
"""The names and functions of filters, in the order in which they are asked."""


def input_checks(brief: Brief) -> Checks:
    """Return the filters of inputs: empty, length, noise, duplicate, in the paper's order; `backward` has form too.

    The last one remembers the texts that reach it, so one list serves all inputs of a job. A copy of an example counts
    as a duplicate in both methods. The authors keep it; but its answer is known, and the model's own may differ.
    """
    limits = input_limits(brief)
    checks: Checks = [("empty", filters.empty)]
    if limits is not None:
        checks.append(("length", partial(filters.length, limits=limits)))
    if brief.settings.method == "backward":
        names = names_in_all([e.input for e in brief.examples])
        checks.append(("form", partial(filters.form, names=names)))
    if brief.settings.noise_filter:
        checks.append(("noise", _noise(brief)))
    seen = filters.SeenTexts(near=brief.settings.near_duplicates)
    for example in brief.examples:
        seen.check(example.input)
    checks.append(("duplicate", seen.check))
    return checks


def damage_checks(brief: Brief) -> Callable[[str], Checks]:
    """Return what gives the filters of a text's damages: empty, unchanged, noise, edits, duplicate.

    It remembers the damages that pass, so one serves all texts of a job.
    """
    limits = filters.edit_limits([(e.input, e.output) for e in brief.examples])
    noise: Checks = [("noise", _noise(brief))] if brief.settings.noise_filter else []
    seen = filters.SeenTexts()  # exact ones alone: damages of one text are always nearly alike

    def of(text: str) -> Checks:
        return [
            ("empty", filters.empty),
            ("unchanged", partial(filters.unchanged, of=text)),
            *noise,
            ("edits", partial(filters.edits, of=text, limits=limits)),
            ("duplicate", seen.check),
        ]

    return of


def filter_inputs(brief: Brief, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the same candidates with the verdicts of the input filters; one dropped before stays as it is."""
    checks = input_checks(brief)
    return [filters.apply(candidate, checks, candidate.input) for candidate in candidates]


def answer_checks(brief: Brief) -> list[filters.Filter]:
    """Return the filters of answers: empty, length (free text only: a long answer may hold a label), noise."""
    limits = None
    if brief.labels is None and brief.settings.output_length_filter:
        limits = _limits(brief, [e.output for e in brief.examples])
    checks: list[filters.Filter] = [filters.empty]
    if limits is not None:
        checks.append(partial(filters.length, limits=limits))
    if brief.settings.noise_filter:
        checks.append(_noise(brief))
    return checks


def input_limits(brief: Brief) -> tuple[float, float] | None:
    """Return the least and most characters an input may have; None where there is no length filter."""
    if not brief.settings.input_length_filter:
        return None
    return _limits(brief, [e.input for e in brief.examples])


def _limits(brief: Brief, texts: Sequence[str]) -> tuple[float, float] | None:
    if brief.settings.method == "self-guide":
        return filters.published_length_limits(texts)
    return filters.length_limits(texts)


def _noise(brief: Brief) -> filters.Filter:
    classification = brief.labels is not None
    if brief.settings.method == "self-guide":
        phrases = filters.published_noise_phrases(brief.examples, classification=classification)
        return partial(filters.published_noise, phrases=phrases)
    phrases = filters.noise_phrases(brief.examples, classification=classification)
    return partial(filters.noise, phrases=phrases)
