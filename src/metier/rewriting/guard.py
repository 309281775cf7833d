"""Says why a rewritten sentence must not replace the original.

A model may reword freely, but must keep whatever names something in the world (code, links, numbers, names), and must
neither cut a text down to almost nothing nor bloat it. Knows nothing about models.
"""

from __future__ import annotations

import re
from collections import Counter

CODE = re.compile(r"(?<!`)(`{1,8})(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(
    r"!?\[[^\]\n]{0,500}\](?:\([^)\n]{0,2000}\)|\[[^\]\n]{0,500}\])|<[^<>\s][^<>\n]*>|\$[^$\n]+\$|https?://\S+|\b\S+@\S+\.\w+"
)
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*%?")
_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_SHRUNK, _GROWN = 0.3, 2.5  # of the original's length in characters
_SLACK = 40  # characters: a short sentence may well double in length


def why_not(before: str, after: str) -> str | None:
    """Return why a sentence must stay as it was; None if the rewritten one may replace it.

    Args:
        before: The original sentence.
        after: The model's version.
    """
    if not after.strip():
        return "there is no answer to it"
    if "\n" in after.strip() and "\n" not in before.strip():
        return "the model returned several lines"
    if _loops(after) and not _loops(before):
        return "it repeats itself"
    if len(after) > _GROWN * len(before) + _SLACK:
        return "it became too long"
    if len(after) < _SHRUNK * len(before):
        return "it lost too much"
    for what, find in (("code", _codes), ("a link", _links), ("a number", _numbers), ("a name", _names)):
        lost = find(before) - find(after)
        if lost:
            return f"it lost {what}: {min(lost)}"
    if new := _numbers(after) - _numbers(before):
        return f"it made up a number: {min(new)}"
    return None


def _codes(text: str) -> Counter[str]:
    return Counter(match.group() for match in CODE.finditer(text))


def _links(text: str) -> Counter[str]:
    return Counter(match.group().rstrip(".,;:!?") for match in LINK.finditer(CODE.sub(" ", text)))


def _numbers(text: str) -> Counter[str]:
    return Counter(dict.fromkeys(_NUMBER.findall(text), 1))  # mentioning a number once is enough


def _names(text: str) -> Counter[str]:
    """Return capitalised words that do not begin a sentence; mentioning each once is enough."""
    found = []
    for match in _WORD.finditer(text):
        before = text[: match.start()].rstrip(" \t\n\"'“‘([*_")
        begins = not before or before[-1] in ".!?:…"
        word = match.group()
        shouted = word.isupper() and len(word) > 1
        if (word[0].isupper() and not begins and word not in ("I", "I'm", "I've", "I'll", "I'd")) or shouted:
            found.append(re.sub(r"['’]s$", "", word))
    return Counter(dict.fromkeys(found, 1))


def _loops(text: str) -> bool:
    """Whether any four words in a row occur three times."""
    words = text.lower().split()
    grams = Counter(tuple(words[i : i + 4]) for i in range(len(words) - 3))
    return any(times >= 3 for times in grams.values())
