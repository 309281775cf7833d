"""The tables of servers and of the engine, from what `serving.py` and `beginnings.py` measured."""

from __future__ import annotations

from tables_format import Record, number, read, table

_METIER = "metier serve"


def serving() -> str:
    """Return what each server answered, by model and number of clients."""
    found = read("serving")
    measured = sorted(found["measured"], key=lambda one: (one["model"], one["clients"], one["host"]))
    header = ("model", "server", "clients", "answers/s", "median, ms", "95th percentile, ms", "errors", "memory, MB")
    return table((*header, "grown by, MB"), map(_row, measured), text_columns=2)


def same_answers() -> str:
    """Return how many answers of each server are those of Metier, in a hundred, when asked one by one."""
    rows = []
    said = {one["host"]: one["texts"] for one in read("serving")["answers"]}
    for host, texts in sorted(said.items()):
        if host != _METIER:
            pairs = list(zip(texts, said[_METIER], strict=True))
            same = sum(theirs.strip() == ours.strip() for theirs, ours in pairs)
            rows.append([host, str(len(pairs)), number(100 * same / len(pairs))])
    return table(("server", "answers", "those of metier serve, %"), rows, text_columns=1)


def beginnings() -> str:
    """Return how fast texts are written where what their prompts share is kept once, and in every row."""
    rows = []
    for one in read("beginnings")["measured"]:
        each, once = (one["tokens_a_second"][way] for way in ("in every row", "once"))
        counts = [str(one["shared_tokens"]), str(one["rows"]), number(each, 0), number(once, 0)]
        rows.append([one["model"], *counts, number(once / each, 2)])
    header = ("model", "shared tokens", "rows", "in every row, tokens/s", "once, tokens/s", "times")
    return table(header, rows, text_columns=1)


def _row(found: Record) -> list[str]:
    after, grown = found["memory_after"], found["memory_after"] - found["memory_before"]
    times = [number(None if found[key] is None else 1000 * found[key], 0) for key in ("p50_seconds", "p95_seconds")]
    counts = [str(found["clients"]), number(found["answers_a_second"]), *times, str(found["errors"])]
    return [found["model"], found["host"], *counts, f"{after / 1e6:.0f}", f"{grown / 1e6:+.0f}"]
