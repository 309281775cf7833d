"""Shows the progress of long work: a live bar on a terminal, elsewhere a plain line every 15 seconds.

Knows nothing about the work. Everything goes to standard error, so that standard output is left to results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LINE_EVERY = 15.0  # seconds between plain lines


class Reporter:
    """Prints headings, notes and progress, or nothing at all when quiet."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._said: set[str] = set()

    def say(self, text: str) -> None:
        """Print one line."""
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)

    def say_once(self, text: str) -> None:
        """Print a text, unless this reporter was given it before."""
        if text not in self._said:
            self._said.add(text)
            self.say(text)

    @contextmanager
    def track(self, title: str, total: int | None, unit: str = "rows") -> Iterator[Callable[[int, int], None]]:
        """Yield a function to call with (done, tokens) while ``total`` units of work are done.

        Where more is done than was foreseen, the total grows with it.
        """
        if self._quiet or total == 0:  # total None: unknown until the work is done
            yield lambda done, tokens: None
        elif self._terminal:
            with _bar(title, total, unit) as update:
                yield update
        else:
            yield _Lines(title, total, unit).update


class _Lines:
    def __init__(self, title: str, total: int | None, unit: str) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._start = self._last = time.monotonic()

    def update(self, done: int, tokens: int) -> None:
        now = time.monotonic()
        if now - self._last < _LINE_EVERY and (self._total is None or done < self._total):
            return
        self._last = now
        elapsed = max(now - self._start, 1e-9)
        if self._total is None:
            parts = [f"{done} {_noun(done, self._unit)}", f"{elapsed:.0f} s", _rate(done, elapsed, self._unit)]
        else:
            self._total = max(self._total, done)
            parts = [f"{done}/{self._total} {_noun(self._total, self._unit)}", f"{elapsed:.0f} s"]
            if done < self._total:
                left = elapsed / max(done, 1) * (self._total - done)
                parts.append(f"about {left:.0f} s left")
        if tokens:
            parts.append(_rate(tokens, elapsed, "tokens"))
        print(f"  {self._title}: {', '.join(parts)}", file=sys.stderr, flush=True)


def _rate(amount: int, seconds: float, unit: str) -> str:
    """Return how much was done in a second; less than one is told with a digit behind the point."""
    rate = amount / seconds
    if round(rate) < 1:
        return f"{rate:.1f} {unit}/s"
    return f"{rate:.0f} {_noun(round(rate), unit)}/s"


def _noun(amount: int, unit: str) -> str:
    """Return a unit, which is given in the plural, as it goes with an amount."""
    return unit[:-1] if amount == 1 else unit


@contextmanager
def _bar(title: str, total: int | None, unit: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    start = time.monotonic()
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, speed="")

        def update(done: int, tokens: int) -> None:
            elapsed = max(time.monotonic() - start, 1e-9)
            most = None if total is None else max(total, done)
            bar.update(task, completed=done, total=most, speed=_rate(tokens, elapsed, "tokens") if tokens else "")

        yield update
