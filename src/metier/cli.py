"""The command line: parse, call, print.

Exit codes: 0 done; 1 something failed, or a gate was not met; 2 the user's mistake; 130 stopped by Ctrl-C, 143 by
SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from metier import __version__
from metier.commands import export, label, plan, predict, push, results, rewrite, serve, stages, study
from metier.commands.options import (
    Overrides,
    Quiet,
    TaskFile,
    open_console,
    scenario_of,
)
from metier.core.errors import MetierError, first_line, is_out_of_memory
from metier.core.stop import RESUMES, Stopped, exit_code

app = typer.Typer(
    help="Turn a small open language model into an expert at one job, and prove it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models_app = typer.Typer(help="The models that are known, and which are on this machine.", no_args_is_help=True)
app.add_typer(models_app, name="models")

# Typer may bring its own copy of click, so the error for wrong arguments is reached through what Typer exports.
_USAGE_ERROR: type[typer.BadParameter] = typer.BadParameter.__mro__[1]

_LESS_MEMORY = (
    "close other programs, or lower engine.batch_tokens and training.batch_size; the same command resumes (metier plan "
    "says how much memory a run takes)"
)
_STOPPED = exit_code(signal.SIGINT)

app.command("run")(stages.run)
_STEPS: tuple[tuple[stages.Step, str], ...] = (
    ("synthesize", "Let the model write and filter its own training data."),
    ("select", "Choose the part of the task's pool to train on (``selected.jsonl`` in the run folder)."),
    ("train", "Tune the model on that data (and on the task's train file, if it names one)."),
    ("evaluate", "Compare the specialist with the prompted model and the other baselines on the test rows."),
)
for _name, _about in _STEPS:
    app.command(_name)(stages.stage_command(_name, _about))
app.command("report")(stages.report)
app.command("compare")(results.compare)
app.command("score")(results.score)
app.command("study")(study.study)
app.command("plan")(plan.plan)
app.command("predict")(predict.predict)
app.command("label")(label.label)
app.command("testset")(label.testset)
app.command("export")(export.export)
app.command("push")(push.push)
app.command("rewrite")(rewrite.rewrite)
app.command("serve")(serve.serve)


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="The new task's or scenario's name.")],
    scenario: Annotated[
        str | None, typer.Option("--scenario", help="Copy a ready scenario to start from instead: writing.")
    ] = None,
) -> None:
    """Write a commented task file to start from, or the files of a scenario."""
    from metier.tasks.read_scenario import copy_scenario
    from metier.tasks.read_task import write_template

    if scenario is not None:
        path = copy_scenario(scenario, Path.cwd(), name)
        print(f"wrote {path} and its task files\nnext: edit them, then  metier run {path.parent.name}")
        return
    path = write_template(Path.cwd(), name)
    print(f"wrote {path}\nnext: edit it, then  metier run {path}")


@app.command()
def validate(task_file: TaskFile, overrides: Overrides = None) -> None:
    """Check a task file, or a scenario with all of its tasks, and the data files named, and run nothing."""
    from metier.steps.gather import gather

    scenario = scenario_of(task_file, overrides)
    several = "1 task" if len(scenario.tasks) == 1 else f"{len(scenario.tasks)} tasks"
    rows = gather(scenario)
    print(f"{task_file}: fine ({several}, model {scenario.settings.model})")
    for name, r in rows.items():
        task = r.task
        data = f"{len(r.labelled) or 'no'} rows to train on, {len(r.test) or 'no'} to test on"
        print(f"{name}: {len(task.examples)} examples, {data}, {1 + len(task.wordings)} wordings, recipe {task.recipe}")
        for warning in r.warnings:
            print(f"  warning: {warning}")


@app.command()
def schema(
    scenario: Annotated[bool, typer.Option("--scenario", help="Of a mixture.yaml instead.")] = False,
) -> None:
    """Print the JSON Schema of the task file, for editors."""
    from metier.tasks.read_scenario import scenario_json_schema
    from metier.tasks.read_task import task_json_schema

    print(json.dumps(scenario_json_schema() if scenario else task_json_schema(), indent=2))


@app.command()
def doctor() -> None:
    """Say what this machine has, what would be slow or is missing, and how to fix it."""
    from rich.table import Table

    from metier.commands.doctor import diagnose

    checks = diagnose()
    table = Table(box=None, pad_edge=False)
    for column in ("", "check", "found", "how to fix it"):
        table.add_column(column, overflow="fold")
    marks = {"ok": "ok", "slow": "slow", "missing": "MISSING"}
    for check in checks:
        table.add_row(marks[check.ok], check.name, check.detail, check.mend or "")
    open_console().print(table)
    if any(check.ok == "missing" for check in checks):
        raise typer.Exit(1)


@models_app.command("list")
def models_list() -> None:
    """List the models of the catalogue and say which are on this machine."""
    from rich.table import Table

    from metier.models.fetch import known_models

    table = Table(box=None, pad_edge=False)
    for column in ("model", "kind", "parameters", "licence", "on this machine"):
        table.add_column(column)
    for model in known_models():
        here = f"{model.bytes_here / 1e6:.0f} MB" if model.here else "no"
        table.add_row(model.name, model.kind, f"{model.parameters / 1e6:.0f} M", model.licence, here)
    open_console().print(table)


@models_app.command("fetch")
def models_fetch(
    name: Annotated[str, typer.Argument(help="Catalogue name, hub id, folder or .gguf file.")],
    quiet: Quiet = False,
) -> None:
    """Fetch a model, so that runs need no network."""
    from metier.models.locate import resolve_model

    files = resolve_model(name)
    if not quiet:
        print(f"{name}: {files.path} (from {files.source})")


def run_cli(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors are printed to standard error."""
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    try:
        code = app(args=arguments, prog_name="metier", standalone_mode=False)
    except MetierError as error:
        if debug:
            raise
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    except typer.Exit as error:
        code = error.exit_code
    except Stopped as stopped:
        print(RESUMES, file=sys.stderr)
        return stopped.exit_code
    except _USAGE_ERROR as error:
        error.show()
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = _STOPPED
    except Exception as error:  # a fault of Metier or of a library: no traceback unless the user asks for one
        if debug:
            raise
        if is_out_of_memory(error):
            print(f"error: out of memory ({first_line(error)})", file=sys.stderr)
            print(f"  hint: {_LESS_MEMORY}", file=sys.stderr)
            return 1
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        print("  hint: the same command resumes; --debug shows where it failed", file=sys.stderr)
        return 1
    if code == _STOPPED:  # which is also what Typer makes of Ctrl-C
        print(RESUMES, file=sys.stderr)
    return code if isinstance(code, int) else 0


def version_callback(value: bool) -> None:
    """Print the version and stop."""
    if value:
        print(f"metier {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=version_callback, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may be given anywhere.")] = False,
) -> None:
    """Turn a small open language model into an expert at one job, and prove it."""
