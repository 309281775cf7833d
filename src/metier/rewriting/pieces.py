"""Cuts a text into sentences that may be rewritten and everything else; joined, the pieces give the text again.

Markdown is parsed by markdown-it: only paragraphs and list items are prose. Code, tables, HTML, headings, rules, front
matter and link definitions stay as they are, as do the marks at the start of a line (``>``, ``-``, ``1.``). Knows
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
        text: Exactly as in the text.
        prose: Whether it is a sentence (or paragraph) that may be rewritten.
    """

    text: str
    prose: bool


def pieces(text: str, *, by: str = "sentence") -> list[Piece]:
    """Return a text in pieces; joined, they give the text, character for character.

    Args:
        text: Plain text or Markdown, with any line ends.
        by: ``sentence`` or ``paragraph``: how much prose is one piece. Prose over several lines is one piece only if
            nothing but line ends is between them.
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
    """Return a paragraph's sentences, each with the space after it; joined, they give the paragraph."""
    found, begin = [], 0
    whole = [match.span() for kind in (CODE, LINK) for match in kind.finditer(text)]
    for match in _END.finditer(text):
        end = match.end()
        if any(first <= match.start() < last and end < last for first, last in whole):
            continue
        while end < len(text) and text[end].isspace():
            end += 1
        if end < len(text) and _continues(text[begin : match.start()], match.group(), text[end:]):
            continue
        found.append(text[begin:end])
        begin = end
    if begin < len(text):
        found.append(text[begin:])
    return found


def _continues(before: str, end: str, after: str) -> bool:
    """Whether a sentence continues after a full stop: behind an abbreviation or initial, or before a small letter."""
    if not end.startswith(".") or len(end.rstrip("\"'”’)]»")) > 1:
        return after[:1].islower() and not end.startswith(("。", "！", "？", "؟", "۔"))
    words = before.split()
    word = words[-1].lstrip("(\"'“‘[").lower() if words else ""
    is_short = word in _ABBREVIATIONS or re.fullmatch(r"[^\W\d_]", word) is not None
    return is_short or after[:1].islower()


def _blocks(text: str) -> Iterator[tuple[str, bool]]:
    """Yield a text's lines in blocks, prose and other; marks at the start of a line of prose are a separate block."""
    from markdown_it import MarkdownIt

    front = _FRONT_MATTER.match(text)
    begin = front.end() if front else 0
    if front:
        yield front.group(), False
    body = text[begin:]
    lines = body.splitlines(keepends=True)
    # The parser only knows \n as a line end, so other line ends are replaced to keep the number of lines.
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
        if lead and not (gathered and lead.isspace()):  # after a line of prose an indent is not a mark
            if gathered:
                yield gathered, True
                gathered = ""
            yield lead, False
            gathered = line[len(lead) :]
        else:
            gathered += line
        if line.rstrip("\r\n").endswith(("  ", "\\")):  # a deliberate line break
            yield gathered, True
            gathered = ""
    if gathered:
        yield gathered, True


def _add_prose(found: list[Piece], text: str) -> None:
    """Add a sentence; the space around it is kept separate, so that no model changes it."""
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
