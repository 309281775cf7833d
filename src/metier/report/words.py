"""Numbers, times, names and texts as people read them. Knows nothing of runs, nor of where the words are shown."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from metier.core.records import Interval

METRIC_TITLES: Mapping[str, str] = {
    "exact_match": "exact match",
    "label_match": "label match",
    "macro_f1": "macro-F1",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "rouge_l": "ROUGE-L",
    "char_lcs_f1": "char LCS F1",
    "bleu": "BLEU",
    "chrf": "chrF",
    "sari": "SARI",
    "sari_cased": "SARI, case kept",
    "gleu": "GLEU",
    "errant": "F0.5 (ERRANT)",
    "edit_f05": "edit F0.5",
    "edit_match": "exact-edit match",
    "ibleu": "iBLEU",
    "copied_rate": "copied",
    "length_ratio": "length",
}
# Not text: control characters except tab and newline, lone surrogates, and two code points that XML forbids.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def metric_title(metric: str) -> str:
    """Return a metric's name for people."""
    return METRIC_TITLES.get(metric, metric.replace("_", " "))


def number(value: float, *, sign: bool = False) -> str:
    """Return a number of points with one decimal; one figure where that would hide that it is not zero."""
    if value and abs(value) < 0.05:
        return f"{value:{'+' if sign else ''}.1g}"
    text = f"{value:{'+' if sign else ''}.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def points(value: float) -> str:
    """Return a difference in points, with its sign."""
    return number(value, sign=True)


def span(interval: Interval) -> str:
    """Return an interval's ends in words, such as ``+6.1 to +18.4``."""
    return f"{points(interval.low)} to {points(interval.high)}"


def interval_text(interval: Interval) -> str:
    """Return a difference with its interval, such as ``+12.0 [+6.1, +18.4]``."""
    return f"{points(interval.value)} [{points(interval.low)}, {points(interval.high)}]"


def duration(seconds: float) -> str:
    """Return a time for people: ``12 ms``, ``4.2 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if not math.isfinite(seconds):
        return "not known"
    if 0 < seconds < 0.05:
        return brief(seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def brief(seconds: float) -> str:
    """Return a short time for people: ``3 µs``, ``0.3 ms``, ``45 ms``, ``1.2 s``."""
    if 0 < seconds < 9.5e-5:
        return f"{1e6 * seconds:.0f} µs" if seconds >= 1e-6 else "< 1 µs"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.{0 if seconds >= 0.01 else 1}f} ms"


def p_value(value: float) -> str:
    """Return a p-value for people."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def size(size_bytes: int) -> str:
    """Return an amount of memory for people, in decimal units: ``1.6 GB``, ``350 MB``, ``1.2 kB``, ``87 bytes``."""
    if size_bytes < 1000:
        return count(size_bytes, "byte")
    if size_bytes < 1e6:
        return f"{size_bytes / 1e3:.{0 if size_bytes >= 9950 else 1}f} kB"
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


def rate(value: float) -> str:
    """Return how much is done in a second: ``12,345``, ``9.5``, ``0.04``."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.1f}" if value >= 0.995 else f"{value:.2g}"


def count(amount: int, noun: str) -> str:
    """Return an amount with its noun: ``1 row``, ``1,500 rows``."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """Return a list in words: ``a``, ``a and b``, ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def clean(text: str) -> str:
    """Return text that any viewer can show: what is no character becomes the replacement character."""
    return _UNPRINTABLE.sub("\ufffd", text.replace("\r\n", "\n"))


def shorten(text: str, limit: int = 1500) -> str:
    """Return text cut to a readable length, saying how much is not shown."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"
