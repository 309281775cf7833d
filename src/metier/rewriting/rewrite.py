"""Rewrites sentences with whatever answers them, and decides for each whether the new one replaces the old one.

Knows nothing about files, models, or how a text was cut into sentences.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from metier.rewriting.guard import why_not

_TOGETHER = 64  # sentences asked for at once, between two progress reports


@dataclasses.dataclass(frozen=True, slots=True)
class Proposal:
    """What a sentence might become.

    Attributes:
        text: The new sentence; empty: there is none.
        finished: Whether it came to its end, or may have been cut off.
    """

    text: str
    finished: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Rewritten:
    """The outcome for one sentence.

    Attributes:
        before: The original.
        after: What replaces it; the same if it was left alone.
        reason: Why the change was rejected; None if it was made, or nothing was changed.
    """

    before: str
    after: str
    reason: str | None = None

    @property
    def changed(self) -> bool:
        """Whether the sentence is different now."""
        return self.after != self.before


def rewrite(
    texts: Sequence[str],
    propose: Callable[[Sequence[str]], Sequence[Proposal]],
    progress: Callable[[int, int], None] | None = None,
) -> list[Rewritten]:
    """Return the outcome for each sentence.

    A sentence stays as it was if it comes back unchanged, if its new form may have been cut off, or if a guard objects
    (`guard.why_not`).

    Args:
        texts: Sentences or paragraphs.
        propose: Answers sentences of one line each.
        progress: Called with (sentences done, 0).
    """
    done: dict[str, Rewritten] = {}
    unique = list(dict.fromkeys(texts))
    for begin in range(0, len(unique), _TOGETHER):
        part = unique[begin : begin + _TOGETHER]
        made = propose([one_line(text) for text in part])
        done |= {text: _decided(text, proposal) for text, proposal in zip(part, made, strict=True)}
        if progress:
            progress(begin + len(part), 0)
    return [done[text] for text in texts]


def _decided(text: str, proposal: Proposal) -> Rewritten:
    before, after = one_line(text), proposal.text.strip()
    if after == before:
        return Rewritten(text, text)
    reason = why_not(before, after) if proposal.finished else "the model did not finish it"
    return Rewritten(text, text if reason else after, reason)


def one_line(text: str) -> str:
    """Return a piece of prose as it is asked for: its line breaks are no part of it."""
    return " ".join(text.split())
