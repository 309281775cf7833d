"""Shows a study: the table of its variants, curves of score against budget, and what it comes to in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from metier.core import storage
from metier.core.records import Interval
from metier.evaluation.variants import RELATED, Outcome, smallest_sufficient
from metier.report import svg, words
from metier.report.html import gains_figure, page

if TYPE_CHECKING:
    from rich.table import Table

_RANDOM, _ONE_WORDING = "random", "one wording"
_IN_THE_NAME = ("share", "wordings")  # facts that a variant's name says already


def study_table(found: Sequence[Outcome]) -> Table:
    """Return the study as a table for the terminal: a line a variant."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, caption=study_note(found), caption_justify="left")
    head, rows = _table(found)
    for column in head:
        table.add_column(column, justify="left" if column in ("variant", "by seed") else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def study_note(found: Sequence[Outcome]) -> str:
    """Return how the table is to be read."""
    marks = ""
    if (only := _only_rival(found)) is not None and len(_tasks(found)) > 1:
        marks = f" + and -: significantly above or below {only}."
    return (
        "Intervals are over test rows and training seeds, the same draws for all variants, and are not corrected for "
        f"the number of variants.{marks}"
    )


def study_sentences(found: Sequence[Outcome]) -> list[str]:
    """Return what the study comes to, in words made from its numbers."""
    return [*_budgets(found), *_against_random(found), *_wordings(found)]


def write_study(found: Sequence[Outcome], title: str, path: Path) -> None:
    """Write the study as one page that stands alone.

    Raises:
        UserError: The folder may not be written to.
        MetierError: The disk is full, or the write failed otherwise.
    """
    head, rows = _table(found)
    storage.write_text(
        path,
        page(
            "study.html.j2",
            title=title,
            head=head,
            rows=rows,
            note=study_note(found),
            sentences=study_sentences(found),
            curves=_curves(found),
            scores=_scores(found),
            differences=_differences(found),
        ),
    )


def _budgets(found: Sequence[Outcome]) -> list[str]:
    """Say for every strategy which budget is enough."""
    said = []
    for group in dict.fromkeys(o.group for o in found if "share" in o.facts and RELATED in o.over):
        enough = smallest_sufficient(found, group)
        if enough is None:
            said.append(f"{group}: every budget is significantly worse than training on all related rows.")
        else:
            rows = f" ({words.count(int(enough.facts['rows']), 'row')})" if "rows" in enough.facts else ""
            said.append(
                f"{group}: {100 * enough.facts['share']:g}%{rows} is the smallest budget that is not shown to be worse "
                f"than training on all related rows ({words.interval_text(enough.over[RELATED].mean)})."
            )
    return said


def _against_random(found: Sequence[Outcome]) -> list[str]:
    compared = [o for o in found if _RANDOM in o.over]
    better = [o for o in compared if o.over[_RANDOM].mean.low > 0]
    if compared and not better:
        return ["No strategy was shown to be better than as many random rows."]
    return [
        f"{o.name} is better than as many random rows: {words.interval_text(o.over[_RANDOM].mean)}." for o in better
    ]


def _wordings(found: Sequence[Outcome]) -> list[str]:
    worded = [o for o in found if _ONE_WORDING in o.over]
    said = [f"{o.name}: {words.interval_text(o.over[_ONE_WORDING].mean)} over one wording." for o in worded]
    if worded and not any(o.over[_ONE_WORDING].mean.low > 0 for o in worded):
        said.append("More wordings were not shown to be better than one.")
    return said


def _table(found: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Return the columns' names and the rows; a column with nothing in it is left out."""
    tasks, rivals = _tasks(found), list(dict.fromkeys(name for o in found for name in o.over))
    facts = list(dict.fromkeys(key for o in found for key in o.facts if key not in _IN_THE_NAME))
    several = any(len(by_seed) > 1 for o in found for by_seed in o.by_seed.values())
    columns = {"variant": [o.name for o in found]}
    columns |= {key: [f"{o.facts[key]:,.0f}" if o.facts.get(key) else "" for o in found] for key in facts}
    if len(tasks) > 1:
        columns |= {task: [_score(o, task, rivals) for o in found] for task in tasks}
    columns["mean [95%]" if len(tasks) > 1 else "score [95%]"] = [_plain(o.mean) for o in found]
    if several and len(tasks) == 1:
        columns["by seed"] = [", ".join(words.number(x) for x in o.by_seed[tasks[0]].values()) for o in found]
    for name in rivals:
        columns[f"over {name}"] = [words.interval_text(o.over[name].mean) if name in o.over else "" for o in found]
    told = {name: column for name, column in columns.items() if any(column)}
    return list(told), [list(row) for row in zip(*told.values(), strict=True)]


def _tasks(found: Sequence[Outcome]) -> list[str]:
    return list(dict.fromkeys(task for o in found for task in o.by_task))


def _only_rival(found: Sequence[Outcome]) -> str | None:
    """Return the one variant that all are compared with, if there is one."""
    rivals = {difference.rival for o in found for difference in o.over.values()}
    return next(iter(rivals)) if len(rivals) == 1 else None


def _score(outcome: Outcome, task: str, rivals: Sequence[str]) -> str:
    """Return a task's score, with a mark where it differs significantly from the one variant compared with."""
    if task not in outcome.by_task:
        return ""
    gain = outcome.over[rivals[0]].by_task.get(task) if len(rivals) == 1 and rivals[0] in outcome.over else None
    mark = "" if gain is None else "+" if gain.low > 0 else "-" if gain.high < 0 else ""
    return f"{words.number(outcome.by_task[task].value)}{mark}"


def _plain(interval: Interval) -> str:
    return f"{words.number(interval.value)} [{words.number(interval.low)}, {words.number(interval.high)}]"


def _curves(found: Sequence[Outcome]) -> Markup:
    """Return score against budget (rows, on a scale of powers of ten), a line a group."""
    planned = [o for o in found if "share" in o.facts and o.facts.get("rows")]
    series = []
    for group, wordings in dict.fromkeys((o.group, o.facts.get("wordings")) for o in planned):
        own = sorted(
            (math.log10(o.facts["rows"]), o.mean.value)
            for o in planned
            if (o.group, o.facts.get("wordings")) == (group, wordings)
        )
        name = group if wordings is None else f"{group}, {words.count(int(wordings), 'wording')}"
        series.append(svg.Line(name, own, "plain" if group == _RANDOM else "accent", dots=True))
    if not series or max(len(line.points) for line in series) < 2:
        return Markup("")
    return svg.lines("Score against budget", series, x_label="rows, as a power of ten")


def _scores(found: Sequence[Outcome]) -> Markup:
    rows = [
        svg.Dot(
            o.name,
            words.number(o.mean.value),
            o.mean.value,
            o.mean.low,
            o.mean.high,
            "plain" if o.group in ("", _RANDOM) else "accent",
        )
        for o in found
    ]
    low, high = min(o.mean.low for o in found), max(o.mean.high for o in found)
    return svg.dots("Score of every variant, with its interval", rows, (low, max(high, low + 1)))


def _differences(found: Sequence[Outcome]) -> Markup:
    """Return by task what every variant gains over the one that all are compared with; nothing with one task."""
    if _only_rival(found) is None or len(_tasks(found)) < 2:
        return Markup("")
    rows = [(f"{o.name}, mean", over.mean) for o in found for over in o.over.values()]
    rows += [
        (f"{o.name}: {task}", gain) for o in found for over in o.over.values() for task, gain in over.by_task.items()
    ]
    return gains_figure(f"Difference from {_only_rival(found)}, over all tasks and by task", rows)
