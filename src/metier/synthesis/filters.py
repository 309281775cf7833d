"""The filters of synthetic data: each answers None (keep) or a reason to drop. Knows nothing about models.

Source of the empty, length, noise and duplicate filters, of the vote and of the balance: SELF-GUIDE (Zhao et al. 2024,
arXiv 2407.12874). Noise and length are here twice: `published_noise` and `published_length_limits` for
``method: self-guide``, and the stricter `noise` and wider `length_limits` for ``method: backward``
(`checks.py` chooses). Three faults of the authors' code are in neither: a phrase that the demonstrations use is not
noise, the list of phrases is made for each task anew, and limits that no text could meet, since all demonstrations
have one length, are left out.
"""

from __future__ import annotations

import dataclasses
import random
import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence

from metier.core.records import Candidate, Example
from metier.data.likeness import HASHES, Grams, edit_rate, folded, jaccard, sketch, word_grams
from metier.data.two_parts import names_in

_PLEASANTRIES = (
    "sure,",
    "sure!",
    "certainly",
    "of course!",
    "here is",
    "here's",
    "here are",
    "i hope",
    "i'm happy to",
    "i'd be happy to",
    "i'm sorry",
    "i apologize",
    "as an ai",
    "please provide",
    "let me know",
    "feel free to",
    "thank you for",
)
_SCAFFOLDING = (
    "input:",
    "output:",
    "new input",
    "good input",
    "right answer",
    "[input]",
    "[output]",
    "\n\n",
    "\\_",
)
_REASONING = ("therefore", "hence,", "thus,", "this task", "the answer is")

# The authors' list, each reply as far as it takes to know it.
_PUBLISHED_REPLIES = (
    "Sure, I'd be happy to",
    "Of course!",
    "Let me check",
    "I'm here to help",
    "Great question",
    "Let me see",
    "That's a good question",
    "Thanks for asking",
    "Let me help",
    "No problem, here",
    "I'm glad you asked",
    "let me explain",
    "Absolutely!",
    "I understand your question",
)
_PUBLISHED_SCAFFOLDING = ("input", "output", "\n\n", "\\_\\_")
_PUBLISHED_REASONING = ("therefore", "Therefore", "Hence")

Filter = Callable[[str], str | None]


def apply(candidate: Candidate, checks: Sequence[tuple[str, Filter]], text: str) -> Candidate:
    """Return the candidate, dropped by the first named filter that gives a reason; a dropped one stays as it is."""
    if not candidate.kept:
        return candidate
    for name, check in checks:
        reason = check(text)
        if reason is not None:
            return drop(candidate, name, reason)
    return candidate


def drop(candidate: Candidate, name: str, reason: str) -> Candidate:
    """Return the candidate as dropped by a filter."""
    return dataclasses.replace(candidate, dropped_by=name, reason=reason)


def empty(text: str) -> str | None:
    """Drop a text of white space and punctuation alone."""
    return None if any(character.isalnum() for character in text) else "nothing but white space or punctuation"


def noise_phrases(demonstrations: Sequence[Example], *, classification: bool) -> tuple[str, ...]:
    """Return what counts as noise for a task: pleasantries and scaffolding that its demonstrations do not use."""
    shown = _folded("\x00".join(f"{d.input}\x00{d.output}" for d in demonstrations))
    phrases = _PLEASANTRIES + _SCAFFOLDING + (_REASONING if classification else ())
    return tuple(phrase for phrase in phrases if not _holds(shown, phrase))


def noise(text: str, phrases: Sequence[str]) -> str | None:
    """Drop a text with a phrase that is about the task and not of it."""
    folded = _folded(text)
    found = next((phrase for phrase in phrases if _holds(folded, phrase)), None)
    return None if found is None else f"holds {found!r}"


def published_noise_phrases(demonstrations: Sequence[Example], *, classification: bool) -> tuple[str, ...]:
    """Return what SELF-GUIDE counts as noise for a task, but for what its demonstrations themselves use."""
    shown = "\x00".join(f"{d.input}\x00{d.output}" for d in demonstrations)
    phrases = _PUBLISHED_REPLIES + _PUBLISHED_SCAFFOLDING + (_PUBLISHED_REASONING if classification else ())
    return tuple(phrase for phrase in phrases if phrase not in shown)


def published_noise(text: str, phrases: Sequence[str]) -> str | None:
    """Drop a text that holds a phrase as it is written, inside a longer word too, as SELF-GUIDE does."""
    found = next((phrase for phrase in phrases if phrase in text), None)
    return None if found is None else f"holds {found!r}"


def length_limits(texts: Sequence[str]) -> tuple[float, float] | None:
    """Return half the shortest length and twice the longest, in characters; None of no texts.

    Of the real inputs of SELF-GUIDE's eleven tuning tasks 97 to 100 in a hundred are within the limits that a task's
    two to six examples give, and only 23 to 87 within mean ± 2σ (``benchmarks/input_form.py``).
    """
    lengths = [len(text) for text in texts]
    return (min(lengths) / 2, max(lengths) * 2) if lengths else None


def published_length_limits(texts: Sequence[str]) -> tuple[float, float] | None:
    """Return SELF-GUIDE's limits, mean ± 2σ in whole characters, the upper one excluded; None where none could pass."""
    lengths = [len(text) for text in texts]
    spread = 2 * statistics.pstdev(lengths)
    mean = statistics.fmean(lengths)
    low, high = int(mean - spread), int(mean + spread) - 1
    return (low, high) if low <= high else None


def length(text: str, limits: tuple[float, float]) -> str | None:
    """Drop a text whose length in characters is outside the limits."""
    low, high = limits
    if low <= len(text) <= high:
        return None
    return f"{len(text)} characters, outside {max(0, low):.0f} to {high:.0f}"


def form(text: str, names: Sequence[str]) -> str | None:
    """Drop a text without one of the names that stand before the parts of every example, such as ``Premise:``."""
    there = names_in(text)
    missing = next((name for name in names if name not in there), None)
    return None if missing is None else f"has no '{missing}:', as all examples have"


def edit_limits(pairs: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """Return a quarter of the least and the greatest share of words that pairs change, of those that change any.

    Hand-written examples are short, so one word is a large share of them: of the labelled pairs of seven writing tasks
    0 to 6 in a hundred are below the lower limit that the tasks' examples give (of simplification 42), and 0 to 26
    above the upper one. Beyond it a small model mostly says something else.

    Raises:
        ValueError: None does.
    """
    rates = [rate for before, after in pairs if (rate := edit_rate(before, after)) > 0]
    if not rates:
        raise ValueError("no pair changes anything")
    return min(rates) / 4, max(rates)


def edits(text: str, of: str, limits: tuple[float, float]) -> str | None:
    """Drop a text that changes a share of another's words outside the limits."""
    low, high = limits
    rate = edit_rate(text, of)
    return None if low <= rate <= high else f"{rate:.0%} of the words are changed, outside {low:.0%} to {high:.0%}"


def unchanged(text: str, of: str) -> str | None:
    """Drop a text with the same words as another."""
    return "the same as the text it was to be made from" if text.split() == of.split() else None


class SeenTexts:
    """Remembers texts and tells duplicates of them: exact ones, and near ones where a threshold is given.

    Exact means equal but for case and white space. Near means a Jaccard similarity of word 3-grams of at least the
    threshold, found by MinHash and then computed exactly, so no text is dropped by a hash's error.

    Args:
        near: The threshold, 0 to 1; None: exact duplicates only.
    """

    def __init__(self, near: float | None = None) -> None:
        self._near = near
        self._exact: set[str] = set()
        self._grams: dict[str, Grams] = {}
        self._index = None
        if near is not None and near < 1:
            from datasketch import MinHashLSH

            # A little below the threshold, so that the hash's error rarely hides a near duplicate.
            self._index = MinHashLSH(threshold=max(0.1, near - 0.1), num_perm=HASHES)

    def check(self, text: str) -> str | None:
        """Return why a text is a duplicate; one that is not is remembered."""
        key = folded(text)
        if key in self._exact:
            return "the same as an earlier one"
        if self._index is not None and self._near is not None:
            grams = word_grams(key)
            hashed = sketch(grams)
            for other in sorted(self._index.query(hashed)):
                shared = jaccard(grams, self._grams[other])
                if shared >= self._near:
                    return f"{shared:.2f} like an earlier one: {other[:60]!r}"
            self._index.insert(key, hashed)
            self._grams[key] = grams
        self._exact.add(key)
        return None


def majority_vote(answers: Sequence[str], agreement: float) -> tuple[str | None, float]:
    """Return the most frequent exact string and its share; None where the share is below ``agreement``.

    Ties go to the shortest, then to the one that came first.

    Raises:
        ValueError: There are no answers.
    """
    if not answers:
        raise ValueError("no answers to vote on")
    counts = Counter(answers)
    winner = min(counts, key=lambda a: (-counts[a], len(a), answers.index(a)))
    share = counts[winner] / len(answers)
    return (winner if share >= agreement else None), share


def balance(labels: Sequence[str], seed: int) -> list[int]:
    """Return the places kept when every class is down-sampled, at random, to the size of the rarest present."""
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    if not places:
        return []
    least = min(len(group) for group in places.values())
    rng = random.Random(seed)
    return sorted(place for label in sorted(places) for place in rng.sample(places[label], least))


def _folded(text: str) -> str:
    return text.lower().replace("\u2019", "'")


def _holds(folded: str, phrase: str) -> bool:
    # Whole words only: "here is" is neither in "there is" nor in "where is".
    begin = r"(?<!\w)" if phrase[0].isalnum() else ""
    end = r"(?!\w)" if phrase[-1].isalnum() else ""
    return re.search(f"{begin}{re.escape(phrase)}{end}", folded) is not None
