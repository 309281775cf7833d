"""Draws the report's figures as inline SVG, from numbers and labels. Knows nothing about runs.

A figure has a fixed height and the width of its column: what lies along x is in percent, so the letters keep
their size on a phone. Colours are the page's (classes, not values), so one drawing serves light, dark and
print. Every label is escaped.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import unicodedata
from collections.abc import Iterable, Sequence

from markupsafe import Markup

_LEFT, _RIGHT = 1.5, 98.5  # percent: room for the dots at both ends
# A figure is as wide as its column, which the drawing does not know: on a phone of 320 pixels about 254, which hold 32
# letters of 14 pixels. What is longer goes onto a line of its own.
_LETTERS = 32
_LINE = 17.0  # from one line of a label to the next


@dataclasses.dataclass(frozen=True, slots=True)
class Dot:
    """One row of a dot plot: a value and, where there is one, its interval."""

    label: str
    text: str
    value: float
    low: float | None = None
    high: float | None = None
    tone: str = "plain"  # plain, accent, good, bad


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """One row of a bar chart: what is left, and what went away."""

    label: str
    text: str
    value: float
    lost: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One line of a line chart: its points as (x, y), a y that is None or not finite is left out."""

    label: str
    points: Sequence[tuple[float, float | None]]
    tone: str  # plain, accent
    dots: bool = False


def dots(title: str, rows: Sequence[Dot], domain: tuple[float, float], *, zero: bool = False) -> Markup:
    """Return a dot plot, a row each, with whiskers for the intervals.

    Args:
        title: What the figure shows, for those who do not see it.
        rows: The rows, top to bottom.
        domain: The values at the left and the right end.
        zero: Draw a line at zero: what lies across it is not shown to differ from it.
    """
    named = [_label_lines(row.label, row.text) for row in rows]
    tops = [46 * i + _LINE * sum(len(before) - 1 for before in named[:i]) for i in range(len(rows) + 1)]
    parts = [_tick(tick, domain, tops[-1] + 16, zero=zero) for tick in ticks(*domain)]
    for row, top, said in zip(rows, tops, named, strict=False):
        y = top + 31 + _LINE * (len(said) - 1)
        parts.append(_labels(said, top + 16, strong=row.tone != "plain"))
        for tick in ticks(*domain):
            x = _x(tick, domain)
            parts.append(_line(x, y - 9, x, y + 9, "zero" if zero and tick == 0 else "grid"))
        parts.append(_line(_LEFT, y, _RIGHT, y, "track"))
        if row.low is not None and row.high is not None:
            low, high = _x(row.low, domain), _x(row.high, domain)
            parts.append(_line(low, y, high, y, f"whisker {row.tone}"))
            parts.extend(_line(end, y - 5, end, y + 5, f"whisker {row.tone}") for end in (low, high))
        parts.append(_circle(_x(row.value, domain), y, 6, f"dot {row.tone}"))
    return _figure(title, tops[-1] + 22, parts)


def bars(title: str, rows: Sequence[Bar]) -> Markup:
    """Return a bar chart, a row each: the full part is what is left, the pale part what went away."""
    largest = max((row.value + row.lost for row in rows), default=0.0) or 1.0
    top, parts = 0.0, []
    for row in rows:
        said = _label_lines(row.label, row.text)
        bar = top + 20 + _LINE * (len(said) - 1)
        left = 100 * row.value / largest
        parts.append(_labels(said, top + 14))
        parts.append(_rect(0, bar, left, 14, "bar"))
        if row.lost:
            parts.append(_rect(left, bar, 100 * row.lost / largest, 14, "bar lost"))
        top = bar + 22
    return _figure(title, top, parts)


def lines(title: str, series: Sequence[Line], *, x_label: str, mark: tuple[float, str] | None = None) -> Markup:
    """Return a line chart whose y axis begins at zero.

    Args:
        title: What the figure shows, for those who do not see it.
        series: The lines; what is not finite is left out.
        x_label: What the x axis counts.
        mark: An x to mark with an upright line, and its label.

    Returns:
        The figure; nothing where there is no point to draw.
    """
    found = [point for line in series for point in _finite(line)]
    if not found:
        return Markup("")
    x_end = max(x for x, _ in found)
    x_domain = (min(0.0, *(x for x, _ in found)), x_end if x_end > 0 else 1.0)
    scale = ticks(0.0, max(y for _, y in found) or 1.0)
    y_top = max(scale[-1], max(y for _, y in found)) or 1.0
    height, top, base = 240.0, 30.0, 202.0

    def y_of(value: float) -> float:
        return base - (base - top) * max(value, 0.0) / y_top

    parts = []
    for tick in scale:
        parts.append(_line(0, y_of(tick), 100, y_of(tick), "grid"))
        parts.append(_text(0, y_of(tick) - 4, _short(tick), "note"))
    for tick in ticks(*x_domain):
        parts.append(_text(_x(tick, x_domain), base + 16, _short(tick), "note", _anchor(tick, x_domain)))
    parts.append(_text(50, height - 4, x_label, "note", "middle"))
    if mark is not None and x_domain[0] <= mark[0] <= x_domain[1]:
        x = _x(mark[0], x_domain)
        parts.append(_line(x, top - 8, x, base, "mark"))
        parts.append(_text(x, top - 14, mark[1], "note", "end" if x > 50 else "start"))
    for line in series:
        drawn = [(_x(x, x_domain), y_of(y)) for x, y in _finite(line)]
        for (x1, y1), (x2, y2) in itertools.pairwise(drawn):
            parts.append(_line(x1, y1, x2, y2, f"curve {line.tone}"))
        if line.dots or len(drawn) == 1:
            parts.extend(_circle(x, y, 4.5, f"dot {line.tone}") for x, y in drawn)
    return _figure(title, height, parts)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Return round numbers from ``low`` to ``high``, about so many steps; the end if they are equal."""
    width = high - low
    if not (math.isfinite(width) and width > 1e-300):  # below that a step cannot be told from nothing
        return [low]
    rough = width / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, 2 - math.floor(math.log10(step)))  # what the step itself has, so that 3 * 0.1 is 0.3
    return [round(index * step, digits) + 0.0 for index in range(first, last + 1)]


def _figure(title: str, height: float, parts: Iterable[Markup]) -> Markup:
    body = Markup("\n").join(parts)
    return Markup('<svg class="figure" role="img" width="100%" height="{0}"><title>{1}</title>\n{2}\n</svg>').format(
        _short(height), title, body
    )


def _tick(tick: float, domain: tuple[float, float], y: float, *, zero: bool) -> Markup:
    text = f"{'+' if zero and tick > 0 else ''}{_short(tick)}"
    return _text(_x(tick, domain), y, text, "note", _anchor(tick, domain))


def _label_lines(left: str, right: str) -> list[tuple[str, str]]:
    """Return a row's name and number as lines that fit: side by side where there is room, else one under the other."""
    names, numbers = _wrapped(left), _wrapped(right)
    if len(numbers) == 1 and _width(names[-1]) + 2 + _width(right) <= _LETTERS:
        return [*((name, "") for name in names[:-1]), (names[-1], right)]
    return [*((name, "") for name in names), *(("", number) for number in numbers)]


def _wrapped(text: str) -> list[str]:
    """Return text as lines of at most `_LETTERS`, broken between words where that is possible."""
    found = [""]
    for word in text.split(" "):
        joined = f"{found[-1]} {word}" if found[-1] else word
        if _width(joined) <= _LETTERS:
            found[-1] = joined
            continue
        pieces = _cut(word)
        found[-1:] = [*([found[-1]] if found[-1] else []), *pieces]
    return found


def _cut(word: str) -> list[str]:
    pieces = [""]
    for letter in word:
        if _width(pieces[-1] + letter) > _LETTERS:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def _width(text: str) -> int:
    """Return how many letters' room a text takes; wide (East Asian) characters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _labels(said: Sequence[tuple[str, str]], y: float, *, strong: bool = False) -> Markup:
    kind = "label strong" if strong else "label"
    drawn = []
    for i, (left, right) in enumerate(said):
        drawn += [_text(0, y + _LINE * i, left, kind)] if left else []
        drawn += [_text(100, y + _LINE * i, right, f"{kind} value", "end")] if right else []
    return Markup("\n").join(drawn)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    shape = '<line class="{}" x1="{}%" y1="{}" x2="{}%" y2="{}"/>'
    return Markup(shape).format(kind, *(_short(part) for part in (x1, y1, x2, y2)))


def _circle(x: float, y: float, radius: float, kind: str) -> Markup:
    return Markup('<circle class="{}" cx="{}%" cy="{}" r="{}"/>').format(kind, _short(x), _short(y), radius)


def _rect(x: float, y: float, width: float, height: float, kind: str) -> Markup:
    shape = '<rect class="{}" x="{}%" y="{}" width="{}%" height="{}"/>'
    return Markup(shape).format(kind, *(_short(part) for part in (x, y, width, height)))


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> Markup:
    shape = '<text class="{}" x="{}%" y="{}" text-anchor="{}">{}</text>'
    return Markup(shape).format(kind, _short(x), _short(y), anchor, text)


def _x(value: float, domain: tuple[float, float]) -> float:
    low, high = domain
    share = (min(max(value, low), high) - low) / (high - low) if high > low else 0.5
    return _LEFT + (_RIGHT - _LEFT) * share


def _anchor(tick: float, domain: tuple[float, float]) -> str:
    x = _x(tick, domain)
    return "start" if x < 5 else "end" if x > 95 else "middle"


def _finite(line: Line) -> list[tuple[float, float]]:
    return [(x, y) for x, y in line.points if y is not None and math.isfinite(y)]


def _short(value: float) -> str:
    return f"{value:.5g}" if abs(value) < 1e5 else f"{value:.0f}"
