"""The table of servers, from what `serving.py` measured."""

from __future__ import annotations

from tables_format import Record, number, read, table


def serving() -> str:
    """Return what each server answered, by model and number of clients."""
    measured = sorted(read("serving")["measured"], key=lambda one: (one["model"], one["clients"], one["host"]))
    header = ("model", "server", "clients", "answers/s", "median, ms", "95th percentile, ms", "errors", "memory, MB")
    return table((*header, "grown by, MB"), map(_row, measured), text_columns=2)


def _row(found: Record) -> list[str]:
    after, grown = found["memory_after"], found["memory_after"] - found["memory_before"]
    times = [number(None if found[key] is None else 1000 * found[key], 0) for key in ("p50_seconds", "p95_seconds")]
    counts = [str(found["clients"]), number(found["answers_a_second"]), *times, str(found["errors"])]
    return [found["model"], found["host"], *counts, f"{after / 1e6:.0f}", f"{grown / 1e6:+.0f}"]
