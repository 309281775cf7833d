"""``metier study``: what makes the difference, on the same test rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from metier.commands.options import (
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
)
from metier.core.errors import UserError

if TYPE_CHECKING:
    from metier.evaluation.variants import Outcome
    from metier.studies.of_rows import RowsPlan
    from metier.studies.of_synthesis import SynthesisPlan
    from metier.tasks.scenario import Scenario
    from metier.tasks.task import Task


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
            help="What to vary; repeat for each. In a scenario: data, left_out, tuning, models, sizes, adapters, "
            "wordings, labels. In how a task's model writes its data: filters, agreement, asked_labels, temperature, "
            "pairs.",
        ),
    ] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Another model, for --of models.")] = None,
    rows: Annotated[
        list[int] | None, typer.Option("--rows", help="Rows per task, for --of sizes; pairs, for --of pairs.")
    ] = None,
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
    """Compare ways to make a specialist, all on the same test rows.

    For a task: strategies and budgets over its pool (or its labelled rows if it has no pool), each compared with as
    many random rows; or, with --of, what each part of how its model writes its own data is worth. For a scenario: what
    --of names.
    """
    quieten_libraries()
    scenario = scenario_of(task_file, overrides, seed, limit, False, launch)
    if not scenario.alone:
        chosen = scenario.only(task) if task else scenario
        _study_tasks(chosen, of or [], model or [], rows or [], out, html, quiet)
        return
    if model or task:
        raise UserError("--model and --task are for a scenario, and this is a task file")
    (given,) = scenario.tasks.values()
    if of:
        if share or strategy or wordings:
            raise UserError("--of: varies how pairs are written, and --share, --strategy, --wordings which are chosen")
        _study_synthesis(given, _synthesis_plan(of, seeds, rows), out, html, quiet)
        return
    if rows:
        raise UserError("--rows is for --of pairs, and for a scenario's --of sizes")
    _study_rows(given, _rows_plan(share, strategy, seeds, wordings), out, html, quiet)


def _rows_plan(
    share: list[float] | None, strategy: list[str] | None, seeds: int, wordings: list[int] | None
) -> RowsPlan:
    from metier.studies.of_rows import RowsPlan
    from metier.tasks.settings import StrategyName

    wanted = strategy or ["k_center"]
    known: tuple[StrategyName, ...] = get_args(StrategyName)
    if wrong := next((name for name in wanted if name not in known), None):
        raise UserError(f"--strategy: {wrong!r} is not known", hint=f"one of {', '.join(known)}")
    if any(not 0 < part <= 1 for part in share or ()):
        raise UserError("--share: must be above 0 and at most 1", hint="0.005 is half a percent")
    strategies = tuple(name for name in known if name in wanted)
    return RowsPlan(strategies, tuple(share or (0.005,)), seeds, tuple(sorted(set(wordings or ()))))


def _study_rows(task: Task, plan: RowsPlan, out: str | None, html: Path | None, quiet: bool) -> None:
    from metier.core.progress import Reporter
    from metier.core.remote import run_folder
    from metier.report.study import write_study
    from metier.studies.of_rows import study_rows

    with run_folder(out or str(Path("runs") / f"{task.name}-study")) as folder:
        found = study_rows(task, folder, plan, Reporter(quiet=quiet))
    _print(found)
    if html is not None:
        write_study(found, task.name, html)
        open_console().print(f"page: {html}", soft_wrap=True, highlight=False)


def _synthesis_plan(of: list[str], seeds: int, pairs: list[int] | None) -> SynthesisPlan:
    from metier.studies.of_synthesis import PAIRS, SynthesisPlan

    return SynthesisPlan(tuple(dict.fromkeys(of)), seeds, tuple(pairs) if pairs else PAIRS)


def _study_synthesis(task: Task, plan: SynthesisPlan, out: str | None, html: Path | None, quiet: bool) -> None:
    from metier.core.progress import Reporter
    from metier.core.remote import run_folder
    from metier.studies.of_synthesis import study_synthesis

    with run_folder(out or str(Path("runs") / f"{task.name}-study")) as folder:
        for study in study_synthesis(task, folder, plan, Reporter(quiet=quiet)):
            _show(study, task.name, folder, html)


def _study_tasks(
    scenario: Scenario,
    of: list[str],
    models: list[str],
    rows: list[int],
    out: str | None,
    html: Path | None,
    quiet: bool,
) -> None:
    from metier.core.progress import Reporter
    from metier.core.remote import run_folder
    from metier.studies.of_tasks import SIZES, TasksPlan, study_tasks

    plan = TasksPlan(tuple(of), tuple(models), tuple(rows) or SIZES)
    with run_folder(out or str(Path("runs") / f"{scenario.settings.name}-study-{scenario.digest[:8]}")) as folder:
        for study in study_tasks(scenario, folder, plan, Reporter(quiet=quiet)):
            _show(study, scenario.settings.name, folder, html)


def _show(study: tuple[str, str, tuple[Outcome, ...]], of: str, folder: Path, html: Path | None) -> None:
    """Print a study's table, and write its page."""
    from metier.report.study import write_study

    name, against, found = study
    open_console().print(f"{name} (compared with: {against})", markup=False)
    _print(found)
    page = folder / f"study-{name}.html" if html is None else html.with_stem(f"{html.stem}-{name}")
    write_study(found, f"{of}: {name}", page)
    open_console().print(f"page: {page}", soft_wrap=True, highlight=False)


def _print(found: Sequence[Outcome]) -> None:
    from metier.report.study import study_sentences, study_table

    console = open_console()
    console.print(study_table(found))
    for sentence in study_sentences(found):
        console.print(sentence, soft_wrap=True, markup=False)
