"""How many requests a second `metier serve` answers, by product and by number of clients, and what others answer.

Run it with: python benchmarks/serving.py RUN... [--clients 1 8 64] [--seconds 20] [--hosts metier transformers]

Every product of the runs is asked its own test's inputs, by so many clients at once that each wait for their answer
before they ask again: labels through /classify, free text through /v1/chat/completions. Each input has a number of its
own before it, since some servers keep what they have read: no prompt comes twice, and all share their instruction.
Where a product asks a language model, its base model is asked too, by the same requests to every host: Metier's own
(``--base``), ``transformers serve`` and vLLM (``--hosts … vllm``) with the same files in the same precision, and
llama.cpp's server with the same weights as a GGUF file in 16 bits (``llamacpp-f16``) and with the catalogue's, whose
weights are quantised. Before that each host is asked a few of these requests one by one, to tell how many of its
answers are Metier's. Hosts run one after the other, each in processes of its own; memory is theirs before and after. A
result is added to the file as soon as it is there, by host, model and clients.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

import serving_hosts
from metier.core.errors import MetierError
from metier.runs.load import load_run
from metier.runs.machine import machine
from metier.serving.settings import ServeSettings
from metier.systems.product import read_product
from serving_hosts import Host

_ROOT = Path(__file__).resolve().parents[1]
_RESULTS = _ROOT / "benchmarks" / "results" / "serving.json"
_ANSWER = 32  # tokens that a base model writes, at most
_WARM = 2  # requests before the clock starts
_ALONE = 32  # requests whose answers are kept


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """Requests to one model of a host.

    Attributes:
        title: What the table calls it.
        path: The endpoint.
        body: From the number of a request to what is sent.
    """

    title: str
    path: str
    body: Callable[[int], dict[str, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What came of a load.

    Attributes:
        latencies: Seconds of each request that was answered.
        errors: Requests that were not.
        seconds: From the first request to the last answer.
    """

    latencies: tuple[float, ...]
    errors: int
    seconds: float


def main(argv: Sequence[str] | None = None) -> None:
    """Ask each host, and write down what it answered."""
    arguments = _arguments(argv)
    runs = [run.resolve() for run in arguments.runs]
    base = _base(runs)
    for name in arguments.hosts:
        loads = product_loads(runs) if name == "metier" else []
        common = [base_load(runs, name, base)] if base is not None else []
        if not loads + common:
            continue
        with serving_hosts.HOSTS[name](runs, base) as host:
            for load in common:
                _write(arguments.out, "answers", said(host, load))
            for load, clients in itertools.product(loads + common, arguments.clients):
                _write(arguments.out, "measured", _measured(host, load, clients, arguments.seconds))


def product_loads(runs: Sequence[Path]) -> list[Load]:
    """Return what the products of some runs are asked."""
    loads = []
    for run in runs:
        product, inputs = read_product(run / "product"), _inputs(run)
        title = f"{run.name} ({product.title})"
        if product.labels is not None:
            loads.append(Load(title, "/classify", partial(_to_classify, run.name, inputs)))
        else:
            loads.append(Load(title, "/v1/chat/completions", partial(_to_write, run.name, "", inputs, None)))
    return loads


def base_load(runs: Sequence[Path], host: str, base: str) -> Load:
    """Return what the base model is asked, wherever it runs: the first run's instruction and inputs."""
    run = next(run for run in runs if read_product(run / "product").model is not None)
    ask = f"{read_product(run / 'product').instruction}\n\n"
    name = serving_hosts.model_name(host, base)
    body = partial(_to_write, name, ask, _inputs(run), _ANSWER)
    return Load(f"{base}, up to {_ANSWER} tokens", "/v1/chat/completions", body)


def said(host: Host, load: Load) -> dict[str, Any]:
    """Return what a host answers to the first requests of a load, asked one by one."""
    with httpx.Client(base_url=host.home, timeout=ServeSettings().timeout) as client:
        made = [client.post(load.path, json=load.body(k)).raise_for_status().json() for k in range(_ALONE)]
    texts = [one["choices"][0]["message"]["content"] for one in made]
    return {"host": host.title, "model": load.title, "texts": texts}


async def ask(home: str, load: Load, clients: int, seconds: float) -> Found:
    """Ask with so many clients for so long; each asks again when it has its answer."""
    latencies: list[float] = []
    errors = 0
    turns = itertools.count(_ALONE)
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=home, timeout=ServeSettings().timeout, limits=limits) as client:
        for _ in range(_WARM):
            await client.post(load.path, json=load.body(next(turns)))
        begun = time.perf_counter()

        async def one() -> None:
            nonlocal errors
            while time.perf_counter() - begun < seconds:
                asked = time.perf_counter()
                try:
                    answer = await client.post(load.path, json=load.body(next(turns)))
                    answer.raise_for_status()
                except httpx.HTTPError:
                    errors += 1
                    continue
                latencies.append(time.perf_counter() - asked)

        await asyncio.gather(*(one() for _ in range(clients)))
        return Found(tuple(latencies), errors, time.perf_counter() - begun)


def _measured(host: Host, load: Load, clients: int, seconds: float) -> dict[str, Any]:
    process = psutil.Process(host.pid)
    before = _memory(process)
    found = asyncio.run(ask(host.home, load, clients, seconds))
    after = _memory(process)
    p50, p95 = np.quantile(found.latencies, (0.5, 0.95)).tolist() if found.latencies else (None, None)
    result = {
        "host": host.title,
        "model": load.title,
        "clients": clients,
        "seconds": round(found.seconds, 1),
        "answers": len(found.latencies),
        "answers_a_second": round(len(found.latencies) / found.seconds, 2),
        "p50_seconds": p50,
        "p95_seconds": p95,
        "errors": found.errors,
        "memory_before": before,
        "memory_after": after,
    }
    print(json.dumps(result), flush=True)
    return result


def _memory(process: psutil.Process) -> int:
    """Return the bytes that a server holds, with those of the processes that it has started."""
    return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))


def _write(path: Path, kind: str, result: dict[str, Any]) -> None:
    """Put a result into the file, in the place of an earlier one of the same host, model and number of clients."""
    told = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    same = ("host", "model", "clients")
    kept = [one for one in told.get(kind, []) if any(one.get(key) != result.get(key) for key in same)]
    told |= {"machine": dataclasses.asdict(machine()), kind: [*kept, result]}
    path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _inputs(run: Path) -> list[str]:
    """Return the inputs of a run's test; of a product that was copied without its run, its own labels."""
    try:
        return [row.input for row in load_run(run).task.rows]
    except MetierError:
        product = read_product(run / "product")
        return [f"a message about {label}" for label in product.labels or ("nothing",)]


def _to_classify(model: str, inputs: Sequence[str], k: int) -> dict[str, Any]:
    return {"model": model, "input": _numbered(inputs, k)}


def _to_write(model: str, ask: str, inputs: Sequence[str], tokens: int | None, k: int) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": ask + _numbered(inputs, k)}]}
    return body if tokens is None else {**body, "max_tokens": tokens, "temperature": 0}


def _numbered(inputs: Sequence[str], k: int) -> str:
    return f"{k}. {inputs[k % len(inputs)]}"


def _base(runs: Sequence[Path]) -> str | None:
    """Return the base model of the first product that has one."""
    used = (read_product(run / "product").model for run in runs)
    return next((model.name for model in used if model is not None), None)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument(
        "--hosts", nargs="+", choices=sorted(serving_hosts.HOSTS), default=["metier", "transformers", "llamacpp"]
    )
    parser.add_argument("--out", type=Path, default=_RESULTS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
