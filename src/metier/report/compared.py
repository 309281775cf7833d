"""Shows runs side by side: as tables, as JSON, and as a page. Knows nothing of how scores came to be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from metier.core import storage
from metier.core.codec import encode
from metier.evaluation.compare_runs import Pairing, RunLine, RunsCompared
from metier.report import svg, words
from metier.report.html import gains_figure, page

if TYPE_CHECKING:
    from rich.table import Table


def compared_tables(compared: RunsCompared) -> list[Table]:
    """Return the tables: one line a run, and one for every two runs on the same rows."""
    return [_lines_table(compared.lines), *([_pairings_table(compared.pairings)] if compared.pairings else [])]


def compared_sentences(compared: RunsCompared) -> list[str]:
    """Return what the comparison says in words."""
    said = [
        f"Of {words.count(len(compared.lines), 'run')}, {compared.wins} {_are(compared.wins)} significantly better "
        f"than every system without the specialist, {compared.losses} {_are(compared.losses)} significantly worse than "
        f"the best of them, and {compared.ties} {_are(compared.ties)} not shown to be either."
    ]
    if compared.mean:
        said.append(
            f"Mean gain over {compared.mean_tasks} tasks: {words.interval_text(compared.mean)} points "
            "(95% interval over tasks and rows)."
        )
    return [*said, *compared.notes]


def compared_json(compared: RunsCompared) -> dict[str, object]:
    """Return the comparison ready for JSON."""
    whole: dict[str, object] = encode(compared)
    return {**whole, "sentences": compared_sentences(compared)}


def write_compared(compared: RunsCompared, path: Path) -> None:
    """Write the comparison as one page that stands alone.

    Raises:
        UserError: The folder may not be written to.
        MetierError: The disk is full, or the write failed otherwise.
    """
    storage.write_text(
        path,
        page(
            "compare.html.j2",
            compared=compared,
            sentences=compared_sentences(compared),
            interval_text=words.interval_text,
            gains_figure=_gains(compared.lines),
            size_figures=_by_size(compared.lines),
            differing=_differing(compared.pairings),
        ),
    )


def _lines_table(lines: Sequence[RunLine]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    title = "the specialist beside the best system without it"
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    for column in ("run", "task"):
        table.add_column(column, overflow="fold")
    for column in ("rows", "pairs", "best other", "specialist", "gain [95%]", "p (corrected)"):
        table.add_column(column, justify="right", no_wrap=column.endswith("]"))
    for line in lines:
        table.add_row(
            *(escape(x) for x in (line.name, line.task)),
            str(line.rows),
            str(line.training_pairs),
            words.number(line.before),
            words.number(line.after),
            escape(words.interval_text(line.gain)) if line.gain else "one row: no interval",
            "" if line.p_value is None else words.p_value(line.p_value),
        )
    return table


def _pairings_table(pairings: Sequence[Pairing]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="specialists on the same rows", box=None, pad_edge=False, title_justify="left")
    for column in ("from", "to"):
        table.add_column(column, overflow="fold")
    for column in ("rows", "gain [95%]", "p (corrected)", "wins", "ties", "losses"):
        table.add_column(column, justify="right", no_wrap=column.endswith("]"))
    for pairing in pairings:
        table.add_row(
            escape(pairing.first),
            escape(pairing.second),
            str(pairing.rows),
            escape(words.interval_text(pairing.gain)) if pairing.gain else "one row: no interval",
            "" if pairing.p_value is None else words.p_value(pairing.p_value),
            *(str(n) for n in (pairing.wins, pairing.ties, pairing.losses)),
        )
    return table


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _gains(lines: Sequence[RunLine]) -> Markup:
    rows = [(f"{line.task} ({words.shorten(line.name, 40)})", line.gain) for line in lines if line.gain]
    return gains_figure("Gain of each run's specialist over the best system without it", rows)


def _by_size(lines: Sequence[RunLine]) -> list[tuple[str, Markup]]:
    """Return a figure of score against training size for every task that has runs of several sizes."""
    figures = []
    for task in dict.fromkeys(line.task for line in lines):
        own = sorted((line.training_pairs, line.after) for line in lines if line.task == task)
        if len({size for size, _ in own}) > 1:
            line = svg.Line("specialist", [(size, score) for size, score in own], "accent", dots=True)
            figures.append((task, svg.lines(f"{task}: score by training pairs", (line,), x_label="training pairs")))
    return figures


def _differing(pairings: Sequence[Pairing]) -> list[Pairing]:
    return [pairing for pairing in pairings if pairing.differing]
