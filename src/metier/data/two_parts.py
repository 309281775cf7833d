"""Finds the two parts that every input of a task has, such as a premise and a hypothesis, by the names before them.

A name is a word (and at most a number or letter after it) with a colon: ``Premise: … Hypothesis: …``, ``sentence_A: …
sentence_B: …``, ``Sentence 1: … Sentence 2: …``.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

_NAME = re.compile(r"(?<![^\s'\",;])([^\W\d]\w*(?: \w)?) ?:(?=\s)")


@dataclasses.dataclass(frozen=True, slots=True)
class TwoParts:
    """The names of the two parts, in order."""

    first: str
    second: str

    def split(self, text: str) -> tuple[str, str]:
        """Return an input's two parts without their names; where it does not have both, it is either part."""
        places = {match[1]: match for match in reversed(list(_NAME.finditer(text)))}
        first, second = places.get(self.first), places.get(self.second)
        if first is None or second is None or first.end() > second.start():
            return text, text
        return text[first.end() : second.start()].strip(), text[second.end() :].strip()


def find_two_parts(inputs: Sequence[str], share: float = 0.9) -> TwoParts | None:
    """Return the two parts that inputs have; None where they do not have just two.

    Args:
        inputs: A task's inputs.
        share: Of the inputs that must have them, in the same order.
    """
    found = Counter(tuple(dict.fromkeys(match[1] for match in _NAME.finditer(text))) for text in inputs)
    names = {name for seen in found for name in seen}
    common = [n for n in names if sum(k for seen, k in found.items() if n in seen) >= share * len(inputs)]
    if len(common) != 2:
        return None
    for first, second in (common, common[::-1]):
        ordered = sum(
            k
            for seen, k in found.items()
            if first in seen and second in seen and seen.index(first) < seen.index(second)
        )
        if ordered >= share * len(inputs):
            return TwoParts(first, second)
    return None
