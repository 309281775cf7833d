"""Finds what the prompts of a base model begin with alike, so that the engine reads it once.

A product's prompts say which part they share; those of conversations cannot, as each client writes its own. But many
ask with the same instruction, and all begin with what the model's template puts before the first message.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import takewhile

from metier.engines.prompts import Prompt

_WORTH = 48  # characters; fewer are not worth a pass of their own
_MORE = 160  # characters by which one alone has to have more in common with the last than what is kept


class Beginning:
    """What the prompts before have begun with; the engine keeps as much in memory."""

    def __init__(self) -> None:
        self._kept = ""
        self._last = ""

    def shared(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Return prompts with the part that they have in common; of one alone, what it has in common with the last.

        What is kept takes nothing to read, and so it is used unless a longer beginning saves more than it takes.
        """
        if not prompts:
            return []
        texts = [prompt.text for prompt in prompts]
        kept = self._kept if all(text.startswith(self._kept) for text in texts) else ""
        if len(texts) > 1:
            common = _common(texts)
            better = (len(texts) - 1) * len(common) > len(texts) * len(kept)
        else:
            common = _common([texts[0], self._last])
            better = len(common) > len(kept) + _MORE * bool(kept)
        self._last = texts[-1]
        if better and len(common) >= _WORTH:
            kept = common
        self._kept = kept or self._kept
        return [dataclasses.replace(prompt, shared=len(kept)) for prompt in prompts]


def _common(texts: Sequence[str]) -> str:
    """Return what texts begin with, up to the end of a word: a part of a word may be other tokens than the whole."""
    # What the first and the last in order have in common, all between them have too.
    first, last = min(texts), max(texts)
    size = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    common = first[:size]
    return common[: max(common.rfind(" "), common.rfind("\n")) + 1].rstrip(" ")
