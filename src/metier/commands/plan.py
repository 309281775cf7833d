"""``metier plan``: what a run would take here."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from metier.commands.options import Json, Launch, Limit, Overrides, Seed, Smoke, TaskFile, open_console, scenario_of

if TYPE_CHECKING:
    from metier.runs.plan import Plan


def plan(
    task_file: TaskFile,
    overrides: Overrides = None,
    seed: Seed = None,
    limit: Limit = None,
    smoke: Smoke = False,
    as_json: Json = False,
    launch: Launch = None,
) -> None:
    """Say what would run, how long it would take here, and how much memory; a few seconds are measured for it.

    With --launch ray:N: how long with N workers, each on a machine (or a GPU) like this one.
    """
    from metier.runs.plan import estimate

    scenario = scenario_of(task_file, overrides, seed, limit, smoke, launch)
    made = estimate(scenario)
    if as_json:
        print(json.dumps({**dataclasses.asdict(made), "seconds": made.seconds}))
    else:
        _print(scenario.settings.model, made)


def _print(model: str, made: Plan) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("about", justify="right")
    for name, seconds in made.stages.items():
        table.add_row(name, f"{seconds:.0f} s")
    table.add_row("together", f"{made.seconds:.0f} s")
    console = open_console()
    console.print(table)
    counts, costs = made.counts, made.costs
    console.print(
        f"{counts['inputs']} inputs, about {counts['pairs']} training pairs, {counts['test_rows']} test rows; "
        f"memory about {made.memory_bytes / 1e9:.1f} GB{' for each worker' if made.workers > 1 else ''}",
        highlight=False,
    )
    if made.workers > 1:
        console.print(
            f"{made.workers} workers write and answer, each on a machine (or a GPU) like this one; all on this "
            "machine, they share its cores and are no faster than one. Training is one process's",
            highlight=False,
        )
    console.print(
        f"measured with {model}: an input {costs.raw_input:.2f} s, an answer {costs.answer['specialist']:.3f} s, "
        f"a training example {costs.example:.3f} s; {made.tokens['written']} tokens to write, "
        f"{made.tokens['trained']} to train on",
        highlight=False,
    )
