"""``metier run`` and its stages one by one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metier.commands.options import (
    Budget,
    Json,
    Launch,
    Limit,
    Out,
    Overrides,
    Quiet,
    Seed,
    Smoke,
    TaskFile,
    open_console,
    quieten_libraries,
    scenario_of,
    task_of,
)
from metier.core.errors import GateError, MetierError, UserError

if TYPE_CHECKING:
    from metier.report.facts import RunFacts
    from metier.report.scenario import ScenarioFacts
    from metier.tasks.scenario import Scenario
    from metier.tasks.task import Task


def run(
    task_file: TaskFile,
    overrides: Overrides = None,
    out: Out = None,
    seed: Seed = None,
    limit: Limit = None,
    smoke: Smoke = False,
    budget: Budget = None,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with 1 unless the gain's interval is above zero.")] = False,
    as_json: Json = False,
    launch: Launch = None,
    quiet: Quiet = False,
) -> None:
    """Do everything: synthesize, train, evaluate, report. The same command continues where it stopped.

    A scenario (a folder with a mixture.yaml, or the name of a ready one: writing) is many tasks for one model.
    """
    scenario = scenario_of(task_file, overrides, seed, limit, smoke, launch)
    if scenario is not None:
        if budget is not None:
            raise UserError("--budget fits a task, not a scenario", hint="set rows=… and evaluation.limit=…")
        found = _scenario(scenario, out, smoke, quiet)
        _print_scenario(found, as_json)
        if gate and not found.all_hold:
            raise GateError("--gate: not every task was shown to be better", hint="see the report for why")
        return
    task = task_of(task_file, overrides, seed, limit, smoke, launch)
    facts = _stages(task, out, smoke, budget, quiet, "report")
    if facts is None:
        raise MetierError("the run ended without a report")
    _print_facts(facts, as_json)
    if gate and not facts.better:
        raise GateError("--gate: a gain whose interval is above zero was not shown", hint="see the report for why")


def report(
    task_file: TaskFile,
    overrides: Overrides = None,
    out: Out = None,
    seed: Seed = None,
    limit: Limit = None,
    smoke: Smoke = False,
    as_json: Json = False,
    launch: Launch = None,
    quiet: Quiet = False,
) -> None:
    """Write the report of a run again (stages that are missing are run first)."""
    run(task_file, overrides, out, seed, limit, smoke, None, False, as_json, launch, quiet)


def stage_command(until: str, about: str) -> Callable[..., None]:
    """Return the command that runs a task as far as one stage."""

    def command(
        task_file: TaskFile,
        overrides: Overrides = None,
        out: Out = None,
        seed: Seed = None,
        limit: Limit = None,
        smoke: Smoke = False,
        launch: Launch = None,
        quiet: Quiet = False,
    ) -> None:
        _stages(task_of(task_file, overrides, seed, limit, smoke, launch), out, smoke, None, quiet, until)

    command.__doc__ = about
    return command


def _stages(task: Task, out: str | None, smoke: bool, budget: str | None, quiet: bool, until: str) -> RunFacts | None:
    quieten_libraries()
    from metier.core.progress import Reporter
    from metier.core.remote import run_folder
    from metier.runs.run import run_task

    _say_smoke(smoke, quiet)
    with run_folder(out or str(Path("runs") / (f"{task.name}-smoke" if smoke else task.name))) as folder:
        if budget is not None:
            from metier.runs.plan import fit_to_budget, parse_time

            task = fit_to_budget(task, parse_time(budget), folder)
        return run_task(task, folder, Reporter(quiet=quiet), until=until)


def _scenario(scenario: Scenario, out: str | None, smoke: bool, quiet: bool) -> ScenarioFacts:
    quieten_libraries()
    from metier.core.progress import Reporter
    from metier.core.remote import run_folder
    from metier.runs.scenario import run_scenario

    _say_smoke(smoke, quiet)
    with run_folder(out or str(Path("runs") / f"{scenario.settings.name}-{scenario.digest[:8]}")) as folder:
        return run_scenario(scenario, folder, Reporter(quiet=quiet))


def _say_smoke(smoke: bool, quiet: bool) -> None:
    if smoke and not quiet:
        print("smoke: a handful of rows to see that it works; the scores mean nothing", file=sys.stderr)


def _print_facts(facts: RunFacts, as_json: bool) -> None:
    from metier.report.table import result_json, result_table, verdict_sentence

    console = open_console(stderr=as_json)
    console.print(result_table(facts))
    console.print(verdict_sentence(facts), soft_wrap=True)
    for sentence in facts.need_words:
        console.print(f"need: {sentence}", soft_wrap=True, markup=False)
    console.print(f"report: {Path(facts.run_folder) / 'report.html'}", soft_wrap=True, highlight=False)
    if as_json:
        result: dict[str, Any] = result_json(facts)
        print(json.dumps(result, ensure_ascii=False))


def _print_scenario(found: ScenarioFacts, as_json: bool) -> None:
    from metier.report.scenario import scenario_sentences, scenario_table, verdicts

    console = open_console(stderr=as_json)
    console.print(scenario_table(found))
    for sentence in scenario_sentences(found):
        console.print(sentence, soft_wrap=True, markup=False)
    for task, said in verdicts(found).items():
        console.print(f"{task}: {said}", soft_wrap=True, markup=False)
    console.print(f"report: {Path(found.run_folder) / 'report.html'}", soft_wrap=True, highlight=False)
    if as_json:
        print(json.dumps(found.to_dict(), ensure_ascii=False))
