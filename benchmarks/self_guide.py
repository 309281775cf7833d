"""SELF-GUIDE's whole table: its tasks, every fair baseline, and the same model tuned on as many real labels.

Run it with: python benchmarks/self_guide.py --data FOLDER [--models A B] [--tasks …] [--recipes …]

Runs the whole of Metier on Super-NaturalInstructions tasks with the prompts and test splits of the SELF-GUIDE authors,
a process for each run, and writes a JSON file for each, RESULTS/MODEL/RECIPE/TASK.json, with every score, interval and
time and with the rows' scores, and the means over tasks (``self_guide_means.py``). The same command resumes what was
stopped, also from the result files alone; several may run side by side with one RESULTS. The data is not part of the
project: FOLDER must hold superni/ (docs/results.md). Recipes are those of a task file, and ``gold``: the model tuned,
in the same way, on as many rows of the task's instances as the run of ``backward`` had pairs, none of them in the test
split. ``--as NAME`` files a recipe with other settings under a name of its own, to be compared with ``backward``.

Of a classification task the tuned model's labels are read in every way beside each other (``label_priors.py``): under
``priors``, the accuracy after taking off nothing, inputs that say nothing, its own synthetic inputs, and real inputs.

The test files are sorted by label, so "the first 200 rows" of a classification task are all of one label, and a
constant answer would score 100. Rows are therefore drawn at random, by the seed.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from label_priors import measure_run
from metier.core import storage
from metier.core.codec import encode
from metier.core.errors import MetierError, UserError
from metier.core.progress import Reporter
from metier.core.records import Example
from metier.report.table import result_json
from metier.runs.load import load_run
from metier.runs.machine import machine
from metier.runs.run import run
from metier.tasks.recipes import recipe_settings
from metier.tasks.scenario import of_one
from metier.tasks.task import Task
from self_guide_means import GROUPS, row_scores, write_means
from superni import rows_outside, test_split, told_of

TASKS = tuple(task for group in GROUPS.values() for task in group)
GOLD = "gold"


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is asked for and write the results.

    Raises:
        UserError: A result is there already that was made with other settings.
    """
    argv = sys.argv[1:] if argv is None else argv
    arguments = _arguments(argv)
    if arguments.one:
        result = {**_run(arguments, arguments.one), **_made_with(arguments)}
        storage.write_json(_result(arguments, arguments.one), result)
        return
    for key in _keys(arguments):
        path = _result(arguments, key)
        if path.exists():
            _check_settings(path, arguments)
            continue
        print(f"== {key}", file=sys.stderr, flush=True)
        # A process of its own gives all its memory back, and one that is killed costs one run.
        subprocess.run([sys.executable, __file__, *argv, "--one", key], check=True)
        write_means(arguments.results)
    print(json.dumps({"results": str(arguments.results), "runs": len(_keys(arguments))}))


def _keys(arguments: argparse.Namespace) -> list[str]:
    return [
        f"{Path(model).name}/{recipe}/{name}"
        for model in arguments.models
        for name in arguments.tasks
        for recipe in arguments.recipes
    ]


def _filed(arguments: argparse.Namespace, key: str) -> Path:
    """Return where a run is, under the folder of runs, and its result, under that of results."""
    model, recipe, name = key.split("/")
    return Path(model, arguments.filed_as if arguments.filed_as and recipe != GOLD else recipe, name)


def _result(arguments: argparse.Namespace, key: str) -> Path:
    path: Path = arguments.results / _filed(arguments, key)
    return path.with_name(f"{path.name}.json")


def _made_with(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what two results must have in common to stand in one table, and the machine."""
    settings = {name: getattr(arguments, name) for name in ("rows", "examples", "unlabelled", "seed", "set")}
    return {"settings": settings, "machine": {**encode(machine()), "python": platform.python_version()}}


def _check_settings(path: Path, arguments: argparse.Namespace) -> None:
    known = storage.read_json(path)["settings"]
    if known != (asked := _made_with(arguments)["settings"]):
        raise UserError(
            f"{path}: made with {known}, not with {asked}", hint="give the settings a name of their own with --as"
        )


def _run(arguments: argparse.Namespace, key: str) -> dict[str, Any]:
    """Return what a run came to and, with labels, the accuracy of every way to read them; or why it failed."""
    model, recipe, name = key.split("/")
    model = next(given for given in arguments.models if Path(given).name == model)
    folder = arguments.runs / _filed(arguments, key)
    try:
        task = superni_task(arguments.data, name, model, "backward" if recipe == GOLD else recipe, arguments)
        if recipe == GOLD:
            task = _on_gold(task, arguments, key.replace(f"/{GOLD}/", "/backward/"))
        outcome = run(of_one(task), folder, Reporter())
        if outcome is None:
            raise MetierError("the run ended without a report")
        told = result_json(outcome.only)
        if task.labels is not None and recipe != GOLD:
            told["priors"] = measure_run(folder, skew=None, rows=None, reporter=Reporter()).told()["ways"]
    except MetierError as error:
        return {"error": error.message.replace(str(folder), "RUN")}
    return {**told, "run": str(_filed(arguments, key)), "row_scores": row_scores(load_run(folder).task)}


def superni_task(data: Path, name: str, model: str, recipe: str, arguments: argparse.Namespace) -> Task:
    """Return one of the paper's tasks, its test rows written beside the runs."""
    told, rows = told_of(data, name, arguments.examples), test_split(data, name)
    test = arguments.runs / "data" / f"{name}.jsonl"
    storage.write_lines(test, [{"input": r.input, "output": r.output} for r in rows if r.input.strip() and r.output])
    settings = recipe_settings(recipe, classification=told.labels is not None)  # type: ignore[arg-type]
    for override in arguments.set:
        key, _, value = override.partition("=")
        part, _, leaf = key.partition(".")
        settings.setdefault(part, {})[leaf] = json.loads(value)
    settings.setdefault("evaluation", {})["limit"] = arguments.rows
    if arguments.unlabelled and recipe == "backward":
        settings["unlabelled"] = str(_unlabelled(data, name, rows, arguments).resolve())
    return Task.model_validate(
        {
            "name": name,
            "instruction": told.instruction,
            "labels": told.labels,
            "examples": [{"input": e.input, "output": e.output} for e in told.examples],
            "model": model,
            "recipe": recipe,
            "test": str(test.resolve()),
            "seed": arguments.seed,
            **settings,
        }
    )


def _unlabelled(data: Path, name: str, tested: Sequence[Example], arguments: argparse.Namespace) -> Path:
    """Return a file of real inputs of a task, none of them in the test split."""
    seen = {row.input.strip() for row in tested}
    fresh = sorted({row.input for row in rows_outside(data, name, seen) if row.input.strip()})
    random.Random(storage.seed_of(arguments.seed, "unlabelled")).shuffle(fresh)
    path: Path = arguments.runs / "data" / f"{name}-unlabelled-{arguments.unlabelled}.jsonl"
    storage.write_lines(path, [{"input": text} for text in fresh[: arguments.unlabelled]])
    return path


def _on_gold(task: Task, arguments: argparse.Namespace, beside: str) -> Task:
    """Return the task with real rows to be tuned on in place of what the model writes: as many as it wrote there."""
    path = _result(arguments, beside)
    pairs = storage.read_json(path).get("counts") if path.exists() else None
    if pairs is None:
        raise MetierError(f"{beside}: the run that gold rows are counted by is missing or failed")
    several = pairs["training_pairs"] - pairs["pairs_by_origin"].get("example", 0)
    tested = {row["input"].strip() for row in storage.read_lines(arguments.runs / "data" / f"{task.name}.jsonl")}
    kept = [
        {"input": row.input, "output": row.output}
        for row in rows_outside(arguments.data, task.name, tested)
        if row.input.strip() and row.output and (task.labels is None or row.output in task.labels)
    ]
    random.Random(storage.seed_of(task.seed, "gold")).shuffle(kept)
    train = arguments.runs / "data" / f"{task.name}-gold-{several}.jsonl"
    storage.write_lines(train, kept[:several])
    return task.but(
        train=str(train.resolve()),
        train_use="instead",
        evaluation=task.evaluation.but(baselines=("tfidf", "encoder")),
    )


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with superni/")
    parser.add_argument("--models", nargs="+", default=["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"])
    parser.add_argument("--recipes", nargs="+", default=["backward", GOLD], help="gold comes after backward")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--rows", type=int, default=200, help="test rows a task")
    parser.add_argument("--examples", type=int, default=6, help="demonstrations a task, at most")
    parser.add_argument("--unlabelled", type=int, default=0, help="real inputs without answers, for backward")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="PART.KEY=JSON", help="settings that win over the recipe"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/self-guide"))
    parser.add_argument(
        "--results", type=Path, default=Path("benchmarks/results/self_guide_tasks"), help="a file for each run"
    )
    parser.add_argument("--as", dest="filed_as", metavar="NAME", help="file the recipe under this name")
    parser.add_argument("--one", metavar="MODEL/RECIPE/TASK", help="this run alone, here")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
