"""What each precision of ``engine.dtype`` costs here, and what it changes: one model, same prompts, one run.

    OMP_NUM_THREADS=1 python benchmarks/precision.py [--models A B] [--task FILE] [--rows 60] [--out FILE]

For each model and precision: tokens a second while it writes 64 texts at once, rows a second while it scores the labels
of a task's test rows under the few-shot prompt, the accuracy of that, and how far the labels' log-likelihoods (less
their mean over the labels) are from float32's, in nats. Each in a process of its own, the best of three tries; use an
idle machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metier.core import storage
from metier.core.codec import encode
from metier.core.records import Example
from metier.data.pairs import read_examples
from metier.engines.base import GenerationRequest, ScoringRequest
from metier.engines.prompts import PromptFormat
from metier.engines.transformers import TransformersEngine
from metier.models.locate import resolve_model
from metier.models.processor import cpu_multiplies_int8
from metier.runs.machine import machine
from metier.tasks.read_task import load_task

ROOT = Path(__file__).resolve().parent.parent
_TRIES = 3


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the results."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = _arguments(argv)
    if arguments.one:
        print(json.dumps(_measure(arguments, *arguments.one.split("/"))))
        return
    told: dict[str, Any] = {"machine": encode(machine()), "task": arguments.task.parent.name, "rows": arguments.rows}
    told["models"] = {}
    for model in arguments.models:
        found: dict[str, Any] = {}
        for dtype in ("float32", "bfloat16", *(("int8",) if cpu_multiplies_int8() else ())):
            print(f"== {model} {dtype}", file=sys.stderr, flush=True)
            asked = [sys.executable, __file__, *argv, "--one", f"{model}/{dtype}"]
            ended = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True)
            found[dtype] = json.loads(ended.stdout.splitlines()[-1])
        exact = np.array(found["float32"]["evidence"])
        for one in found.values():
            one["off"] = round(float(np.abs(np.array(one.pop("evidence")) - exact).mean()), 4)
        told["models"][model] = found
    storage.write_json(arguments.out, told)
    print(json.dumps(told["models"]))


def _measure(arguments: argparse.Namespace, model: str, dtype: str) -> dict[str, Any]:
    task = load_task(arguments.task)
    labels = task.labels or ()
    engine = TransformersEngine(resolve_model(model).path, dtype=dtype, device="cpu")
    prompts = PromptFormat(engine.tokenizer)
    shown = [Example(e.input, e.output) for e in task.examples]
    rows = read_examples(str(task.test), labels=task.labels).examples[: arguments.rows]
    asked = [prompts.task(task.instruction, shown, row.input) for row in rows]
    writing = [
        GenerationRequest(prompt, samples=8, max_tokens=32, temperature=1.0, top_k=40, seed=i)
        for i, prompt in enumerate(prompts.task("Write a long story about this.", shown, r.input) for r in rows[:8])
    ]
    scoring = [ScoringRequest(prompt, tuple(map(prompts.answer, labels))) for prompt in asked]
    rates, seconds = [], []
    for _ in range(_TRIES):
        before, start = engine.stats.generated_tokens, time.perf_counter()
        engine.generate(writing)
        rates.append((engine.stats.generated_tokens - before) / (time.perf_counter() - start))
        start = time.perf_counter()
        scores = np.array([one.logprobs for one in engine.score(scoring)])
        seconds.append(time.perf_counter() - start)
    evidence = scores - scores.mean(axis=1, keepdims=True)
    right = np.mean([labels[best] == row.output for best, row in zip(evidence.argmax(1), rows, strict=True)])
    return {
        "tokens_a_second": round(max(rates), 1),
        "rows_a_second": round(len(rows) / min(seconds), 2),
        "accuracy": round(100 * float(right), 1),
        "evidence": evidence.tolist(),
    }


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"])
    parser.add_argument("--task", type=Path, default=ROOT / "examples/newspaper-sections/task.yaml")
    parser.add_argument("--rows", type=int, default=60, help="test rows whose labels are scored")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/precision.json"))
    parser.add_argument("--one", metavar="MODEL/DTYPE", help="measure this alone, in this process")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
