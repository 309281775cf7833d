"""The plain tool for rewriting: phrases that labelled pairs replace again and again, replaced everywhere.

What a phrase list can do, no model is needed for. From the pairs' word alignments every changed span of up to three
words is counted, with what stands in its place; a replacement is kept if it was seen at least twice and the phrase is
replaced so more often than not (a one-step form of transformation-based learning, Brill 1995).
"""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from metier.core import storage
from metier.core.errors import MetierError
from metier.core.records import Answers, Example
from metier.systems.base import Keep, Learned, Material, Tools

_FILE = "replacements.json"
_LONGEST = 3  # words
_LEAST_SEEN = 2
_LEAST_SHARE = 0.5

Phrase = tuple[str, ...]


def learn(material: Material, tools: Tools) -> Learned:
    """Return the replacements that the labelled rows show.

    Raises:
        MetierError: There are no labelled rows, or they show none.
    """
    if not material.labelled:
        raise MetierError("there are no labelled pairs to learn from")
    return learn_replacements(material.labelled)


def load(folder: Path, tools: Tools) -> Learned:
    """Return what `Replacements.save` wrote."""
    rows = storage.read_json(folder / _FILE)
    return Replacements({tuple(before.split()): tuple(after.split()) for before, after in rows})


class Replacements:
    """A table of phrases and what to put in their place.

    Attributes:
        table: The replacements.
        nbytes: What their text takes.
    """

    def __init__(self, table: Mapping[Phrase, Phrase]) -> None:
        self.table = dict(table)
        self.nbytes = sum(len(" ".join((*a, *b)).encode()) for a, b in self.table.items())

    def answer(self, inputs: Sequence[str], keep: Keep | None = None) -> Answers:
        """Return the texts with every known phrase replaced, the longest first; other words and spaces stay."""
        return Answers(tuple(self._replaced(text) for text in inputs))

    @property
    def form(self) -> str:
        """Which file loads it."""
        return "replacements"

    def save(self, folder: Path) -> None:
        """Write the table into a folder."""
        rows = [[" ".join(before), " ".join(after)] for before, after in self.table.items()]
        storage.write_json(folder / _FILE, rows)

    def _replaced(self, text: str) -> str:
        words, out, i = text.split(), list[str](), 0
        while i < len(words):
            for size in range(min(_LONGEST, len(words) - i), 0, -1):
                instead = self.table.get(tuple(words[i : i + size]))
                if instead is not None:
                    out += instead
                    i += size
                    break
            else:
                out.append(words[i])
                i += 1
        return text if out == words else " ".join(out)


def learn_replacements(pairs: Sequence[Example]) -> Replacements:
    """Return the replacements that labelled pairs show.

    Raises:
        MetierError: They show none.
    """
    seen: dict[Phrase, Counter[Phrase]] = defaultdict(Counter)
    for pair in pairs:
        for before, after in _changes(pair.input.split(), pair.output.split()):
            seen[before][after] += 1
    common = {before: after.most_common(1)[0] for before, after in seen.items()}
    common = {before: found for before, found in common.items() if found[1] >= _LEAST_SEEN}
    there = Counter(phrase for pair in pairs for phrase in _phrases(pair.input.split()) if phrase in common)
    table = {b: after for b, (after, times) in common.items() if times > _LEAST_SHARE * there[b]}
    if not table:
        raise MetierError("no phrase is replaced in the same way twice and more often than not")
    return Replacements(table)


def _changes(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[Phrase, Phrase]]:
    """Yield what is replaced by what; an insertion takes the word in front of it, or else behind it, along."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, begin, end, first, last in matcher.get_opcodes():
        if kind == "equal":
            continue
        if begin == end and begin > 0:
            begin, first = begin - 1, first - 1
        elif begin == end and end < len(before):
            end, last = end + 1, last + 1
        if 0 < end - begin <= _LONGEST:
            yield tuple(before[begin:end]), tuple(after[first:last])


def _phrases(words: Sequence[str]) -> Iterator[Phrase]:
    for size in range(1, _LONGEST + 1):
        for i in range(len(words) - size + 1):
            yield tuple(words[i : i + size])
