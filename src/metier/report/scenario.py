"""Shows a scenario: one table of all tasks, what the mixture is made of, and a verdict for every task in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from metier.core import storage
from metier.core.records import Interval, NeedRow
from metier.evaluation.over_tasks import Rival, ScenarioOutcome, TaskOutcome, VariantOutcome
from metier.report import svg, words
from metier.report.facts import MachineFacts
from metier.report.html import gains_figure, page

if TYPE_CHECKING:
    from rich.table import Table


@dataclasses.dataclass(frozen=True, slots=True)
class ScenarioFacts:
    """Everything a report says about one scenario.

    Attributes:
        name: The scenario's name.
        digest: Hash of its mixture and tasks.
        run_folder: Where it was run.
        model: The base model.
        adapters: one, each or one_then_each.
        tuning: lora or full.
        seed: Its seed.
        machine: Where it was made.
        outcome: What the model came to.
        make_up: By task, rows, tokens and wordings of the mixture, and what was left out.
        packing: How the rows fill sequences.
        training_seconds: Of all training.
        need: By task, what each system gives and takes.
        need_words: By task, what follows from that.
    """

    name: str
    digest: str
    run_folder: str
    model: str
    adapters: str
    tuning: str
    seed: int
    machine: MachineFacts
    outcome: ScenarioOutcome
    make_up: Mapping[str, Mapping[str, Any]]
    packing: Mapping[str, float]
    training_seconds: float
    need: Mapping[str, Sequence[NeedRow]]
    need_words: Mapping[str, Sequence[str]]

    @property
    def all_hold(self) -> bool:
        """Whether every task's model is surely better than the prompted one and than its input."""
        return bool(self.outcome.tasks) and all(task.holds for task in self.outcome.tasks)

    def to_dict(self) -> dict[str, Any]:
        """Return the facts ready for JSON, verdicts in words included."""
        return {**dataclasses.asdict(self), "verdicts": verdicts(self), "sentences": scenario_sentences(self)}


def scenario_table(facts: ScenarioFacts) -> Table:
    """Return the table for the terminal: for every task the base, the copied input, the best cheap tool, the model."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{facts.name}: {facts.model}", box=None, pad_edge=False, title_justify="left")
    for column in ("task", "metric"):
        table.add_column(column, no_wrap=True)
    for column in ("base", "copied", "cheap", "tuned", "over base [95%]", "p"):
        table.add_column(column, justify="right", no_wrap=column.endswith("]"))
    for task in facts.outcome.tasks:
        table.add_row(
            escape(task.name),
            escape(words.metric_title(task.metric)),
            words.number(task.base.score) if task.base else "",
            words.number(task.constant.score),
            words.number(task.cheap.score) if task.cheap else "none",
            words.number(task.specialist),
            escape(_signed(task.base.gain if task.base else None)),
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
        f"{len(held)} of {words.count(len(tasks), 'task')}: surely better than both the prompted model and the "
        f"{'input as it is' if any(t.constant.system == 'copied_input' for t in tasks) else 'commonest label'}, "
        "all comparisons counted (Holm)" + (f": {', '.join(held)}." if held else ".")
    ]
    if facts.outcome.mean_gain is not None:
        said.append(
            f"Mean gain over the prompted model: {words.interval_text(facts.outcome.mean_gain)} points of each task's "
            "metric (tasks and rows drawn again)."
        )
    return said


def verdicts(facts: ScenarioFacts) -> dict[str, str]:
    """Return a verdict for every task, in words made from the numbers: what to use, and why."""
    return {task.name: _verdict(task, facts.need.get(task.name, ())) for task in facts.outcome.tasks}


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
            make_up=_make_up(facts.make_up),
            packing=_packing(facts.packing),
        ),
    )


def variants_table(found: Sequence[VariantOutcome]) -> Table:
    """Return a study's table: a line a variant, a column a task."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for i, column in enumerate(_variant_head(found)):
        table.add_column(column, justify="right" if i else "left", overflow="fold")
    for row in _variant_rows(found):
        table.add_row(*(escape(cell) for cell in row))
    return table


def write_variants(found: Sequence[VariantOutcome], title: str, against: str, path: Path) -> None:
    """Write a study's table as a page that stands alone."""
    gains = [(f"{o.name}, mean", o.mean_gain) for o in found if o.mean_gain is not None]
    detail = [(f"{o.name}: {task}", gain) for o in found for task, gain in o.gains.items()]
    storage.write_text(
        path,
        page(
            "variants.html.j2",
            title=title,
            against=against,
            head=_variant_head(found),
            rows=_variant_rows(found),
            means=gains_figure(f"Mean difference from: {against}", gains) if gains else Markup(""),
            detail=gains_figure(f"Difference from: {against}, by task", detail) if detail else Markup(""),
        ),
    )


_HEAD = (
    "task",
    "metric",
    "rows",
    "base",
    "copied",
    "cheap",
    "specialist",
    "unseen wordings",
    "over base",
    "over copied",
    "p",
)


def _row(task: TaskOutcome) -> tuple[str, ...]:
    return (
        task.name,
        words.metric_title(task.metric),
        str(task.rows),
        words.number(task.base.score) if task.base else "",
        words.number(task.constant.score),
        f"{words.number(task.cheap.score)} ({task.cheap.title})" if task.cheap else "none",
        words.number(task.specialist),
        "" if task.unseen is None else words.number(task.unseen),
        _signed(task.base.gain if task.base else None),
        _signed(task.constant.gain),
        _p_value(task),
    )


def _p_value(task: TaskOutcome) -> str:
    """Return the larger p-value of the two comparisons that a task's claim rests on."""
    known = [r.p_value for r in (task.base, task.constant) if r is not None and r.p_value is not None]
    return words.p_value(max(known)) if known else ""


def _verdict(task: TaskOutcome, need: Sequence[NeedRow]) -> str:
    metric = words.metric_title(task.metric)
    unbeaten = [r for r in (task.cheap, task.constant, task.base) if r is not None and not _beaten(r)]
    if not unbeaten:
        cheap = f", also than {task.cheap.title} ({words.number(task.cheap.score)})" if task.cheap else ""
        return (
            f"Use the specialist: {words.number(task.specialist)} {metric}, better than all else{cheap}.{_cost(need)}"
        )
    best = max(unbeaten, key=lambda r: r.score)
    relation = "is better" if best.gain is not None and best.gain.high < 0 else "is not shown to be worse"
    advice = {
        "copied_input": "leave the text as it is; no model is needed as things are",
        "majority": "no model is needed as things are",
    }.get(best.system, f"use {best.title}" if best is task.cheap else "keep the base model and its prompt")
    return (
        f"{best.title[0].upper()}{best.title[1:]} ({words.number(best.score)} {metric}) {relation} than the specialist "
        f"({words.number(task.specialist)}): {advice}."
    )


def _beaten(rival: Rival) -> bool:
    return rival.gain is not None and rival.gain.low > 0


def _cost(need: Sequence[NeedRow]) -> str:
    ours = next((row for row in need if row.system == "specialist"), None)
    if ours is None or not ours.p50:
        return ""
    return (
        f" It takes {words.brief(ours.p50)} a row, {words.size(ours.size_bytes)} of memory and disk, and "
        f"{words.duration(ours.tuning_seconds)} of tuning, shared by the tasks it was tuned for."
    )


def _gains(tasks: Sequence[TaskOutcome]) -> Markup:
    rows: list[tuple[str, Interval]] = []
    for task in tasks:
        for rival in (task.base, task.constant, task.cheap):
            if rival is not None and rival.gain is not None:
                rows.append((f"{task.name}: over {rival.title}", rival.gain))
    return gains_figure("Gain of the specialist on every task, with its 95% interval", rows)


def _make_up(made: Mapping[str, Mapping[str, Any]]) -> Markup:
    rows = []
    for name, told in made.items():
        left_out = ", ".join(f"{n:,} {reason}" for reason, n in told["dropped"].items())
        text = f"{words.count(told['rows'], 'row')}, {words.count(told['tokens'], 'token')}"
        rows.append(svg.Bar(name, text + (f" (left out: {left_out})" if left_out else ""), told["tokens"]))
    return svg.bars("What the mixture is made of, in tokens", rows)


def _packing(packing: Mapping[str, float]) -> str:
    full = packing["tokens"] / (packing["sequences"] * packing["length"]) if packing["sequences"] else 0.0
    return (
        f"{packing['rows']:,} rows, {packing['tokens']:,} tokens, the longest {packing['longest']}. In batches of rows "
        f"of like length {packing['padding']:.1%} is padding; packed into sequences of {packing['length']} tokens "
        f"there would be {packing['sequences']:,}, {full:.0%} full."
    )


def _variant_head(found: Sequence[VariantOutcome]) -> list[str]:
    tasks = list(dict.fromkeys(task for o in found for task in o.scores))
    facts = list(dict.fromkeys(key for o in found for key in o.facts))
    return ["variant", *facts, *tasks, "mean [95%]", "mean difference"]


def _variant_rows(found: Sequence[VariantOutcome]) -> list[list[str]]:
    tasks = list(dict.fromkeys(task for o in found for task in o.scores))
    facts = list(dict.fromkeys(key for o in found for key in o.facts))
    return [
        [
            o.name,
            *(f"{o.facts[key]:,.0f}" if key in o.facts else "" for key in facts),
            *(_score_cell(o, task) for task in tasks),
            f"{words.number(o.mean.value)} [{words.number(o.mean.low)}, {words.number(o.mean.high)}]",
            _signed(o.mean_gain),
        ]
        for o in found
    ]


def _score_cell(outcome: VariantOutcome, task: str) -> str:
    """Return a task's score, with a mark where it surely differs from the variant that all are held against."""
    if task not in outcome.scores:
        return ""
    gain = outcome.gains.get(task)
    mark = "" if gain is None else "+" if gain.low > 0 else "-" if gain.high < 0 else ""
    return f"{words.number(outcome.scores[task])}{mark}"


def _signed(interval: Interval | None) -> str:
    return words.interval_text(interval) if interval else ""
