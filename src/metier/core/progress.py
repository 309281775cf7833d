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

    def say(self, text: str) -> None:
        """Print one line."""
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def track(self, title: str, total: int | None, unit: str = "rows") -> Iterator[Callable[[int, int], None]]:
        """Yield a function to call with (done, tokens) while ``total`` units of work are done."""
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
        speed = f", {tokens / elapsed:.0f} tokens/s" if tokens else ""
        line = f"  {self._title}: {done} {self._unit}, {elapsed:.0f} s, {done / elapsed:.0f} {self._unit}/s"
        if self._total is not None:
            left = elapsed / max(done, 1) * max(0, self._total - done)
            line = f"  {self._title}: {done}/{self._total} {self._unit}, {elapsed:.0f} s, about {left:.0f} s left"
        print(f"{line}{speed}", file=sys.stderr, flush=True)


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
            bar.update(task, completed=done, speed=f"{tokens / elapsed:.0f} tokens/s" if tokens else "")

        yield update
