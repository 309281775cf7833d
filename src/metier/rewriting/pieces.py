"""Cuts a text into sentences that may be rewritten and all that may not, so that both together are the text again.

Markdown is read by markdown-it: only paragraphs and list items are prose; code, tables, HTML, headings, rules, front
matter and link definitions stay as they are, and so do the marks in front of a line (``>``, ``-``, ``1.``). Knows
nothing about models.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator

from metier.rewriting.guard import CODE, LINK

_ABBREVIATIONS = frozenset(
    (
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "st",
        "sr",
        "jr",
        "vs",
        "etc",
        "e.g",
        "i.e",
        "cf",
        "al",
        "fig",
        "eq",
        "no",
        "vol",
        "pp",
        "p",
        "ch",
        "sec",
        "approx",
        "ca",
        "dept",
        "est",
        "inc",
        "ltd",
        "co",
        "corp",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
        "gen",
        "col",
        "lt",
        "sgt",
        "rev",
        "hon",
        "u.s",
        "u.k",
        "a.m",
        "p.m",
    )
)
_END = re.compile(r"[.!?…]+[\"'”’)\]»]*(?=\s|$)|[。！？]+[」』”’）]*|[؟۔]+(?=\s|$)")
_MARKS = re.compile(r"(?:[ \t]*(?:>|[-*+](?=[ \t])|\d{1,9}[.)](?=[ \t])))*[ \t]*(?:\[[ xX]\][ \t]+)?")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_LETTERS = re.compile(r"[^\W\d_]{2}")


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text.

    Attributes:
        text: As it stands there.
        prose: Whether it is a sentence (or paragraph) that may be rewritten.
    """

    text: str
    prose: bool


def pieces(text: str, *, by: str = "sentence") -> list[Piece]:
    """Return a text in pieces; their texts put together are the text, to the character.

    Args:
        text: Plain text or Markdown, with any line ends.
        by: ``sentence`` or ``paragraph``: how much of the prose is one piece. Prose that runs over several lines is one
            piece only where nothing but a line end stands between them.
    """
    found: list[Piece] = []
    for part, prose in _blocks(text):
        if not prose:
            _add(found, part, False)
        elif by == "paragraph":
            _add_prose(found, part)
        else:
            for sentence in sentences(part):
                _add_prose(found, sentence)
    return found


def sentences(text: str) -> list[str]:
    """Return a paragraph's sentences, each with the space behind it; together they are the paragraph."""
    found, begin = [], 0
    whole = [match.span() for kind in (CODE, LINK) for match in kind.finditer(text)]
    for match in _END.finditer(text):
        end = match.end()
        if any(first <= match.start() < last and end < last for first, last in whole):
            continue
        while end < len(text) and text[end].isspace():
            end += 1
        if end < len(text) and _goes_on(text[begin : match.start()], match.group(), text[end:]):
            continue
        found.append(text[begin:end])
        begin = end
    if begin < len(text):
        found.append(text[begin:])
    return found


def _goes_on(before: str, end: str, after: str) -> bool:
    """Whether a full stop is not the end of a sentence: behind an abbreviation or initial, or before a small letter."""
    if not end.startswith(".") or len(end.rstrip("\"'”’)]»")) > 1:
        return after[:1].islower() and not end.startswith(("。", "！", "？", "؟", "۔"))
    words = before.split()
    word = words[-1].lstrip("(\"'“‘[").lower() if words else ""
    is_short = word in _ABBREVIATIONS or re.fullmatch(r"[^\W\d_]", word) is not None
    return is_short or after[:1].islower()


def _blocks(text: str) -> Iterator[tuple[str, bool]]:
    """Yield a text's lines in blocks, prose and other; marks in front of a line of prose are a block of their own."""
    from markdown_it import MarkdownIt

    front = _FRONT_MATTER.match(text)
    begin = front.end() if front else 0
    if front:
        yield front.group(), False
    body = text[begin:]
    lines = body.splitlines(keepends=True)
    # The parser counts lines by \n alone, and gives up nothing at other ends: it is shown the same number of lines.
    shown = "".join(line.rstrip("\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029") + "\n" for line in lines)
    parser = MarkdownIt("commonmark").enable("table")
    prose_lines: set[int] = set()
    tokens = parser.parse(shown)
    for opening, inline in itertools.pairwise(tokens):
        if opening.type == "paragraph_open" and inline.type == "inline" and inline.map:
            prose_lines.update(range(*inline.map))
    gathered = ""
    for number, line in enumerate(lines):
        if number not in prose_lines or not _LETTERS.search(line):
            if gathered:
                yield gathered, True
                gathered = ""
            yield line, False
            continue
        marks = _MARKS.match(line)
        lead = marks.group() if marks else ""
        if lead and not (gathered and lead.isspace()):  # behind a line of prose an indent is no mark
            if gathered:
                yield gathered, True
                gathered = ""
            yield lead, False
            gathered = line[len(lead) :]
        else:
            gathered += line
        if line.rstrip("\r\n").endswith(("  ", "\\")):  # a line break that is meant
            yield gathered, True
            gathered = ""
    if gathered:
        yield gathered, True


def _add_prose(found: list[Piece], text: str) -> None:
    """Add a sentence, the space around it apart: that is no model's business."""
    core = text.strip()
    if not _LETTERS.search(core):
        _add(found, text, False)
        return
    begin = text.index(core)
    _add(found, text[:begin], False)
    found.append(Piece(core, True))
    _add(found, text[begin + len(core) :], False)


def _add(found: list[Piece], text: str, prose: bool) -> None:
    if not text:
        return
    if found and not prose and not found[-1].prose:
        found[-1] = Piece(found[-1].text + text, False)
    else:
        found.append(Piece(text, prose))
