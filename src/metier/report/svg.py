"""Small charts as inline SVG. Knows nothing about runs; colours come from the page's style sheet.

Texts are escaped here; the result is markup, safe to put into the page as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

_WIDTH = 640


def intervals(rows: Sequence[tuple[str, float, float, float]], unit: str) -> Markup:
    """Return dots with intervals around a zero line: (label, value, low, high) each."""
    if not rows:
        return Markup("")
    low = min(0.0, *(r[2] for r in rows))
    high = max(0.0, *(r[3] for r in rows))
    span = (high - low) or 1.0
    left, right, step = 210, 16, 30

    def x(value: float) -> float:
        return left + (value - low) / span * (_WIDTH - left - right)

    height = step * len(rows) + 34
    parts = [f'<line class="axis" x1="{x(0):.1f}" y1="6" x2="{x(0):.1f}" y2="{height - 26}"/>']
    for i, (label, value, lower, upper) in enumerate(rows):
        y = 20 + i * step
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<line class="whisker" x1="{x(lower):.1f}" y1="{y}" x2="{x(upper):.1f}" y2="{y}"/>')
        parts.append(f'<circle class="dot" cx="{x(value):.1f}" cy="{y}" r="5"/>')
    for value in _ticks(low, high):
        parts.append(f'<text class="tick" x="{x(value):.1f}" y="{height - 8}" text-anchor="middle">{value:g}</text>')
    return _svg(height, f"Gain over each system in {unit}, with 95% intervals", parts)


def bars(rows: Sequence[tuple[str, float]], title: str) -> Markup:
    """Return horizontal bars: (label, value) each, values from zero."""
    if not rows:
        return Markup("")
    most = max(value for _, value in rows) or 1.0
    left, right, step = 210, 60, 26
    parts = []
    for i, (label, value) in enumerate(rows):
        y = 6 + i * step
        width = value / most * (_WIDTH - left - right)
        parts.append(f'<text x="{left - 10}" y="{y + 14}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<rect class="bar" x="{left}" y="{y}" width="{width:.1f}" height="18" rx="2"/>')
        parts.append(f'<text x="{left + width + 6:.1f}" y="{y + 14}">{value:g}</text>')
    return _svg(step * len(rows) + 12, title, parts)


def curves(series: Sequence[tuple[str, Sequence[tuple[float, float]]]], title: str) -> Markup:
    """Return line charts over a common axis: (name, points) each; names go into the title of their line."""
    points = [p for _, some in series for p in some if math.isfinite(p[1])]
    if len(points) < 2:
        return Markup("")
    left, bottom, height = 56, 34, 240
    x_low, x_high = min(p[0] for p in points), max(p[0] for p in points)
    y_high = max(p[1] for p in points) or 1.0

    def place(point: tuple[float, float]) -> str:
        px = left + (point[0] - x_low) / ((x_high - x_low) or 1) * (_WIDTH - left - 16)
        return f"{px:.1f},{10 + (1 - point[1] / y_high) * (height - bottom - 10):.1f}"

    parts = [f'<line class="axis" x1="{left}" y1="{height - bottom}" x2="{_WIDTH - 16}" y2="{height - bottom}"/>']
    for value in _ticks(0, y_high):
        y = 10 + (1 - value / y_high) * (height - bottom - 10)
        parts.append(f'<text class="tick" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in _ticks(x_low, x_high):
        px = left + (value - x_low) / ((x_high - x_low) or 1) * (_WIDTH - left - 16)
        parts.append(f'<text class="tick" x="{px:.1f}" y="{height - 12}" text-anchor="middle">{value:g}</text>')
    for i, (name, some) in enumerate(series):
        line = " ".join(place(p) for p in some if math.isfinite(p[1]))
        parts.append(f'<polyline class="line line{i}" points="{line}"><title>{escape(name)}</title></polyline>')
        parts += [
            f'<circle class="mark line{i}" cx="{place(p).split(",")[0]}" cy="{place(p).split(",")[1]}" r="3"/>'
            for p in some
            if math.isfinite(p[1]) and len(some) <= 20
        ]
    return _svg(height, title, parts)


def _svg(height: int, title: str, parts: Sequence[str]) -> Markup:
    name = escape(title)
    head = f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{name}"><title>{name}</title>'
    return Markup(head + "".join(parts) + "</svg>")


def _ticks(low: float, high: float) -> list[float]:
    span = high - low
    if span <= 0:
        return [low]
    step = 10 ** math.floor(math.log10(span / 3))
    while span / step > 6:
        step *= 2 if str(step)[0] in "15" or step < 1 else 2.5
    first = math.ceil(low / step) * step
    return [round(first + i * step, 10) for i in range(int((high - first) / step + 1e-9) + 1)]
