"""Shows a scenario: one table of all tasks, what the mixture is made of, and a verdict for every task in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from metier.core import storage
from metier.core.codec import encode
from metier.core.records import Interval
from metier.data.mixture import MakeUp
from metier.data.packing import Packing
from metier.evaluation.better import SPECIALIST, Rival, judge
from metier.evaluation.over_tasks import TaskOutcome
from metier.evaluation.records import Need
from metier.report import svg, words
from metier.report.html import gains_figure, page
from metier.report.scenario_facts import ScenarioFacts
from metier.report.sentences import advice_of

if TYPE_CHECKING:
    from rich.table import Table

_HEAD = (
    "task",
    "metric",
    "rows",
    "best prompt",
    "constant",
    "best other tool",
    "specialist",
    "unseen wordings",
    "gain over the best [95%]",
    "p (corrected)",
    "verdict",
)


def scenario_table(facts: ScenarioFacts) -> Table:
    """Return the table for the terminal: for every task the best of each kind of system, and the specialist."""
    from rich.markup import escape
    from rich.table import Table

    caption = f"over best: prompt or constant, whichever scores higher; p: corrected for {_tasks(facts)} (Holm)"
    table = Table(title=f"{facts.name}: {facts.model}", caption=caption, box=None, pad_edge=False)
    table.title_justify = table.caption_justify = "left"
    for column in ("task", "metric"):
        table.add_column(column, no_wrap=True)
    for column in ("prompt", "const.", "tool", "tuned", "over best [95%]", "p"):
        table.add_column(column, justify="right", no_wrap=column.endswith("]"))
    for task in facts.outcome.tasks:
        table.add_row(
            escape(task.name),
            escape(words.metric_title(task.metric)),
            _score(task.best_of("prompted")),
            _score(task.best_of("constant")),
            _score(task.best_of("classic")),
            words.number(task.specialist),
            escape(_signed(task.best.gain)),
            _p_value(task),
            style="bold" if task.holds else None,
        )
    return table


def scenario_sentences(facts: ScenarioFacts) -> list[str]:
    """Return what the scenario comes to, in words made from its numbers."""
    tasks = facts.outcome.tasks
    if not tasks:
        return ["No task has test rows: whether the model is better than its base cannot be known."]
    held = [task.name for task in tasks if task.holds]
    said = [
        f"Significantly better than every system without it on {len(held)} of {_tasks(facts)}"
        + (f": {words.listed(held)}." if held else "."),
        *facts.notes,
    ]
    if worse := [task.name for task in tasks if task.verdict == "worse"]:
        said.append(f"Significantly worse than the best system without it: {words.listed(worse)}.")
    if facts.outcome.mean_gain is not None:
        said.append(
            f"Mean gain over each task's best system without it: {words.interval_text(facts.outcome.mean_gain)} points "
            "of the task's metric (95% interval over tasks and rows)."
        )
    return said


def verdicts(facts: ScenarioFacts) -> dict[str, str]:
    """Return a verdict for every task, in words made from the numbers: what to use, and why."""
    return {task.name: _verdict(task, facts.need.get(task.name, Need())) for task in facts.outcome.tasks}


def scenario_json(facts: ScenarioFacts) -> dict[str, object]:
    """Return what ``--json`` prints: the facts, with the verdicts in words."""
    whole: dict[str, object] = encode(facts)
    return {**whole, "verdicts": verdicts(facts), "sentences": scenario_sentences(facts)}


def write_scenario(facts: ScenarioFacts, path: Path) -> None:
    """Write the scenario as one page that stands alone."""
    storage.write_text(
        path,
        page(
            "scenario.html.j2",
            facts=facts,
            head=_HEAD,
            rows=[_row(task) for task in facts.outcome.tasks],
            sentences=scenario_sentences(facts),
            verdicts=verdicts(facts),
            gains=_gains(facts.outcome.tasks),
            mixture=_mixture(facts.mixture),
            packing=_packing(facts.packing),
            specialist=SPECIALIST,
        ),
    )


def _row(task: TaskOutcome) -> tuple[str, ...]:
    tool = task.best_of("classic")
    return (
        task.name,
        words.metric_title(task.metric),
        str(task.rows),
        _score(task.best_of("prompted")),
        _score(task.best_of("constant")),
        f"{words.number(tool.score)} ({tool.title})" if tool else "none",
        words.number(task.specialist),
        "" if task.unseen is None else words.number(task.unseen),
        f"{_signed(task.best.gain)} ({task.best.title})",
        _p_value(task),
        task.verdict or "not known",
    )


def _verdict(task: TaskOutcome, need: Need) -> str:
    """Say what was shown for a task, and what to use: the cheapest system that is good enough."""
    metric = words.metric_title(task.metric)
    ours = f"{words.number(task.specialist)} {metric}"
    tool = task.best_of("classic")
    if task.holds and (tool is None or tool.beaten):
        also = f" and {tool.title} ({words.number(tool.score)})" if tool else ""
        than = f"{task.best.title} ({words.number(task.best.score)})"
        return f"The specialist ({ours}) is significantly better than {than}{also}.{_advice(task, need)}"
    # Where the specialist holds, only a tool without a language model can be left to beat it.
    best = max([r for r in (tool, None if task.holds else task.best) if r is not None], key=lambda r: r.score)
    worse = judge(best.gain, best.p_value) == "worse"
    if worse:
        relation = f"is significantly better than the specialist ({ours})"
    elif best.beaten and best is task.best:
        relation = f"is below the specialist ({ours}), but the difference was not shown to be significant"
    else:
        relation = f"is not shown to be worse than the specialist ({ours})"
    title = f"{best.title[0].upper()}{best.title[1:]}"
    return f"{title} ({words.number(best.score)} {metric}) {relation}.{_advice(task, need)}"


def _advice(task: TaskOutcome, need: Need) -> str:
    """Return what to use, behind a space; nothing where it is not known."""
    if need.cheapest == SPECIALIST:
        return f" {advice_of(SPECIALIST, SPECIALIST, 'specialist', better=task.holds)}{_cost(need)}"
    chosen = next((rival for rival in task.rivals if rival.system == need.cheapest), None)
    if chosen is not None:
        return f" {advice_of(chosen.system, chosen.title, chosen.kind, better=task.holds)}"
    # What ships of the run's own systems is no rival of the specialist.
    own = next((row for row in need.rows if row.system == need.cheapest), None)
    return f" {advice_of(own.system, own.title, 'specialist', better=task.holds)}" if own else ""


def _cost(need: Need) -> str:
    ours = next((row for row in need.rows if row.system == SPECIALIST), None)
    if ours is None or not ours.p50:
        return ""
    return (
        f" It takes {words.brief(ours.p50)} a row and {words.size(ours.size_bytes)} of memory and disk; making it took "
        f"{words.duration(ours.learning_seconds)}, writing data included."
    )


def _tasks(facts: ScenarioFacts) -> str:
    return words.count(len(facts.outcome.tasks), "task")


def _score(rival: Rival | None) -> str:
    return words.number(rival.score) if rival else "none"


def _signed(interval: Interval | None) -> str:
    return words.interval_text(interval) if interval else "one row: no interval"


def _p_value(task: TaskOutcome) -> str:
    return "" if task.p_value is None else words.p_value(task.p_value)


def _gains(tasks: Sequence[TaskOutcome]) -> Markup:
    rows: list[tuple[str, Interval]] = []
    for task in tasks:
        for kind in ("prompted", "constant", "classic"):
            rival = task.best_of(kind)
            if rival is not None and rival.gain is not None:
                rows.append((f"{task.name}: over {rival.title}", rival.gain))
    return gains_figure("Gain of the specialist on every task, with its 95% interval", rows)


def _mixture(mixture: Mapping[str, MakeUp]) -> Markup:
    rows = []
    for name, part in mixture.items():
        left_out = ", ".join(f"{n:,} {reason}" for reason, n in part.dropped.items())
        text = f"{words.count(part.rows, 'row')}, {words.count(part.tokens, 'token')}"
        rows.append(svg.Bar(name, text + (f" (left out: {left_out})" if left_out else ""), part.tokens))
    return svg.bars("What the mixture is made of, in tokens", rows)


def _packing(packing: Packing) -> str:
    full = packing.tokens / (packing.sequences * packing.length) if packing.sequences else 0.0
    return (
        f"{words.count(packing.rows, 'row')}, {words.count(packing.tokens, 'token')}, the longest row "
        f"{packing.longest:,}. In batches of rows of similar length, {packing.padding:.1%} of the tokens are padding; "
        f"packed into sequences of {packing.length:,} tokens there would be {packing.sequences:,} sequences, "
        f"{full:.0%} full."
    )
