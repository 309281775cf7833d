"""SELF-GUIDE on its own tasks.

Run it with: python benchmarks/self_guide.py --data FOLDER [--models A B] [--tasks …] [--recipes …]

Runs the whole of Metier on Super-NaturalInstructions tasks with the prompts and test splits of the SELF-GUIDE authors,
and writes one JSON file with every score, interval and time. The same command resumes a run that was stopped. The data
is not part of the project: FOLDER must hold superni/tasks.jsonl and superni/selfguide_test.parquet (docs/results.md).

Of a classification task the tuned model's labels are read in every way beside each other (``label_priors.py``): under
``priors``, the accuracy after taking off nothing, inputs that say nothing, its own synthetic inputs, and real inputs.

The test files are sorted by label, so "the first 200 rows" of a classification task are all of one label, and a
constant answer would score 100. Rows are therefore drawn at random, by the seed.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet

from label_priors import measure_run
from metier.core import storage
from metier.core.codec import encode
from metier.core.errors import MetierError
from metier.core.progress import Reporter
from metier.report.table import result_json
from metier.runs.machine import machine
from metier.runs.run import run
from metier.tasks.recipes import recipe_settings
from metier.tasks.scenario import of_one
from metier.tasks.task import Task

# Three classification and three generation tasks: held-out and tuning tasks of the paper, short enough for a CPU.
TASKS = ("task738", "task1529", "task1615", "task121", "task1195", "task1345")
LABELS = {"task190": ("E", "C", "N"), "task329": ("A", "B", "Neither"), "task346": ("True", "False")}


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is asked for and write the results."""
    arguments = _arguments(argv)
    path = arguments.results
    results: dict[str, Any] = storage.read_json(path) if path.exists() else {"runs": {}}
    results["machine"] = {**encode(machine()), "python": platform.python_version()}
    path.parent.mkdir(parents=True, exist_ok=True)
    for model in arguments.models:
        for recipe in arguments.recipes:
            for name in arguments.tasks:
                key = f"{Path(model).name}/{recipe}/{name}"
                if key in results["runs"]:
                    continue
                print(f"== {key}", file=sys.stderr, flush=True)
                task = superni_task(arguments.data, name, model, recipe, arguments)
                folder = arguments.runs / key
                try:
                    results["runs"][key] = {**_run(task, folder), "run": key}
                except MetierError as error:
                    results["runs"][key] = {"error": error.message.replace(str(folder), "RUN")}
                storage.write_json(path, results)
    print(json.dumps({"results": str(path), "runs": len(results["runs"])}))


def _run(task: Task, folder: Path) -> dict[str, Any]:
    """Return what a run came to and, with labels, the accuracy of every way to read them."""
    outcome = run(of_one(task), folder, Reporter())
    if outcome is None:
        raise MetierError("the run ended without a report")
    told = result_json(outcome.only)
    if task.labels is not None:
        told["priors"] = measure_run(folder, skew=None, rows=None, reporter=Reporter()).told()["ways"]
    return told


def superni_task(data: Path, name: str, model: str, recipe: str, arguments: argparse.Namespace) -> Task:
    """Return one of the paper's tasks, its test rows written beside the runs."""
    told = next(t for t in map(json.loads, (data / "superni/tasks.jsonl").open()) if t["task"] == name)
    labels = tuple(label.strip() for label in told["labels"]) or LABELS.get(name)
    examples = [{"input": e["input"], "output": e["output"].strip()} for e in told["examples"][: arguments.examples]]
    table = pyarrow.parquet.read_table(
        data / "superni/selfguide_test.parquet", filters=[("task", "=", name)], columns=["input", "output"]
    )
    rows = [{"input": r["input"], "output": r["output"].strip()} for r in table.to_pylist()]
    test = arguments.runs / "data" / f"{name}.jsonl"
    storage.write_lines(test, [r for r in rows if r["input"].strip() and r["output"]])
    settings = recipe_settings(recipe, classification=labels is not None)  # type: ignore[arg-type]
    for override in arguments.set:
        key, _, value = override.partition("=")
        part, _, leaf = key.partition(".")
        settings.setdefault(part, {})[leaf] = json.loads(value)
    settings.setdefault("evaluation", {})["limit"] = arguments.rows
    return Task.model_validate(
        {
            "name": name,
            "instruction": told["instruction"],
            "labels": labels,
            "examples": examples,
            "model": model,
            "recipe": recipe,
            "test": str(test.resolve()),
            "seed": arguments.seed,
            **settings,
        }
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with superni/")
    parser.add_argument("--models", nargs="+", default=["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"])
    parser.add_argument("--recipes", nargs="+", default=["backward"])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--rows", type=int, default=200, help="test rows a task")
    parser.add_argument("--examples", type=int, default=6, help="demonstrations a task, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="PART.KEY=JSON", help="settings that win over the recipe"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/self-guide"))
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/self_guide.json"))
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
