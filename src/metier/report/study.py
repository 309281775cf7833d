"""Shows a study of selection: the table, the curves of score against budget, and what it comes to in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup, escape
from rich.table import Table

from metier.core import storage
from metier.core.records import Interval
from metier.evaluation.variants import Outcome, smallest_sufficient
from metier.report import words
from metier.report.html import page
from metier.report.svg import Dot, Line, dots, lines


def study_table(found: Sequence[Outcome]) -> Table:
    """Return the study as a table for the terminal."""
    table = Table(box=None, pad_edge=False)
    head, rows = _rows(found)
    for column in head:
        table.add_column(column, justify="left" if column in ("condition", "by seed") else "right")
    for row in rows:
        table.add_row(*row)
    return table


def study_sentences(found: Sequence[Outcome]) -> list[str]:
    """Return what the study comes to, in words made from its numbers."""
    said = []
    for strategy in dict.fromkeys(o.condition.strategy for o in found if o.condition.share is not None):
        own = [o for o in found if o.condition.strategy == strategy and o.condition.share is not None]
        if all(o.over_related is None for o in own):
            continue
        enough = smallest_sufficient(found, strategy)
        if enough is None:
            said.append(f"{strategy}: no budget reaches the score of all related rows.")
        else:
            said.append(
                f"{strategy}: {100 * (enough.condition.share or 0):g}% ({enough.condition.rows} rows) is the smallest "
                f"budget not shown to be worse than all related rows ({_signed(enough.over_related)})."
            )
    better = [o for o in found if o.over_random is not None and o.over_random.low > 0]
    for o in better:
        said.append(f"{o.condition.name} is better than as many rows at random: {_signed(o.over_random)}.")
    if not better and any(o.over_random is not None for o in found):
        said.append("No strategy was shown to be better than as many rows at random.")
    worded = [o for o in found if o.over_one is not None]
    said += [f"{o.condition.name}: {_signed(o.over_one)} over one wording." for o in worded]
    if worded and not any(o.over_one is not None and o.over_one.low > 0 for o in worded):
        said.append("More wordings were not shown to be better than one.")
    return said


def write_study(found: Sequence[Outcome], name: str, path: Path) -> None:
    """Write the study as one page that stands alone."""
    head, rows = _rows(found)
    storage.write_text(
        path,
        page(
            "study.html.j2",
            name=name,
            head=head,
            rows=rows,
            sentences=study_sentences(found),
            curves=_curves(found),
            scores=_scores(found),
        ),
    )


def _rows(found: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Return the columns' names and the rows; a column in which nothing stands is left out."""
    columns = {
        "condition": [o.condition.name for o in found],
        "rows": [f"{o.condition.rows:,}" if o.condition.rows else "" for o in found],
        "tokens": [f"{o.condition.tokens:,}" if o.condition.tokens else "" for o in found],
        "score [95%]": [
            f"{words.number(o.score.value)} [{words.number(o.score.low)}, {words.number(o.score.high)}]" for o in found
        ],
        "by seed": [", ".join(words.number(score) for score in o.by_seed.values()) for o in found],
        "over random": [_signed(o.over_random) for o in found],
        "over related": [_signed(o.over_related) for o in found],
        "over one wording": [_signed(o.over_one) for o in found],
    }
    told = {name: column for name, column in columns.items() if any(column)}
    return list(told), [list(row) for row in zip(*told.values(), strict=True)]


def _signed(interval: Interval | None) -> str:
    return words.interval_text(interval) if interval else ""


def _curves(found: Sequence[Outcome]) -> Markup:
    """Return score against budget (rows, on a scale of powers of ten), a line a strategy."""
    import math

    planned = [o for o in found if o.condition.share is not None]
    series = []
    for strategy, wordings in dict.fromkeys((o.condition.strategy, o.condition.wordings) for o in planned):
        own = sorted(
            (math.log10(o.condition.rows), o.score.value)
            for o in planned
            if (o.condition.strategy, o.condition.wordings) == (strategy, wordings)
        )
        name = strategy if wordings is None else f"{strategy}, {wordings} wordings"
        series.append(Line(name, own, "plain" if strategy == "random" else "accent", dots=True))
    if not series or max(len(line.points) for line in series) < 2:
        return Markup("")
    return lines("Score against budget", series, x_label="rows, as a power of ten")


def _scores(found: Sequence[Outcome]) -> Markup:
    rows = [
        Dot(
            str(escape(o.condition.name)),
            f"{words.number(o.score.value)}",
            o.score.value,
            o.score.low,
            o.score.high,
            "plain" if o.condition.strategy in ("", "random") else "accent",
        )
        for o in found
    ]
    low, high = min(o.score.low for o in found), max(o.score.high for o in found)
    return dots("Score of every condition, with its interval", rows, (low, max(high, low + 1)))
