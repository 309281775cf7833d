"""Products over one base: in memory once, and each answers as it does alone, whatever is asked of the others beside."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import metier
from metier.runs.use import Opener
from tests.serving.made import LABELS, make_adapter, write_encoder_run, write_labels_run, write_model_run
from tests.serving.running import listening

TEXTS = [f"the parcel number {i} came {'late ' * (i % 4)}" for i in range(8)]


@pytest.fixture(scope="module")
def runs(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    adapters = [make_adapter(tiny_model, folder / f"adapter{k}", k) for k in range(3)]
    return {
        "one": write_model_run(folder / "one", tiny_model, adapter=adapters[0]),
        "two": write_model_run(folder / "two", tiny_model, adapter=adapters[1]),
        "three": write_model_run(folder / "three", tiny_model, labels=LABELS, adapter=adapters[2]),
        "vote": write_model_run(folder / "vote", tiny_model, "sampled_majority"),
        "prompt": write_model_run(folder / "prompt", tiny_model, "few_shot"),
        "plain": write_model_run(folder / "plain", tiny_model, "few_shot", style="plain"),
        "routing": write_labels_run(folder / "routing"),
        "encoded": write_encoder_run(folder / "encoded", tiny_model),
        "encoded too": write_encoder_run(folder / "encoded too", tiny_model),
    }


@pytest.fixture(scope="module")
def home(runs: dict[str, Path]) -> Iterator[str]:
    with listening(list(runs.values())) as home:
        yield home


def ask(client: httpx.Client, model: str, text: str, stream: bool = False) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    if not stream:
        content: str = answer.json()["choices"][0]["message"]["content"]
        return content
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in events)


def test_products_over_one_base_hold_it_once(runs: dict[str, Path]) -> None:
    opener = Opener()
    opened: list[Any] = [
        opener.open(runs[name] / "product").learned for name in ("one", "two", "three", "prompt", "plain")
    ]
    assert len({id(learned.asker.engine.tokenizer) for learned in opened}) == 1
    assert len({id(learned.asker.engine) for learned in opened}) == 4, "the two without an adapter share it"
    assert [learned.asker.prompts.style for learned in opened] == ["chat"] * 4 + ["plain"]
    encoders: list[Any] = [opener.open(runs[name] / "product").learned for name in ("encoded", "encoded too")]
    assert encoders[0].encoder is encoders[1].encoder


def test_32_at_once_are_answered_as_each_alone(runs: dict[str, Path], home: str) -> None:
    wanted = {
        name: dict(zip(TEXTS, metier.load(run)(TEXTS), strict=True)) for name, run in runs.items() if name != "vote"
    }
    wanted["vote"] = {text: metier.load(runs["vote"])(text) for text in TEXTS[:4]}  # its answers depend on the place
    jobs = [(name, text, k % 3 == 0) for name, texts in wanted.items() for k, text in enumerate(texts)]
    random.Random(0).shuffle(jobs)
    with httpx.Client(base_url=home, timeout=60) as client, ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda job: ask(client, *job), jobs))
    assert {job: text for job, text in zip(jobs, found, strict=True) if text != wanted[job[0]][job[1]]} == {}
