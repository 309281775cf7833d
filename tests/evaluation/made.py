"""Answers and scores made by hand, where every number can be worked out."""

from __future__ import annotations

from metier.core.records import SystemAnswers, SystemKind

_KINDS: dict[str, SystemKind] = {
    "majority": "constant",
    "copied_input": "constant",
    "tfidf_synthetic": "classic",
    "harper": "classic",
    "tuned_on_examples": "tuned",
    "specialist": "specialist",
    "specialist_written": "specialist",
    "specialist_unseen": "specialist",
}


def answered(system: str, texts: tuple[str, ...], **more: object) -> SystemAnswers:
    """Return a system's answers, under its key and with its kind."""
    return SystemAnswers(system, system.replace("_", " "), _KINDS.get(system, "prompted"), texts, **more)  # type: ignore[arg-type]
