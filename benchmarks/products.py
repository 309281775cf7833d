"""What ships: the products of the examples and of six benchmark tasks, beside the best System and the tuned model.

Run it with: python benchmarks/products.py --data FOLDER

Runs the whole of Metier on each task, and writes for each: which System ships, its score with its interval against the
best System and against the tuned model (paired by row), the median milliseconds of a row, its bytes, and the seconds
that it took to learn. The same command resumes a run that was stopped. FOLDER must hold ``superni/`` and ``writing/``
(docs/results.md); the three classification tasks are held-out ones of SELF-GUIDE, the three writing tasks are tuned on
200 labelled rows each.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet

import metier
from metier.core import storage
from metier.core.codec import encode
from metier.core.errors import MetierError
from metier.core.progress import Reporter
from metier.evaluation.measure import score_main
from metier.evaluation.scored import Scored
from metier.evaluation.statistics import interval_of_score, paired_bootstrap
from metier.report.facts import RunFacts
from metier.runs.load import load_facts, load_run
from metier.runs.machine import machine
from metier.runs.run import run
from metier.systems.registry import SPECIALIST, SYSTEMS
from metier.tasks.read_task import load_task
from metier.tasks.scenario import of_one
from metier.tasks.task import Task
from self_guide import superni_task

EXAMPLES = ("newspaper-sections", "ticket-routing", "event-extraction", "plain-words")
SUPERNI = ("task1516", "task1529", "task1612")
WRITING = ("fluency", "simplification", "neutralization")
_WRITING_ROWS = 200  # to train on, and to test on


def main(argv: Sequence[str] | None = None) -> None:
    """Run every task and write the results."""
    arguments = _arguments(argv)
    made: dict[str, Callable[[], Task]] = {
        **{name: partial(_example, name) for name in EXAMPLES},
        **{name: partial(_superni, name, arguments) for name in SUPERNI},
        **{name: partial(_writing, name, arguments) for name in WRITING},
    }
    results: dict[str, Any] = {
        "metier_version": metier.__version__,
        "machine": {**encode(machine()), "python": platform.python_version()},
        "note": arguments.note,
        "tasks": {},
    }
    for name in arguments.tasks or made:
        print(f"== {name}", file=sys.stderr, flush=True)
        folder = arguments.runs / name
        try:
            run(of_one(made[name]()), folder, Reporter())
            results["tasks"][name] = product_of(folder)
        except MetierError as error:
            results["tasks"][name] = {"error": error.message}
        storage.write_json(arguments.results, results)
    print(json.dumps({"results": str(arguments.results), "tasks": len(results["tasks"])}))


def product_of(folder: Path) -> dict[str, Any]:
    """Return what a finished run ships, beside the best System that may ship and the tuned model."""
    facts, answers = load_facts(folder), load_run(folder).task
    scores = {
        system.system: score_main(answers.measure, answers.rows, system.texts)
        for system in answers.systems
        if SYSTEMS[system.system].ships
    }
    best = max(scores, key=lambda key: scores[key].corpus)
    product = facts.product
    if product is None or facts.judged is None:
        raise MetierError(f"{folder}: the run ended without a product or a test")
    ships = product.system
    gain = partial(_gain, scores, seed=facts.seed)
    return {
        "metric": facts.metric,
        "rows": len(answers.rows),
        "ships": _told(facts, ships, scores[ships]),
        "best": _told(facts, best, scores[best]),
        "tuned": _told(facts, SPECIALIST, scores[SPECIALIST]),
        "against_best": gain(ships, best),
        "against_tuned": gain(ships, SPECIALIST),
        "stability": product.measured.stability if product.measured else None,
        "unseen_score": encode(product.measured.unseen_score) if product.measured else None,
        "why": product.why,
        "seconds": {stage.stage: round(stage.seconds, 1) for stage in facts.stages},
    }


def _gain(scores: Mapping[str, Scored], ours: str, theirs: str, *, seed: int) -> object:
    if ours == theirs:
        return None
    return encode(paired_bootstrap(scores[ours], scores[theirs], resamples=10_000, seed=seed))


def _told(facts: RunFacts, key: str, score: Scored) -> dict[str, object]:
    row = next((row for row in facts.judged.need.rows if row.system == key), None) if facts.judged else None
    return {
        "system": key,
        "title": SYSTEMS[key].title,
        "score": round(score.corpus, 2),
        "interval": encode(interval_of_score(score, resamples=10_000, seed=facts.seed)),
        "milliseconds": None if row is None or row.p50 is None else round(1000 * row.p50, 2),
        "bytes": row.size_bytes if row else None,
        "learning_seconds": round(row.learning_seconds, 1) if row else None,
    }


def _example(name: str) -> Task:
    return load_task(Path("examples") / name / "task.yaml")


def _superni(name: str, arguments: argparse.Namespace) -> Task:
    settings = argparse.Namespace(runs=arguments.runs, examples=6, seed=0, rows=200, set=[])
    return superni_task(arguments.data, name, "smollm2-135m-instruct", "backward", settings)


def _writing(name: str, arguments: argparse.Namespace) -> Task:
    """Return a task of the writing scenario, tuned on labelled rows by the smaller model."""
    about = load_task(Path(metier.__file__).parent / "scenarios" / "writing" / f"{name}.yaml")
    table = pyarrow.parquet.read_table(arguments.data / "writing/writing.parquet", filters=[("task", "=", name)])
    files = {}
    for split, wanted in (("train", ("train", "dev", "valid")), ("test", ("test",))):
        rows = [
            {"input": row["input"], "references": list(row["references"])}
            for row in table.to_pylist()
            if row["split"] in wanted
        ]
        random.Random(0).shuffle(rows)
        files[split] = arguments.runs / "data" / f"{name}-{split}.jsonl"
        storage.write_lines(files[split], rows[:_WRITING_ROWS])
    return about.but(
        train=str(files["train"].resolve()),
        test=str(files["test"].resolve()),
        train_where=None,
        test_where=None,
        train_use="instead",
        training=about.training.but(epochs=2, max_length=512, edit_weight=3, demonstrations=False),
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with superni/ and writing/")
    parser.add_argument("--tasks", nargs="+", help="only these")
    parser.add_argument("--note", default="", help="how busy the machine was, for the result file")
    parser.add_argument("--runs", type=Path, default=Path("runs/products"))
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/products.json"))
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
