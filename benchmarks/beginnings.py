"""What prompts begin with alike, kept once for all rows or in every row: tokens written a second.

Run it with: python benchmarks/beginnings.py [--models A B] [--rows 8 64] [--repeats 3]

Each prompt is some sentences that all share and one of its own; 24 tokens are sampled after each. Both ways run in
turns in one process, and the faster of the repeats is told. The last line is a JSON object, also written to --out.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metier.core.threads import wait_briefly

_RESULTS = Path(__file__).resolve().parent / "results" / "beginnings.json"
_SHARED = "Name the section of the newspaper that the sentence is from. The match was put off, as half are ill.\n"
_OWN = "The goalkeeper saved two penalties in the last minute."
_TOKENS = 24
_WAYS = {"in every row": False, "once": True}


def main(arguments: Sequence[str] | None = None) -> None:
    wait_briefly()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"])
    parser.add_argument("--rows", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--sentences", type=int, nargs="+", default=[2, 8, 16], help="times two, that all share")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=_RESULTS)
    args = parser.parse_args(arguments)
    from metier.runs.machine import machine

    measured = [one for model in args.models for one in _measured(model, args.rows, args.sentences, args.repeats)]
    told = {"machine": dataclasses.asdict(machine()), "measured": measured}
    args.out.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(told))


def _measured(name: str, rows: Sequence[int], sentences: Sequence[int], repeats: int) -> list[dict[str, Any]]:
    from metier.engines.transformers import TransformersEngine
    from metier.models.locate import resolve_model

    engine = TransformersEngine(resolve_model(name).path, device="cpu")
    found = []
    for count, size in itertools.product(sentences, rows):
        taken = {way: float("inf") for way in _WAYS}
        for _, (way, apart) in itertools.product(range(repeats), _WAYS.items()):
            engine.decoder.apart = apart
            taken[way] = min(taken[way], _seconds(engine, _SHARED * count, size))
        rates = {way: size * _TOKENS / seconds for way, seconds in taken.items()}
        shared = engine.count_tokens([_SHARED * count])[0]
        print(f"{name}: {shared} shared tokens, {size} rows: {rates}", flush=True)
        found.append({"model": name, "shared_tokens": shared, "rows": size, "tokens_a_second": rates})
    return found


def _seconds(engine: Any, shared: str, rows: int) -> float:
    from metier.engines.base import GenerationRequest
    from metier.engines.prompts import Prompt

    prompts = [Prompt(f"{shared}{k}. {_OWN}", len(shared)) for k in range(rows)]
    asked = [GenerationRequest(p, max_tokens=_TOKENS, temperature=1.0, seed=k) for k, p in enumerate(prompts)]
    engine.generate(asked[:1])  # reads what all share
    begun = time.perf_counter()
    engine.generate(asked)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
