"""Low-data selection on natural language inference: strategies x budgets x seeds, with controls, in one study.

The pool is P3 (which holds no inference) with the inference tasks of Super-NaturalInstructions, each with its own
instruction; the targets are RTE, CB and ANLI r1-r3, judged by the likelihood of each answer (Chen et al. 2023, arXiv
2305.09246). The tasks made from ANLI, CB and GLUE are left out of the pool, and so is every row whose input holds a
test pair. What is done is kept in the folder: the same command goes on.

    python benchmarks/low_data.py --data FOLDER --strategies k_center random --shares 0.005 --seeds 0 1 2

The last line is a JSON object: mean accuracy over the five sets for every condition and seed, and paired intervals
against the random choice of the same size.
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

from metier import storage
from metier.evaluation.predict import score_labels
from metier.models.locate import resolve_model
from metier.pipeline import selection, stages
from metier.pipeline.bench import Bench
from metier.pipeline.context import Context
from metier.pipeline.facts import machine
from metier.progress import Reporter
from metier.recipes import recipe_settings
from metier.runs import Run, open_run
from metier.task import Task

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
_RESAMPLES = 5000


@dataclasses.dataclass(frozen=True)
class Target:
    """One test set: its inputs, their right answers, and the answers there are."""

    name: str
    inputs: list[str]
    answers: list[str]
    labels: tuple[str, ...]


def main() -> None:
    """Run the study and print its table."""
    arguments = _arguments()
    targets = [_target(arguments.data, name, arguments.limit) for name in _TARGETS]
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    pool_file = _write_pool(arguments.data, out, targets, arguments.pool_rows)
    task = _task(arguments, pool_file)
    with open_run(out) as run:
        files = resolve_model(task.model)
        c = Context(task, files, run, Bench(task, files, out), Reporter(quiet=False))
        pool = selection.open_task_pool(c, [text for t in targets for text in t.inputs])
        right: dict[str, dict[int, list[npt.NDArray[np.bool_]]]] = {}
        facts: dict[str, dict[str, Any]] = {}
        right["no tuning"] = {0: _judge(c, run, None, "", targets)}
        for share in arguments.shares:
            for strategy in arguments.strategies:
                for seed in arguments.seeds:
                    name = f"{strategy} {share:g}"
                    again = _with(c, task, strategy, share, seed)
                    chosen = selection.choose(again, pool)
                    right.setdefault(name, {})[seed] = _train_and_judge(again, run, chosen, targets)
                    facts[name] = {k: chosen.outcome[k] for k in ("rows", "tokens", "region_rows", "filled")}
                    _report(right, facts, arguments)
        for control in arguments.controls:
            for seed in arguments.seeds:
                again = _with(c, task, arguments.strategies[0], arguments.shares[0], seed)
                rows = selection.choose_control(again, pool, control, selection.choose(again, pool))
                right.setdefault(control, {})[seed] = _train_and_judge(again, run, rows, targets)
                facts[control] = {k: rows.outcome[k] for k in ("rows", "tokens", "region_rows")}
                _report(right, facts, arguments)
        c.bench.close()
    print(json.dumps(_report(right, facts, arguments)))


def _with(c: Context, task: Task, strategy: str, share: float, seed: int) -> Context:
    settings = task.selection.model_copy(update={"strategy": strategy, "share": share})
    return dataclasses.replace(c, task=task.model_copy(update={"selection": settings, "seed": seed}))


def _train_and_judge(c: Context, run: Run, chosen: Any, targets: Sequence[Target]) -> list[npt.NDArray[np.bool_]]:
    trained = stages.train(c, selection.chosen_pairs(chosen), chosen.outcome["digest"])
    return _judge(c, run, trained.path / str(trained.outcome["result"]), trained.key, targets)


def _judge(
    c: Context, run: Run, tuned: Path | None, key: str, targets: Sequence[Target]
) -> list[npt.NDArray[np.bool_]]:
    """Return for every target which rows the model gets right, by the likeliest answer."""
    stage = run.stage("nli", {"model": c.files.digest, "tuned": key, "rows": [[t.name, t.inputs] for t in targets]})
    if not stage.done:
        engine = c.bench.base() if tuned is None else c.bench.specialist(tuned)
        for target in targets:
            task = c.task.model_copy(update={"labels": target.labels, "instruction": _instruction(target)})
            with c.reporter.track(target.name, len(target.inputs)) as update:
                found = score_labels(task, engine, c.bench.prompts, (), target.inputs, stage.shard, target.name, update)
            storage.write_json(stage.path / f"{target.name}.json", list(found.likeliest))
        stage.finish({t.name: len(t.inputs) for t in targets})
    return [np.array(storage.read_json(stage.path / f"{t.name}.json")) == np.array(t.answers) for t in targets]


def _instruction(target: Target) -> str:
    return _THREE if len(target.labels) == 3 else _TWO


def _report(
    right: dict[str, dict[int, list[npt.NDArray[np.bool_]]]], facts: dict[str, dict[str, Any]], arguments: Any
) -> dict[str, Any]:
    """Write the table and what it is made of, and return it."""
    conditions = {}
    for name, seeds in right.items():
        by_set = {t: [100 * float(found[i].mean()) for found in seeds.values()] for i, t in enumerate(_TARGETS)}
        means = [sum(100 * float(x.mean()) for x in found) / len(found) for found in seeds.values()]
        conditions[name] = {
            **facts.get(name, {}),
            "mean_by_seed": [round(m, 2) for m in means],
            "mean": round(float(np.mean(means)), 2),
            "by_set": {t: round(float(np.mean(v)), 2) for t, v in by_set.items()},
        }
        rival = f"random {name.rpartition(' ')[2]}"
        if rival in right and name != rival and name.rpartition(" ")[0]:
            conditions[name]["over_random"] = _gain(seeds, right[rival])
    about = {"model": arguments.model, "limit": arguments.limit, "pool_rows": arguments.pool_rows}
    about |= {"machine": dataclasses.asdict(machine())}
    found = {**about, "conditions": conditions}
    storage.write_json(arguments.out / "low_data.json", found)
    storage.write_text(arguments.out / "low_data.md", _markdown(conditions))
    return found


def _gain(
    ours: dict[int, list[npt.NDArray[np.bool_]]], theirs: dict[int, list[npt.NDArray[np.bool_]]]
) -> dict[str, float]:
    """Return the gain of the mean over the sets, in points, with its 95% interval over test rows and seeds, paired."""
    rng = np.random.default_rng(0)
    seeds = sorted(set(ours) & set(theirs))
    apart = [np.stack([ours[s][i].astype(float) - theirs[s][i] for s in seeds]) for i in range(len(_TARGETS))]
    draws = np.zeros(_RESAMPLES)
    for k in range(_RESAMPLES):
        drawn = rng.integers(0, len(seeds), len(seeds))
        draws[k] = np.mean([a[drawn][:, rng.integers(0, a.shape[1], a.shape[1])].mean() for a in apart])
    low, high = np.quantile(draws, [0.025, 0.975])
    value = np.mean([a.mean() for a in apart])
    return {"value": round(100 * float(value), 2), "low": round(100 * low, 2), "high": round(100 * high, 2)}


def _markdown(conditions: dict[str, Any]) -> str:
    head = f"| condition | rows | tokens | {' | '.join(_TARGETS)} | mean | by seed | over random |"
    lines = [head, "|---|---:|---:|" + "---:|" * len(_TARGETS) + "---:|---|---:|"]
    for name, found in conditions.items():
        sets = " | ".join(f"{found['by_set'][t]:.1f}" for t in _TARGETS)
        seeds = ", ".join(f"{m:.1f}" for m in found["mean_by_seed"])
        gain = found.get("over_random")
        told = f"{gain['value']:+.1f} [{gain['low']:+.1f}, {gain['high']:+.1f}]" if gain else ""
        lines.append(
            f"| {name} | {found.get('rows', '')} | {found.get('tokens', '')} | {sets} | {found['mean']:.1f} | "
            f"{seeds} | {told} |"
        )
    return "\n".join(lines) + "\n"


def _target(data: Path, name: str, limit: int | None) -> Target:
    table = pyarrow.parquet.read_table(data / "nli" / "nli.parquet").to_pylist()
    rows = [r for r in table if r["dataset"] == name and r["split"] in ("val", "dev")]
    if limit is not None and len(rows) > limit:
        rows = random.Random(0).sample(rows, limit)
    labels = ("yes", "no") if name == "rte" else ("yes", "maybe", "no")
    return Target(name, [_asked(r) for r in rows], [_WORDS[r["label"]] for r in rows], labels)


def _asked(row: dict[str, Any]) -> str:
    return f"Premise: {row['premise']}\nHypothesis: {row['hypothesis']}"


def _write_pool(data: Path, out: Path, targets: Sequence[Target], rows: int | None) -> Path:
    """Write the pool once: prompts and completions, those left out that hold a test pair's hypothesis and premise."""
    path = out / "pool.parquet"
    if path.exists():
        return path
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
        completions.append(r["completion"])
    for r in pyarrow.parquet.read_table(data / "superni" / "instances.parquet").to_pylist():
        if r["task"] in tasks and r["input"].strip() not in tested and r["outputs"]:
            prompts.append(f"{tasks[r['task']]}\n\n{r['input']}")
            completions.append(r["outputs"][0])
    hypotheses = {text.partition("\nHypothesis: ")[2] for t in targets for text in t.inputs}
    keep = [i for i, p in enumerate(prompts) if not any(line.strip() in hypotheses for line in p.splitlines())]
    if rows is not None and rows < len(keep):
        keep = sorted(random.Random(0).sample(keep, rows))
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
    settings["training"] |= {"max_length": 1024}
    return Task.model_validate(
        {
            "name": "nli",
            "instruction": _THREE,
            "labels": ["yes", "maybe", "no"],
            "examples": examples,
            "model": arguments.model,
            "recipe": "low-data",
            "pool": str(pool),
            "selection": {"inputs": str(inputs), "control_rows": arguments.control_rows},
            **settings,
        }
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with nli/, instruct/ and superni/")
    parser.add_argument("--out", type=Path, default=Path("runs/low-data"))
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--strategies", nargs="+", default=["k_center", "random"])
    parser.add_argument("--shares", nargs="+", type=float, default=[0.005])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--controls", nargs="*", default=["related"], choices=["related", "pool"])
    parser.add_argument("--control-rows", type=int, default=4000)
    parser.add_argument("--pool-rows", type=int, help="a random part of the pool; default: all of it")
    parser.add_argument("--limit", type=int, default=300, help="test rows of each set, at most")
    return parser.parse_args()


if __name__ == "__main__":
    main()
