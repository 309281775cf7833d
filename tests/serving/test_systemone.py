"""``/v1/systemone``: the protocol's own conformance suite, and what a product decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jevcompat.runner import Report, run

import metier
from tests.serving.made import write_labels_run, write_model_run, write_replacements_run
from tests.serving.running import client_of, listening

CHOICE = {"type": "choice", "instructions": "Which team?", "criteria": {"delivery": None, "billing": "invoices"}}


@pytest.fixture(scope="module")
def report(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """What the suite finds of a server with a base model and a key."""
    folder = tmp_path_factory.mktemp("runs")
    runs = [write_labels_run(folder / "routing"), write_model_run(folder / "mend", tiny_model)]
    with listening(runs, base=True, key="secret") as home:
        return run(home, key="secret", timeout=60)


def test_the_protocol_is_kept(report: Report) -> None:
    failed = [(r.id, f.message) for r in report.results for f in r.findings]
    assert failed == [] and report.verdict == "conformant"
    skipped = {r.id for r in report.results if r.status == "skip"}
    assert skipped == {"auth.ignored-when-off"}, "everything else was tried"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("products")
    return [write_labels_run(folder / "routing"), write_replacements_run(folder / "plain")]


@pytest.fixture(scope="module")
def client(runs: list[Path]) -> Iterator[TestClient]:
    with client_of(runs) as client:
        yield client


def ask(client: TestClient, **more: Any) -> Any:
    whole = {"model": "routing", "state": "the invoice is wrong", "questions": {"team": CHOICE}, **more}
    return client.post("/v1/systemone", json=whole)


@pytest.mark.parametrize("model", ["routing", "jev-latest"])
def test_a_product_decides_between_its_labels(client: TestClient, runs: list[Path], model: str) -> None:
    told = ask(client, model=model, questions={"team": CHOICE, "again": CHOICE}).json()
    likely = metier.load(runs[0]).classify("the invoice is wrong").probabilities
    assert likely is not None
    answer = told["answers"]["team"]
    assert answer["probabilities"] == likely and list(answer["probabilities"]) == ["delivery", "billing"]
    assert answer["choice"] == "billing" and answer["confidence"] == pytest.approx(2 * likely["billing"] - 1)
    assert told["answers"]["again"] == answer and told["model"] == "routing"
    assert told["usage"] == {"input_tokens": 0, "output_tokens": 0}


@pytest.mark.parametrize(
    "more",
    [
        {"questions": {"q": {"type": "noul", "instructions": "Is it urgent?"}}},
        {"questions": {"q": {**CHOICE, "criteria": {"billing": None, "sales": None}}}},
        {"model": "plain"},
        {"state": ""},
        {"state": "a\0b"},
    ],
)
def test_a_product_decides_nothing_else(client: TestClient, more: dict[str, Any]) -> None:
    answer = ask(client, **more)
    (problem,) = answer.json()["detail"]
    assert answer.status_code == 422 and problem["loc"][0] == "body" and problem["msg"] and problem["type"]
    assert answer.json()["error"]["message"] == problem["msg"]
