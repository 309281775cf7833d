"""Several products on llama.cpp: adapters over one base, none of which may leak into another's answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import metier
from metier.core.errors import UserError
from metier.serving import on_llamacpp
from metier.serving.app import make_app
from metier.serving.opening import open_runs
from metier.serving.safety import Gate
from metier.serving.settings import ServeSettings
from tests.conftest import make_tiny_model
from tests.serving.made import LABELS, make_adapter, write_labels_run, write_model_run
from tests.serving.running import HOME

pytest.importorskip("xllamacpp", reason="llama.cpp is not installed")
TEXTS = ["they utilize the parcel", "the app closes", "I was charged twice for one order"]
ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(scope="module")
def runs(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    made = {name: make_adapter(tiny_model, folder / f"{name}-adapter", seed, ALL) for seed, name in enumerate("ab", 1)}
    runs = {name: write_model_run(folder / name, tiny_model, adapter=adapter) for name, adapter in made.items()}
    return {**runs, "shown": write_model_run(folder / "shown", tiny_model, "few_shot")}


@pytest.fixture(scope="module")
def client(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METIER_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(on_llamacpp, "_QUANT", "f16")  # of the tiny model q8_0 makes another
        routing = write_labels_run(runs["a"].parent / "routing")
        served = open_runs([*runs.values(), routing], base=True, llamacpp=True)
    with TestClient(make_app(ServeSettings(base=True), served, Gate()), base_url=HOME) as client:
        yield client
    served.close()


def answers(client: TestClient, model: str) -> list[str]:
    told = client.post("/v1/completions", json={"model": model, "prompt": TEXTS, "temperature": 0})
    assert told.status_code == 200, told.text
    return [choice["text"] for choice in told.json()["choices"]]


def test_answers_are_the_products_as_rounding_allows(client: TestClient, runs: dict[str, Path]) -> None:
    for name, run in runs.items():
        found, wanted = answers(client, name), metier.load(run)(TEXTS)
        alike = [one[:6] == other[:6] for one, other in zip(found, wanted, strict=True)]
        assert sum(alike) >= 2, (name, found, wanted)
    classified = client.post("/classify", json={"model": "routing", "input": "the parcel is late"})
    assert classified.json()["data"][0]["label"] == "delivery", "what asks no model goes on"


def test_no_adapter_leaks_into_another_or_the_base(
    client: TestClient, runs: dict[str, Path], tiny_model: Path, tmp_path: Path
) -> None:
    """The two adapters and the base model get the same prompts in turns, which begin alike, each after each other."""
    names = ["a", "b", tiny_model.name]
    body: dict[str, Any] = {"prompt": TEXTS[0], "max_tokens": 12}
    alone = {}
    for name in names:
        alone[name] = client.post("/v1/completions", json={"model": name, **body}).json()["choices"][0]["text"]
    first = {name: answers(client, name) for name in ("a", "b")}
    assert alone["a"] != alone["b"], "the adapters do something"
    for before in names:
        for name in names:
            answers(client, before)
            told = client.post("/v1/completions", json={"model": name, **body}).json()
            assert told["choices"][0]["text"] == alone[name], f"{name} after {before}"
    assert {name: answers(client, name) for name in ("a", "b")} == first


def test_a_base_model_that_cannot_score_decides_nothing(client: TestClient, tiny_model: Path) -> None:
    choice = {"type": "choice", "instructions": "Which team?", "criteria": {"delivery": None, "billing": None}}
    body = {"model": tiny_model.name, "state": "the parcel is late", "questions": {"team": choice}}
    told = client.post("/v1/systemone", json=body)
    assert told.status_code == 400 and "cannot score" in told.json()["error"]["message"]


def test_what_cannot_be_run_so_is_told(
    runs: dict[str, Path], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METIER_CACHE", str(tmp_path / "cache"))
    other_model = make_tiny_model(tmp_path / "other-model", chat=False)
    scored = write_model_run(tmp_path / "scored", tiny_model, labels=LABELS, system="label_scoring")
    whole = write_model_run(tmp_path / "whole", tiny_model, adapter=other_model)
    foreign = write_model_run(tmp_path / "foreign", other_model, "few_shot")
    labels = [write_labels_run(tmp_path / name) for name in ("routing", "routing2")]
    for others, why in (
        ([runs["a"], scored], "scored.* how likely labels are"),
        ([runs["a"], whole], "whole.* all of its weights were tuned"),
        ([runs["a"], foreign], "foreign.* it runs one base model"),
        (labels, "none of these products asks a language model"),
    ):
        with pytest.raises(UserError, match=why):
            open_runs(others, llamacpp=True)
    assert not (tmp_path / "cache").exists(), "nothing was written"
