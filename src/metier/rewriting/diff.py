"""Shows word by word how a text changed: in colour on a terminal, elsewhere as [-gone-] and {+new+}."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.text import Text

Part = tuple[Literal["same", "gone", "new"], str]


def word_diff(before: str, after: str) -> list[Part]:
    """Return the parts of two texts in order: same and gone parts make up the first, same and new parts the second."""
    return list(_parts(re.findall(r"\s+|\w+|[^\w\s]", before), re.findall(r"\s+|\w+|[^\w\s]", after)))


def plain_diff(before: str, after: str) -> str:
    """Return the difference as text, in wdiff's marks."""
    marks = {"same": "{}", "gone": "[-{}-]", "new": "{{+{}+}}"}
    return "".join(marks[kind].format(text) for kind, text in word_diff(before, after))


def coloured_diff(before: str, after: str) -> Text:
    """Return the difference for a terminal."""
    from rich.text import Text

    shown = Text()
    styles = {"same": "", "gone": "red strike", "new": "green"}
    for kind, text in word_diff(before, after):
        shown.append(text, style=styles[kind])
    return shown


def _parts(before: list[str], after: list[str]) -> Iterator[Part]:
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, begin, end, first, last in matcher.get_opcodes():
        if kind == "equal":
            yield "same", "".join(before[begin:end])
            continue
        if end > begin:
            yield "gone", "".join(before[begin:end])
        if last > first:
            yield "new", "".join(after[first:last])
