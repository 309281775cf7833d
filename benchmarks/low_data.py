"""Low-data selection on natural language inference: strategies x budgets x seeds, with controls, in one study.

The pool is P3 (which holds no inference) with the inference tasks of Super-NaturalInstructions, each with its own
instruction; the targets are RTE, CB and ANLI r1-r3, judged by the likelihood of each answer (Chen et al. 2023, arXiv
2305.09246). The tasks made from ANLI, CB and GLUE are left out of the pool, and so is every row whose input holds a
test pair. What is done is kept in the folder: the same command goes on.

    python benchmarks/low_data.py --data FOLDER --strategies k_center random --shares 0.005 --seeds 3

The last line is a JSON object: the mean accuracy over the five sets for every condition and seed, with intervals, and
paired against as many rows at random. ``study.html`` in the folder draws it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.parquet
from rich.console import Console
from transformers import AutoTokenizer

from metier.core import storage
from metier.core.progress import Reporter
from metier.core.run_folder import Stage, open_run
from metier.evaluation.scored import Scored, added_up, ratio
from metier.models.locate import resolve_model
from metier.report.study import study_sentences, study_table, write_study
from metier.runs.summary import machine
from metier.steps import select as selection
from metier.steps.context import Context, open_context, tuned_folder
from metier.studies.of_rows import StudyPlan, study_cells
from metier.systems.predict import score_labels
from metier.tasks.recipes import recipe_settings
from metier.tasks.task import Task

_TARGETS = ("rte", "cb", "anli_r1", "anli_r2", "anli_r3")
_LEFT_OUT = ("task1344", "task1385", "task1386", "task1387", "task1388")  # made from the targets
_THREE = (
    "Does the hypothesis follow from the premise? Answer yes if it does, no if it cannot be true, maybe if neither."
)
_TWO = "Does the hypothesis follow from the premise? Answer yes or no."
_WORDS = {
    "e": "yes",
    "entailment": "yes",
    "n": "maybe",
    "neutral": "maybe",
    "c": "no",
    "contradiction": "no",
    "not_entailment": "no",
}


@dataclasses.dataclass(frozen=True)
class Target:
    """One test set: its inputs, their right answers, and the answers there are."""

    name: str
    inputs: list[str]
    answers: list[str]
    labels: tuple[str, ...]


def main() -> None:
    """Run the study, and write its table and page."""
    arguments = _arguments()
    targets = [_target(arguments.data, name, arguments.limit) for name in _TARGETS]
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    task = _task(arguments, _write_pool(arguments, targets))
    plan = StudyPlan(tuple(arguments.strategies), tuple(arguments.shares), arguments.seeds)
    by_set: list[dict[str, Any]] = []
    with open_run(out) as run:
        c = open_context(task, run, Reporter(quiet=False))
        pool = selection.open_task_pool(c, [text for t in targets for text in t.inputs])
        found = study_cells(c, pool, plan, lambda at, trained: _judge(at, trained, targets, by_set))
        c.bench.close()
    write_study(found, "nli", out / "study.html")
    Console().print(study_table(found))
    for sentence in study_sentences(found):
        print(sentence)
    about = {"model": arguments.model, "limit": arguments.limit, "pool_rows": pool.rows, "seeds": arguments.seeds}
    about |= {"row_tokens": arguments.row_tokens, "epochs": arguments.epochs}
    about |= {"machine": dataclasses.asdict(machine()), "by_set": by_set}
    print(json.dumps({**about, "conditions": [dataclasses.asdict(o) for o in found]}))


def _judge(c: Context, trained: Stage | None, targets: Sequence[Target], by_set: list[dict[str, Any]]) -> Scored:
    """Score a model by the likeliest answer on every target; the score is the mean over the targets."""
    key = {"model": c.files.digest, "tuned": trained.key if trained else ""}
    stage = c.run.stage("nli", {**key, "rows": [[t.name, t.inputs] for t in targets]})
    if not stage.done:
        engine = c.bench.specialist(tuned_folder(trained)) if trained else c.bench.base()
        for target in targets:
            asked = {"labels": target.labels, "instruction": _THREE if len(target.labels) == 3 else _TWO}
            with c.reporter.track(target.name, len(target.inputs)) as update:
                given = score_labels(
                    c.task.model_copy(update=asked),
                    engine,
                    c.bench.prompts,
                    (),
                    target.inputs,
                    stage.shard,
                    target.name,
                    update,
                )
            found = {"likeliest": given.likeliest, "calibrated": given.calibrated}
            storage.write_json(stage.path / f"{target.name}.json", found)
        stage.finish({t.name: len(t.inputs) for t in targets})
    answers = [storage.read_json(stage.path / f"{t.name}.json") for t in targets]
    right, corrected = (
        [np.array(a[kind]) == np.array(t.answers) for a, t in zip(answers, targets, strict=True)]
        for kind in ("likeliest", "calibrated")
    )
    by_set.append(
        {
            "rows": trained.outcome["pairs"] if trained else 0,
            "chosen by": c.task.selection.strategy if trained else "",
            "seed": c.task.seed,
            **{t.name: round(100 * float(r.mean()), 2) for t, r in zip(targets, right, strict=True)},
            "calibrated mean": round(100 * float(np.mean([r.mean() for r in corrected])), 2),
        }
    )
    return scored_over_sets(right)


def scored_over_sets(right: Sequence[npt.NDArray[np.bool_]]) -> Scored:
    """Return which rows of several sets are right as one score: the mean of the sets' accuracies."""
    rows = sum(len(one) for one in right)
    stats = np.zeros((rows, 2 * len(right)))
    begin = 0
    for k, one in enumerate(right):
        stats[begin : begin + len(one), 2 * k] = one
        stats[begin : begin + len(one), 2 * k + 1] = 1
        begin += len(one)

    def combine(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        mean: npt.NDArray[np.float64] = 100 * ratio(sums[..., 0::2], sums[..., 1::2]).mean(axis=-1)
        return mean

    return added_up(stats, combine, rows=100 * np.concatenate(right).astype(float))


def _target(data: Path, name: str, limit: int | None) -> Target:
    table = pyarrow.parquet.read_table(data / "nli" / "nli.parquet").to_pylist()
    rows = [r for r in table if r["dataset"] == name and r["split"] in ("val", "dev")]
    if limit is not None and len(rows) > limit:
        rows = random.Random(0).sample(rows, limit)
    labels = ("yes", "no") if name == "rte" else ("yes", "maybe", "no")
    return Target(name, [_asked(r) for r in rows], [_WORDS[r["label"]] for r in rows], labels)


def _asked(row: dict[str, Any]) -> str:
    return f"Premise: {row['premise']}\nHypothesis: {row['hypothesis']}"


def _write_pool(arguments: argparse.Namespace, targets: Sequence[Target]) -> Path:
    """Write the pool once: prompts and completions, without rows that hold a test pair's hypothesis, and long ones."""
    path: Path = arguments.out / "pool.parquet"
    if path.exists():
        return path
    data: Path = arguments.data
    said = [json.loads(line) for line in (data / "superni" / "definitions.jsonl").read_text().splitlines()]
    tasks = {
        d["task"]: d["definition"] if isinstance(d["definition"], str) else d["definition"][0]
        for d in said
        if "Textual Entailment" in d["categories"] and d["task"] not in _LEFT_OUT
    }
    held_out = pyarrow.parquet.read_table(data / "superni" / "selfguide_test.parquet").to_pylist()
    tested = {r["input"].strip() for r in held_out}
    prompts, completions = [], []
    for r in pyarrow.parquet.read_table(data / "instruct" / "p3_sample.parquet").to_pylist():
        prompts.append(r["prompt"])
        completions.append(r["completion"].removesuffix("<|endoftext|>"))  # every one of them ends so
    for r in pyarrow.parquet.read_table(data / "superni" / "instances.parquet").to_pylist():
        if r["task"] in tasks and r["input"].strip() not in tested and r["outputs"]:
            prompts.append(f"{tasks[r['task']]}\n\n{r['input']}")
            completions.append(r["outputs"][0])
    hypotheses = {text.partition("\nHypothesis: ")[2] for t in targets for text in t.inputs}
    keep = [i for i, p in enumerate(prompts) if not any(line.strip() in hypotheses for line in p.splitlines())]
    if arguments.row_tokens is not None:
        tokenizer = AutoTokenizer.from_pretrained(resolve_model(arguments.model).path)
        whole = tokenizer([f"{prompts[i]}\n{completions[i]}" for i in keep], add_special_tokens=False)["input_ids"]
        keep = [i for i, ids in zip(keep, whole, strict=True) if len(ids) <= arguments.row_tokens]
    if arguments.pool_rows is not None and arguments.pool_rows < len(keep):
        keep = sorted(random.Random(0).sample(keep, arguments.pool_rows))
    table = {"prompt": [prompts[i] for i in keep], "completion": [completions[i] for i in keep]}
    pyarrow.parquet.write_table(pyarrow.table(table), path, compression="zstd")
    return path


def _task(arguments: argparse.Namespace, pool: Path) -> Task:
    table = pyarrow.parquet.read_table(arguments.data / "nli" / "nli.parquet").to_pylist()
    train = [r for r in table if r["split"] == "train"]
    rng = random.Random(0)
    examples = []
    for label in ("entailment", "neutral", "contradiction"):
        row = rng.choice([r for r in train if r["dataset"] == "cb" and r["label"] == label])
        examples.append({"input": _asked(row), "output": _WORDS[label]})
    for label in ("entailment", "not_entailment"):
        row = rng.choice([r for r in train if r["dataset"] == "rte" and r["label"] == label])
        examples.append({"input": _asked(row), "output": _WORDS[label]})
    inputs = arguments.out / "inputs.jsonl"
    storage.write_lines(inputs, [{"input": _asked(r)} for r in rng.sample(train, 100)])
    settings = recipe_settings("low-data", classification=True)
    settings["training"] |= {"max_length": 1024, "epochs": arguments.epochs}
    return Task.model_validate(
        {
            "name": "nli",
            "instruction": _THREE,
            "labels": ["yes", "maybe", "no"],
            "examples": examples,
            "model": arguments.model,
            "recipe": "low-data",
            "pool": str(pool),
            "selection": {
                "inputs": str(inputs),
                "controls": arguments.controls,
                "control_rows": arguments.control_rows,
            },
            **settings,
        }
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with nli/, instruct/ and superni/")
    parser.add_argument("--out", type=Path, default=Path("runs/low-data"))
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--strategies", nargs="+", default=["k_center"])
    parser.add_argument("--shares", nargs="+", type=float, default=[0.005])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--controls", nargs="*", default=["related"], choices=["related", "pool"])
    parser.add_argument("--control-rows", type=int, default=4000)
    parser.add_argument("--pool-rows", type=int, help="a random part of the pool; default: all of it")
    parser.add_argument("--row-tokens", type=int, help="leave out rows of more tokens; default: none")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--limit", type=int, default=300, help="test rows of each set, at most")
    return parser.parse_args()


if __name__ == "__main__":
    main()
