"""What commands have in common: their arguments and options, and how these become a task or a scenario."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metier.core.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from metier.tasks.scenario import Scenario

TaskFile = Annotated[
    Path, typer.Argument(help="The task file, or a scenario.", metavar="TASK.yaml", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Settings that override the file's: training.epochs=2 …", metavar="[KEY=VALUE]…"),
]
Out = Annotated[
    str | None, typer.Option("--out", help="Run folder, or its URL: s3://bucket/runs/NAME (default: runs/NAME).")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Overrides the file's seed.")]
Limit = Annotated[int | None, typer.Option("--limit", help="At most so many test rows, drawn by the seed.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="Every step on a handful of rows, to see that it works.")]
Budget = Annotated[str | None, typer.Option("--budget", help="Fit the run to a time: 90s, 10m, 2h.")]
Launch = Annotated[
    list[str] | None,
    typer.Option(
        "--launch",
        help="accelerate:N trains in N processes (or accelerate:FILE, ddp, fsdp2); ray:N writes and answers with N "
        "workers (or ray:ADDRESS of a cluster). May be given twice.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]

_SMOKE = (
    "synthesis.inputs=16",
    "synthesis.prompts_per_round=8",
    "synthesis.input_max_tokens=48",
    "synthesis.output_samples=3",
    "synthesis.output_max_tokens=48",
    "synthesis.near_duplicates=null",
    "synthesis.balance=false",
    "synthesis.min_pairs=1",
    "training.epochs=1",
    "training.holdout_share=0",
    "evaluation.limit=8",
    "evaluation.max_tokens=24",
    "evaluation.timed_rows=2",
    "evaluation.demonstration_tokens=256",
)
_SMOKE_SCENARIO = (
    "rows=28",
    "training.epochs=1",
    "training.holdout_share=0",
    "evaluation.limit=4",
    "evaluation.max_tokens=24",
    "evaluation.timed_rows=2",
)
_WIDE = 200  # columns of a table that goes into a file
_SMOKE_WRITTEN = 16  # inputs a task, where the model writes any


def scenario_of(
    file: Path,
    overrides: list[str] | None,
    seed: int | None = None,
    limit: int | None = None,
    smoke: bool = False,
    launch: list[str] | None = None,
) -> Scenario:
    """Return what a command's arguments mean: a scenario, or the scenario of one that a task file by itself is.

    Raises:
        UserError: They are wrong.
    """
    from metier.tasks.read_scenario import load_scenario, scenario_file
    from metier.tasks.read_task import load_task
    from metier.tasks.scenario import of_one

    mixture = scenario_file(file)
    if mixture is None:
        return of_one(load_task(file, _settings(_SMOKE if smoke else (), overrides, seed, limit, launch)))
    scenario = load_scenario(mixture, _settings(_SMOKE_SCENARIO if smoke else (), overrides, seed, limit, launch))
    return _with_little_written(scenario) if smoke else scenario


def open_console(*, stderr: bool = False) -> Console:
    """Return where tables are printed: as wide as the terminal or COLUMNS says, else so wide that nothing is folded."""
    from rich.console import Console

    console = Console(stderr=stderr)
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(stderr=stderr, width=_WIDE)


def quieten_libraries() -> None:
    """Keep libraries' own bars and notes out of the progress lines; call it before any of them is imported."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _with_little_written(scenario: Scenario) -> Scenario:
    """Return the scenario with a handful of inputs for the model to write, wherever it writes any."""
    settings = scenario.settings
    tasks = {
        name: entry.but(synthetic=min(entry.synthetic, _SMOKE_WRITTEN)) if entry.synthetic else entry
        for name, entry in settings.tasks.items()
    }
    return dataclasses.replace(
        scenario, settings=settings.but(synthetic=min(settings.synthetic, _SMOKE_WRITTEN), tasks=tasks)
    )


def _settings(
    first: tuple[str, ...], overrides: list[str] | None, seed: int | None, limit: int | None, launch: list[str] | None
) -> list[str]:
    settings = [*first, *_launch_settings(launch), *(overrides or ())]
    if seed is not None:
        settings.append(f"seed={seed}")
    if limit is not None:
        settings.append(f"evaluation.limit={limit}")
    return settings


def _launch_settings(values: list[str] | None) -> list[str]:
    """Return what --launch asks for as settings of the task file's ``launch`` section."""
    settings = []
    for value in values or ():
        kind, _, what = value.partition(":")
        keys = {"accelerate": ("processes", "accelerate_config"), "ray": ("workers", "ray_address")}.get(kind)
        if keys is None or not what:
            raise UserError(f"--launch: {value!r} is not known", hint="write accelerate:2, accelerate:fsdp2 or ray:4")
        settings.append(f"launch.{keys[0] if what.isdigit() else keys[1]}={what}")
    return settings
