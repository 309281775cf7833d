"""``metier run`` and its steps one by one."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
)
from metier.core.errors import GateError, MetierError

Step = Literal["synthesize", "select", "train", "evaluate", "report"]

if TYPE_CHECKING:
    from metier.report.facts import RunFacts
    from metier.report.scenario_facts import ScenarioFacts
    from metier.runs.run import Outcome
    from metier.tasks.scenario import Scenario


def run(
    task_file: TaskFile,
    overrides: Overrides = None,
    out: Out = None,
    seed: Seed = None,
    limit: Limit = None,
    smoke: Smoke = False,
    budget: Budget = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Exit with 1 unless the verdict is better (of a scenario: on every task).")
    ] = False,
    as_json: Json = False,
    launch: Launch = None,
    quiet: Quiet = False,
) -> None:
    """Do everything: write data, train, evaluate, report. The same command resumes a run that was stopped.

    A scenario (a folder with a mixture.yaml, or the name of a ready one: writing) is several tasks for one model.
    """
    start = time.monotonic()
    scenario = scenario_of(task_file, overrides, seed, limit, smoke, launch)
    outcome = _run(scenario, out, smoke=smoke, budget=budget, quiet=quiet)
    if outcome is None:
        raise MetierError("the run ended without a report")
    if outcome.scenario is not None:
        _print_scenario(outcome.scenario, as_json)
        _print_end(outcome.scenario.run_folder, start, quiet=quiet)
        if gate and not outcome.scenario.all_hold:
            raise GateError("--gate: not every task was shown to be better", hint="see the report for why")
        return
    _print_facts(outcome.only, as_json)
    _print_end(outcome.only.run_folder, start, quiet=quiet, advice=_instead(outcome.only))
    if gate and not outcome.only.better:
        raise GateError("--gate: the specialist was not shown to be better", hint="see the report for why")


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
    """Write the report of a run again (steps that are missing are run first)."""
    run(task_file, overrides, out, seed, limit, smoke, None, False, as_json, launch, quiet)


def stage_command(until: Step, about: str) -> Callable[..., None]:
    """Return the command that takes a run as far as one step."""

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
        _run(scenario_of(task_file, overrides, seed, limit, smoke, launch), out, smoke=smoke, quiet=quiet, until=until)

    command.__doc__ = about
    return command


def _run(
    scenario: Scenario,
    out: str | None,
    *,
    smoke: bool,
    quiet: bool,
    budget: str | None = None,
    until: Step = "report",
) -> Outcome | None:
    quieten_libraries()
    from metier.core.progress import Reporter
    from metier.core.remote import run_folder
    from metier.runs import run as driver

    if smoke and not quiet:
        print("smoke: a handful of rows to see that it works; the scores mean nothing", file=sys.stderr)
    with run_folder(out or str(Path("runs") / _name(scenario, smoke))) as folder:
        if budget is not None:
            from metier.runs.plan import fit_to_budget, parse_time

            scenario = fit_to_budget(scenario, parse_time(budget), folder)
        return driver.run(scenario, folder, Reporter(quiet=quiet), until=until)


def _name(scenario: Scenario, smoke: bool) -> str:
    """Return the run folder's name: a task file's own, a scenario's with what it is made of."""
    name = scenario.settings.name
    if not scenario.alone:
        return f"{name}-{scenario.digest[:8]}"
    return f"{name}-smoke" if smoke else name


def _print_facts(facts: RunFacts, as_json: bool) -> None:
    from metier.report.sentences import product_sentence, trial_notes, verdict_sentence
    from metier.report.table import result_json, result_table

    console = open_console(stderr=as_json)
    console.print(result_table(facts))
    if ships := product_sentence(facts):
        console.print(ships, soft_wrap=True, markup=False, style="bold")
    console.print(verdict_sentence(facts), soft_wrap=True, markup=False)
    for note in trial_notes(facts):
        console.print(note, soft_wrap=True, markup=False)
    for sentence in facts.judged.need.words if facts.judged else ():
        console.print(f"need: {sentence}", soft_wrap=True, markup=False)
    console.print(f"report: {Path(facts.run_folder) / 'report.html'}", soft_wrap=True, highlight=False)
    if as_json:
        print(json.dumps(result_json(facts), ensure_ascii=False))


def _instead(facts: RunFacts) -> str:
    """Return what to use where it is not the specialist; else nothing."""
    from metier.report.sentences import advice

    return "" if facts.recommended else advice(facts)


def _print_end(folder: str, start: float, *, quiet: bool, advice: str = "") -> None:
    """Say how long this start took, and what to do next: to standard error, since it is no result."""
    from metier.report.words import duration

    if quiet:
        return
    page = shlex.quote(str(Path(folder) / "report.html"))
    print(f"done in {duration(time.monotonic() - start)}", file=sys.stderr)
    print(f"next: python -m webbrowser {page}{f'; {advice}' if advice else ''}", file=sys.stderr)


def _print_scenario(found: ScenarioFacts, as_json: bool) -> None:
    from metier.report.scenario import scenario_json, scenario_sentences, scenario_table, verdicts

    console = open_console(stderr=as_json)
    console.print(scenario_table(found))
    for sentence in scenario_sentences(found):
        console.print(sentence, soft_wrap=True, markup=False)
    for task, said in verdicts(found).items():
        console.print(f"{task}: {said}", soft_wrap=True, markup=False)
    console.print(f"report: {Path(found.run_folder) / 'report.html'}", soft_wrap=True, highlight=False)
    if as_json:
        print(json.dumps(scenario_json(found), ensure_ascii=False))
