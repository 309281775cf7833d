"""Low-data selection on natural language inference: strategies x budgets x seeds, with controls, in one study.

The pool is P3 (which holds no inference) with the inference tasks of Super-NaturalInstructions, each with its own
instruction; the targets are RTE, CB and ANLI r1-r3, judged by the likelihood of each answer (Chen et al. 2023, arXiv
2305.09246). The tasks made from ANLI, CB and GLUE are left out of the pool, and so is every row whose input holds a
test pair. With ``--pool-holds own`` the targets' own training rows are in it, prompted as P3 prompts them, as in the
paper: those of RTE and CB, and ANLI's development rows that are not tested and share no premise with a tested one. What
is done is kept in the folder: the same command goes on.

    python benchmarks/low_data.py --data FOLDER --strategies k_center random --shares 0.005 --seeds 3

The last line is a JSON object: for every variant the accuracy on each of the five sets by seed, and their mean with its
interval, paired against as many rows at random; and the same (``calibrated``) after taking off what the model finds
likely anyway. The base model, "no tuning", is shown the examples, as in every study. ``study.html`` in the folder draws
it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow
import pyarrow.parquet
from rich.console import Console
from transformers import AutoTokenizer

from metier.core import storage
from metier.core.codec import encode
from metier.core.progress import Reporter
from metier.core.run_folder import open_run
from metier.evaluation.variants import Outcome, compare_variants
from metier.models.locate import resolve_model
from metier.report.study import study_sentences, study_table, write_study
from metier.runs.machine import machine
from metier.steps.gather import gather
from metier.studies.of_rows import RowsPlan, variants_of
from metier.studies.study import measure_variant
from metier.tasks.recipes import recipe_settings
from metier.tasks.scenario import Scenario, of_one
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


# P3's own wordings of inference (Bach et al. 2022, arXiv 2202.01279).
_P3 = (
    'Given {premise} Is it guaranteed true that "{hypothesis}"? {choices}',
    'Given {premise} Should we assume that "{hypothesis}" is true? {choices}',
    'Suppose {premise} Can we infer that "{hypothesis}"? {choices}',
    '{premise} Based on the previous passage, is it true that "{hypothesis}"? {choices}',
    "Given that {premise} Does it follow that {hypothesis} {choices}",
)


@dataclasses.dataclass(frozen=True)
class Target:
    """One test set: its inputs, their right answers, and the answers there are."""

    name: str
    inputs: list[str]
    answers: list[str]
    labels: tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the study, and write its table and page."""
    arguments = _arguments(argv)
    targets = [_target(arguments.data, name, arguments.limit) for name in _TARGETS]
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    task = _task(arguments, _write_pool(arguments, targets))
    plan = RowsPlan(tuple(arguments.strategies), tuple(arguments.shares), arguments.seeds)
    tests = {target.name: _test(arguments, task, target) for target in targets}
    found = study(task, tests, plan, out, "none")
    calibrated = study(task, tests, plan, out, "content_free")
    write_study(found, "nli", out / "study.html")
    Console().print(study_table(found))
    for sentence in study_sentences(found):
        print(sentence)
    about = {"model": arguments.model, "limit": arguments.limit, "seeds": arguments.seeds, "machine": encode(machine())}
    about |= {"pool_rows": pyarrow.parquet.read_metadata(str(task.pool)).num_rows}
    about |= {"row_tokens": arguments.row_tokens, "epochs": arguments.epochs, "pool_holds": arguments.pool_holds}
    print(json.dumps({**about, "variants": encode(found), "calibrated": encode(calibrated)}))


def study(
    task: Task, tests: Mapping[str, Task], plan: RowsPlan, out: Path, prior: Literal["none", "content_free"]
) -> tuple[Outcome, ...]:
    """Return what every variant of a task's selection comes to on other tasks' test rows.

    Args:
        task: What is selected for and trained on.
        tests: What is tested, by name.
        plan: Strategies, budgets and seeds.
        out: The study's folder; two studies in it share their models.
        prior: What is taken off a label's likelihood.
    """
    scenario = _tested_on(of_one(task), tests, prior)
    rows = gather(scenario)
    with open_run(out) as run:
        measured = [
            measure_variant(
                dataclasses.replace(variant, scenario=_tested_on(variant.scenario, tests, prior)),
                rows,
                run,
                Reporter(),
            )
            for variant in variants_of(task, plan)
        ]
    return compare_variants(measured, seed=task.seed)


def _tested_on(scenario: Scenario, tests: Mapping[str, Task], prior: Literal["none", "content_free"]) -> Scenario:
    """Return the scenario of one task with tasks beside it that are tested and give nothing to the mixture."""
    beside = dataclasses.replace(scenario, tasks={**scenario.tasks, **tests}, alone=False)
    return beside.changed(evaluation=scenario.settings.evaluation.but(label_prior=prior))


def _target(data: Path, name: str, limit: int | None) -> Target:
    table = pyarrow.parquet.read_table(data / "nli" / "nli.parquet").to_pylist()
    rows = [r for r in table if r["dataset"] == name and r["split"] in ("val", "dev")]
    if limit is not None and len(rows) > limit:
        rows = random.Random(0).sample(rows, limit)
    labels = ("yes", "no") if name == "rte" else ("yes", "maybe", "no")
    return Target(name, [_asked(r) for r in rows], [_WORDS[r["label"]] for r in rows], labels)


def _test(arguments: argparse.Namespace, task: Task, target: Target) -> Task:
    """Return one test set as a task, its rows written beside the study."""
    path = arguments.out / f"{target.name}.jsonl"
    rows = zip(target.inputs, target.answers, strict=True)
    storage.write_lines(path, [{"input": text, "output": answer} for text, answer in rows])
    return task.but(
        name=target.name,
        instruction=_THREE if len(target.labels) == 3 else _TWO,
        labels=target.labels,
        examples=tuple(e for e in task.examples if e.output in target.labels),
        pool=None,
        test=str(path.resolve()),
    )


def _asked(row: dict[str, Any]) -> str:
    return f"Premise: {row['premise']}\nHypothesis: {row['hypothesis']}"


def _write_pool(arguments: argparse.Namespace, targets: Sequence[Target]) -> Path:
    """Write the pool once: prompts and completions, without rows that hold a test pair's hypothesis, and long ones."""
    path: Path = arguments.out / ("pool-own.parquet" if arguments.pool_holds == "own" else "pool.parquet")
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
    if arguments.pool_holds == "own":
        for row, prompt in _own(data, targets):
            prompts.append(prompt)
            completions.append(_WORDS[row["label"]].capitalize())
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


def _own(data: Path, targets: Sequence[Target]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the targets' own rows that are not tested, each with its prompt in one of P3's wordings."""
    tested = {text for target in targets for text in target.inputs}
    premises = {text.partition("\nHypothesis: ")[0] for text in tested}
    rng = random.Random(0)
    for row in pyarrow.parquet.read_table(data / "nli" / "nli.parquet").to_pylist():
        fresh = row["split"] == "train" or row["dataset"].startswith("anli")
        if fresh and _asked(row) not in tested and f"Premise: {row['premise']}" not in premises:
            choices = "Yes or no?" if row["dataset"] == "rte" else "Yes, no, or maybe?"
            asked = rng.choice(_P3).format(premise=row["premise"], hypothesis=row["hypothesis"], choices=choices)
            yield row, asked


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
    storage.write_lines(inputs, [{"input": _asked(r)} for r in rng.sample(train, min(100, len(train)))])
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
            "pool": str(pool.resolve()),
            "unlabelled": str(inputs.resolve()),
            "selection": {
                "encoder": arguments.encoder,
                "controls": arguments.controls,
                "control_rows": arguments.control_rows,
            },
            **settings,
        }
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with nli/, instruct/ and superni/")
    parser.add_argument("--out", type=Path, default=Path("runs/low-data"))
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--strategies", nargs="+", default=["k_center"])
    parser.add_argument("--shares", nargs="+", type=float, default=[0.005])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--controls", nargs="*", default=["related"], choices=["related", "pool"])
    parser.add_argument("--control-rows", type=int, default=4000)
    parser.add_argument("--pool-holds", choices=["others", "own"], default="others", help="the targets' own rows too")
    parser.add_argument("--pool-rows", type=int, help="a random part of the pool; default: all of it")
    parser.add_argument("--row-tokens", type=int, help="leave out rows of more tokens; default: none")
    parser.add_argument("--encoder", default="all-minilm-l6-v2", help="catalogue name, folder, or student")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--limit", type=int, default=300, help="test rows of each set, at most")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
