"""How much two runs on one machine slow each other down, by how long waiting threads turn before they sleep.

The same work, writing, scoring and a few steps of training with a small model, is done by one process, and then by two
at once on the same cores. A ratio of 2 is fair: each has half of the machine. What OpenMP does as installed is the
first line; Metier sets the second for its command (`metier.core.threads`). To be run on an idle machine.

The last line is a JSON object with seconds and ratios.

    python benchmarks/side_by_side.py --repeat 3
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from metier.core import threads
from metier.core.records import Example
from metier.engines.base import GenerationRequest, ScoringRequest
from metier.engines.prompts import PromptFormat
from metier.models.locate import resolve_model
from metier.runs.machine import machine
from metier.tasks.settings import EngineSettings, TrainingSettings

WAYS: dict[str, dict[str, str]] = {
    "as installed": {},
    "as Metier sets it": {"GOMP_SPINCOUNT": str(threads.TURNS)},
    "twice as long": {"GOMP_SPINCOUNT": str(threads.TURNS * 2)},
    "a fifth as long": {"GOMP_SPINCOUNT": str(threads.TURNS // 5)},
    "asleep at once": {"OMP_WAIT_POLICY": "PASSIVE"},
}


def main(argv: Sequence[str] | None = None) -> None:
    """Do the work alone and twice at once, in every way of waiting."""
    arguments = _arguments(argv)
    if arguments.work:
        _work(arguments.model, arguments.rows)
        return
    found = {}
    for name, environment in WAYS.items():
        alone = median(_seconds(arguments, environment, 1) for _ in range(arguments.repeat))
        together = median(_seconds(arguments, environment, 2) for _ in range(arguments.repeat))
        found[name] = {"alone_s": alone, "together_s": together, "ratio": together / alone}
        print(f"{name}: alone {alone:.1f} s, two at once {together:.1f} s each, {together / alone:.2f} times as long")
    print(
        json.dumps(
            {"machine": dataclasses.asdict(machine()), "model": arguments.model, "rows": arguments.rows, "ways": found}
        )
    )


def _seconds(arguments: argparse.Namespace, environment: dict[str, str], processes: int) -> float:
    """Return how long the slowest of so many processes took for the work, its imports left out."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    command = [sys.executable, __file__, "--work", "--model", arguments.model, "--rows", str(arguments.rows)]
    started = [
        subprocess.Popen(
            command, env={**inherited, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(processes)
    ]
    for one in started:  # all have loaded before any begins
        assert one.stdout is not None and one.stdin is not None
        while (line := one.stdout.readline()) and line != "ready\n":
            pass
    for one in started:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    return max(float(one.communicate()[0].split()[-1]) for one in started)


def _work(model: str, rows: int) -> None:
    """Load, wait for the word, do the work, and print the seconds it took."""
    from metier.engines.transformers import TransformersEngine
    from metier.training.examples import encode_examples
    from metier.training.tune import TuningJob, tune

    folder = resolve_model(model).path
    engine = TransformersEngine(folder)
    prompts = PromptFormat(engine.tokenizer)
    instruction = "Name the team that should answer the customer's message: billing, delivery or account."
    texts = [f"I am customer {i}, and my order {i * 7} of last month has not come." for i in range(rows)]
    asked = [prompts.task(instruction, (), text) for text in texts]
    pairs = [Example(text, "delivery") for text in texts]
    encoded, _ = encode_examples(pairs, instruction, (), prompts, max_length=512)
    job = TuningJob(folder, encoded, (), TrainingSettings(epochs=1, holdout_share=0), EngineSettings(), 0)
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.perf_counter()
    engine.generate([GenerationRequest(p, max_tokens=24, temperature=1.0, seed=i) for i, p in enumerate(asked)])
    engine.score([ScoringRequest(p, ("billing", "delivery", "account")) for p in asked])
    with tempfile.TemporaryDirectory() as made:
        tune(job, Path(made), lambda done, tokens: None)
    print(time.perf_counter() - start)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--repeat", type=int, default=3, help="Times that each is measured; the median counts.")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
