"""Commands about results: compare runs, score any outputs, and study what makes the difference."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metier.commands.options import (
    Json,
    Launch,
    Limit,
    Out,
    Overrides,
    Quiet,
    Seed,
    TaskFile,
    open_console,
    quieten_libraries,
    scenario_of,
    task_of,
)
from metier.core.errors import UserError

if TYPE_CHECKING:
    from metier.tasks.scenario import WholeScenario
    from metier.tasks.task import Task


def compare(
    runs: Annotated[
        list[str], typer.Argument(help="Folders of finished runs, or their URLs.", metavar="RUN…", show_default=False)
    ],
    html: Annotated[Path | None, typer.Option("--html", help="Also write the comparison as a page.")] = None,
    as_json: Json = False,
) -> None:
    """Compare finished runs: paired on the rows they share, and over tasks."""
    from metier.core.remote import local
    from metier.evaluation.compare_runs import compare_runs
    from metier.report.compared import compared_json, compared_sentences, compared_tables, write_compared
    from metier.runs.load import load_runs

    compared = compare_runs(load_runs([local(run) for run in runs]))
    console = open_console(stderr=as_json)
    for table in compared_tables(compared):
        console.print(table)
    for sentence in compared_sentences(compared):
        console.print(sentence, soft_wrap=True, markup=False)
    if html is not None:
        write_compared(compared, html)
        console.print(f"page: {html}", soft_wrap=True, highlight=False)
    if as_json:
        print(json.dumps(compared_json(compared), ensure_ascii=False))


def score(
    prediction: Annotated[str, typer.Option("--prediction", help="The outputs: one text per line, or TABLE[:COLUMN].")],
    reference: Annotated[list[str], typer.Option("--reference", help="Right outputs; repeat for each reference file.")],
    metric: Annotated[list[str], typer.Option("--metric", help="Name of a metric; can be repeated.")],
    source: Annotated[str | None, typer.Option("--source", help="The inputs, for metrics that need them.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="A possible output; repeat for each.")] = None,
    more: Annotated[
        list[str] | None, typer.Argument(help="Further reference files.", metavar="[REFERENCE]…", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Score any system's outputs: text files (one text per line), JSON Lines, CSV or Parquet columns."""
    from metier.evaluation.score_files import score_files
    from metier.report.words import number

    labels = tuple(label) if label else None
    scores = score_files(metric, prediction, [*reference, *(more or ())], source=source, labels=labels)
    for found in scores:
        span = f" [{number(found.interval.low)}, {number(found.interval.high)}]" if found.interval else ""
        note = "" if found.interval else " (one row: no interval)"
        print(f"{found.metric}: {found.score:.2f}{span}{note}  {found.signature}", file=sys.stderr if as_json else None)
    if as_json:
        print(json.dumps([{k: v for k, v in dataclasses.asdict(s).items() if k != "by_row"} for s in scores]))


def study(
    task_file: TaskFile,
    overrides: Overrides = None,
    share: Annotated[list[float] | None, typer.Option("--share", help="A budget; repeat for each [0.005].")] = None,
    strategy: Annotated[list[str] | None, typer.Option("--strategy", help="Repeat for each [k_center].")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds for every condition.")] = 3,
    wordings: Annotated[
        list[int] | None,
        typer.Option("--wordings", min=1, help="Wordings of the instruction to ask labelled rows in; can be repeated."),
    ] = None,
    of: Annotated[
        list[str] | None,
        typer.Option(
            "--of",
            help="What to vary in a scenario; repeat for each: data, left_out, tuning, models, sizes, adapters, "
            "wordings, labels.",
        ),
    ] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Another model, for --of models.")] = None,
    rows: Annotated[list[int] | None, typer.Option("--rows", help="Rows per task, for --of sizes.")] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="Only this task of a scenario; repeat for each.")
    ] = None,
    out: Out = None,
    seed: Seed = None,
    limit: Limit = None,
    launch: Launch = None,
    html: Annotated[Path | None, typer.Option("--html", help="Also write the study as a page.")] = None,
    quiet: Quiet = False,
) -> None:
    """Compare ways to make a specialist: ways to select from a task's rows, or to train a scenario's model.

    For a task: strategies and budgets over its pool (or its labelled rows if it has no pool), each compared with as
    many random rows. For a scenario: what --of names.
    """
    scenario = scenario_of(task_file, overrides, seed, limit, False, launch)
    shown = _Shown(out, html, quiet)
    if scenario is not None:
        _study_scenario(scenario.only(task) if task else scenario, of or [], model or [], rows or [], shown)
        return
    conditions = _Conditions(share or [0.005], strategy or ["k_center"], seeds, wordings or [])
    _study_task(task_of(task_file, overrides, seed, limit, False, launch), conditions, shown)


@dataclasses.dataclass(frozen=True, slots=True)
class _Shown:
    """Where a study's results go."""

    out: str | None
    html: Path | None
    quiet: bool


@dataclasses.dataclass(frozen=True, slots=True)
class _Conditions:
    """What a task's study compares, as given on the command line."""

    shares: list[float]
    strategies: list[str]
    seeds: int
    wordings: list[int]


def _study_task(task: Task, conditions: _Conditions, shown: _Shown) -> None:
    quieten_libraries()
    from typing import get_args

    from metier.core.progress import Reporter
    from metier.core.remote import run_folder
    from metier.report.study import study_sentences, study_table, write_study
    from metier.studies.of_rows import StudyPlan, run_study
    from metier.tasks.task import StrategyName

    known = get_args(StrategyName)
    if wrong := next((name for name in conditions.strategies if name not in known), None):
        raise UserError(f"--strategy: {wrong!r} is not known", hint=f"use one of {', '.join(known)}")
    if any(not 0 < part <= 1 for part in conditions.shares):
        raise UserError("--share: must be above 0 and at most 1", hint="0.005 is half a percent")
    strategies = tuple(name for name in known if name in conditions.strategies)
    wordings = tuple(sorted(set(conditions.wordings)))
    planned = StudyPlan(strategies, tuple(conditions.shares), conditions.seeds, wordings)
    with run_folder(shown.out or str(Path("runs") / f"{task.name}-study")) as folder:
        found = run_study(task, folder, planned, Reporter(quiet=shown.quiet))
    console = open_console()
    console.print(study_table(found))
    for sentence in study_sentences(found):
        console.print(sentence, soft_wrap=True, markup=False)
    if shown.html is not None:
        write_study(found, task.name, shown.html)
        console.print(f"page: {shown.html}", soft_wrap=True, highlight=False)


def _study_scenario(scenario: WholeScenario, of: list[str], models: list[str], rows: list[int], shown: _Shown) -> None:
    quieten_libraries()
    from metier.core.progress import Reporter
    from metier.core.remote import run_folder
    from metier.report.scenario import variants_table, write_variants
    from metier.studies.of_tasks import run_scenario_study

    console, reporter, html = open_console(), Reporter(quiet=shown.quiet), shown.html
    with run_folder(shown.out or str(Path("runs") / f"{scenario.settings.name}-study-{scenario.digest[:8]}")) as folder:
        for study_name, against, found in run_scenario_study(scenario, folder, reporter, of, models, rows):
            console.print(f"{study_name} (differences are from: {against})", markup=False)
            console.print(variants_table(found))
            page = folder / f"study-{study_name}.html" if html is None else html.with_stem(f"{html.stem}-{study_name}")
            write_variants(found, f"{scenario.settings.name}: {study_name}", against, page)
            console.print(f"page: {page}", soft_wrap=True, highlight=False)
