"""Finds the parts that every input of a task has, such as a premise and a hypothesis, by the names before them.

A name is a word (and at most a number or letter after it) with a colon: ``Premise: … Hypothesis: …``, ``sentence_A: …
sentence_B: …``, ``Sentence 1: … Sentence 2: …``.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

NAME = r"(?<![^\s'\",;])([^\W\d]\w*(?: \w)?) ?:(?=\s)"
"""How the name of a part is written; the group is the name."""
_NAME = re.compile(NAME)
_SHARE = 0.9  # of the inputs that must have both parts


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


def names_in(text: str) -> tuple[str, ...]:
    """Return the names in a text, each once, in order."""
    return tuple(dict.fromkeys(match[1] for match in _NAME.finditer(text)))


def names_in_all(inputs: Sequence[str]) -> tuple[str, ...]:
    """Return the names that all of several inputs have, in the order of the first; none of a single input.

    Of SELF-GUIDE's eleven tuning tasks nine have such names, and every real input of theirs has those that all of a
    task's two to six examples have.

    Args:
        inputs: A task's inputs.
    """
    if len(inputs) < 2:
        return ()
    first, *others = map(names_in, inputs)
    return tuple(name for name in first if all(name in names for names in others))


def find_two_parts(inputs: Sequence[str]) -> TwoParts | None:
    """Return the two parts that nine in ten inputs have, in the same order; None where they do not have just two.

    Args:
        inputs: A task's inputs.
    """
    enough = _SHARE * len(inputs)
    every = [names_in(text) for text in inputs]
    times = Counter(name for names in every for name in names)
    common = {name for name, several in times.items() if several >= enough}
    orders = Counter(tuple(name for name in names if name in common) for names in every)
    for order, several in orders.items():
        if len(order) == 2 and several >= enough:
            return TwoParts(*order)
    return None
