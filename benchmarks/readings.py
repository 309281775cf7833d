"""How well a model tells the labels of real inputs, read forwards, backwards and both ways, without being tuned.

The default recipe labels what the model writes, and real inputs, by the model's own readings, and keeps the surer half
of each label (``metier.synthesis.agreement``). Here the inputs are real ones whose labels are known, equally many of
each: of SELF-GUIDE's tuning tasks, none from a test split, and the test rows of the examples with labels. For each
task: the accuracy of the forward reading, the backward one, both added up (as agreement does), both brought to one
spread first, and the backward one weighed by their correlation then; of all inputs, and of those that would be kept.

    python benchmarks/readings.py --data FOLDER [--models A B] [--tasks …] [--rows 60]

One JSON file, which holds the readings too; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.core import storage
from metier.core.codec import encode
from metier.core.records import Example
from metier.data.pairs import read_examples
from metier.engines.prompts import PromptFormat
from metier.engines.shards import unkept
from metier.engines.transformers import TransformersEngine
from metier.models.locate import resolve_model
from metier.runs.machine import machine
from metier.synthesis.agreement import calibrated, evidence_of, readings
from metier.synthesis.brief import Brief
from metier.tasks.read_task import load_task
from metier.tasks.recipes import recipe_settings
from metier.tasks.task import Task
from self_guide_means import GROUPS
from superni import rows_outside, test_split, told_of

EXAMPLES = ("newspaper-sections", "ticket-routing")
_SHOWN = 6  # examples, at most
_KEPT = 0.5  # as `synthesis.keep_share`
_ROOT = Path(__file__).resolve().parent.parent

_Floats = npt.NDArray[np.float64]
WAYS: dict[str, Callable[[_Floats, _Floats], _Floats]] = {
    "forwards": lambda direct, channel: calibrated(direct),
    "backwards": lambda direct, channel: calibrated(channel),
    "added up": evidence_of,
    "one spread": lambda direct, channel: _weighed(calibrated(direct), calibrated(channel), 1.0),
    "by correlation": lambda direct, channel: _weighed(calibrated(direct), calibrated(channel)),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the results."""
    arguments = _arguments(argv)
    path = arguments.out
    told: dict[str, Any] = storage.read_json(path) if path.exists() else {"models": {}}
    told |= {"machine": encode(machine()), "rows": arguments.rows}
    for model in arguments.models:
        found = told["models"].setdefault(Path(model).name, {})
        missing = [name for name in arguments.tasks if name not in found]
        if not missing:
            continue
        engine = TransformersEngine(resolve_model(model).path, dtype=arguments.dtype)
        prompts = PromptFormat(engine.tokenizer)
        for name in missing:
            print(f"== {model} {name}", file=sys.stderr, flush=True)
            brief, rows = _task(arguments, name)
            inputs = [row.input for row in rows]
            both = readings(brief, engine, prompts, inputs, unkept)
            right = [(brief.labels or ()).index(row.output) for row in rows]
            raw = dict(zip(("direct", "channel"), (_written(reading) for reading in both), strict=True))
            found[name] = {**raw, "right": "".join(map(str, right)), **measure(*both, right)}
            storage.write_json(path, told)
    print(json.dumps(told["models"]))


def measure(direct: _Floats, channel: _Floats, right: Sequence[int]) -> dict[str, Any]:
    """Return the accuracy of every way on all inputs and on those kept, and how the two readings correlate.

    Args:
        direct: How likely each label is after each input, ``[inputs, labels]``.
        channel: How likely each input is under each label, ``[inputs, labels]``.
        right: Each input's label, by its place.
    """
    truth = np.array(right)
    found: dict[str, Any] = {"rows": len(truth), "labels": direct.shape[1]}
    found["correlation"] = round(float(np.corrcoef(calibrated(direct).ravel(), calibrated(channel).ravel())[0, 1]), 3)
    for name, way in WAYS.items():
        evidence = way(direct, channel)
        best = evidence.argmax(axis=1)
        kept = _surest(evidence)
        all_of_them, of_kept = (100 * float(np.mean(best[rows] == truth[rows])) for rows in (slice(None), kept))
        found[name] = {"all": round(all_of_them, 1), "kept": round(of_kept, 1)}
    return found


def _weighed(forwards: _Floats, backwards: _Floats, weight: float | None = None) -> _Floats:
    """Return the sum of both in the forward one's spread, the backward one weighed; by default by their correlation."""
    if weight is None:
        weight = max(0.0, float(np.corrcoef(forwards.ravel(), backwards.ravel())[0, 1]))
    both: _Floats = forwards + weight * float(forwards.std() / backwards.std()) * backwards
    return both


def _written(reading: _Floats) -> list[str]:
    """Return a reading as a line for each input."""
    return [" ".join(f"{value:.3f}" for value in row) for row in reading]


def _surest(evidence: _Floats) -> list[int]:
    """Return the inputs of which each label keeps the surest, as agreement does."""
    best = evidence.argmax(axis=1)
    shares = np.exp(evidence - np.logaddexp.reduce(evidence, axis=1, keepdims=True)).max(axis=1)
    quota = math.ceil(_KEPT * len(evidence) / evidence.shape[1])
    return [
        int(i)
        for label in range(evidence.shape[1])
        for i in sorted(np.flatnonzero(best == label), key=lambda i: -shares[i])[:quota]
    ]


def _task(arguments: argparse.Namespace, name: str) -> tuple[Brief, list[Example]]:
    """Return what the model is told of a task, and real rows of it, equally many of each label."""
    if name in EXAMPLES:
        task = load_task(_ROOT / "examples" / name / "task.yaml")
        rows = list(read_examples(str(task.test), labels=task.labels).examples)
    else:
        task, rows = _of_superni(arguments.data, name)
    random.Random(storage.seed_of(0, "readings", name)).shuffle(rows)
    labels = task.labels or ()
    each = -(-arguments.rows // len(labels))
    chosen = [row for label in labels for row in [row for row in rows if row.output == label][:each]]
    examples = tuple(Example(e.input, e.output) for e in task.examples)
    return Brief(task.instruction, labels, examples, task.synthesis, task.seed), chosen


def _of_superni(data: Path, name: str) -> tuple[Task, list[Example]]:
    told = told_of(data, name, _SHOWN)
    rows = rows_outside(data, name, {row.input.strip() for row in test_split(data, name)})
    task = Task.model_validate(
        {
            "name": name,
            "instruction": told.instruction,
            "labels": told.labels,
            "examples": [{"input": e.input, "output": e.output} for e in told.examples],
            **recipe_settings("backward", classification=True),
        }
    )
    return task, [row for row in rows if row.output in (told.labels or ())]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with superni/")
    parser.add_argument("--models", nargs="+", default=["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"])
    parser.add_argument("--tasks", nargs="+", default=[*EXAMPLES, *GROUPS["tuning, labels"]])
    parser.add_argument("--rows", type=int, default=60, help="inputs of a task")
    parser.add_argument("--dtype", default="auto", help="as engine.dtype")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/readings.json"))
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
