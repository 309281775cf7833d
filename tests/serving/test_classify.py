"""``/classify`` and ``/v1/models`` on products that need no model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import metier
from tests.serving.made import write_labels_run, write_replacements_run
from tests.serving.running import client_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [write_labels_run(folder / "routing", threshold=0.6), write_replacements_run(folder / "plain")]


@pytest.fixture(scope="module")
def client(runs: list[Path]) -> Iterator[TestClient]:
    with client_of(runs) as client:
        yield client


def test_labels_are_those_of_the_product_in_python(client: TestClient, runs: list[Path]) -> None:
    texts = ["the invoice is wrong", "where is my parcel", "nothing known"]
    told = client.post("/classify", json={"model": "routing", "input": texts}).json()
    wanted = metier.load(runs[0]).classify(texts)
    assert [row["label"] for row in told["data"]] == [answer.text for answer in wanted]
    assert [row["probs"] for row in told["data"]] == [list((a.probabilities or {}).values()) for a in wanted]
    assert [row["abstained"] for row in told["data"]] == [answer.abstained for answer in wanted] == [False, False, True]
    assert [row["index"] for row in told["data"]] == [0, 1, 2]
    assert told["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert told["object"] == "list" and told["model"] == "routing"


def test_a_single_text_is_a_list_of_one(client: TestClient) -> None:
    (row,) = client.post("/classify", json={"model": "routing", "input": "my invoice"}).json()["data"]
    assert row["label"] == "billing" and row["num_classes"] == 2


def test_free_text_has_no_labels(client: TestClient) -> None:
    answer = client.post("/classify", json={"model": "plain", "input": "x"})
    assert answer.status_code == 400 and "/v1/chat/completions" in answer.json()["error"]["message"]


def test_models_say_what_they_are(client: TestClient) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list" and [one["id"] for one in listed["data"]] == ["routing", "plain"]
    routing, plain = (one["metier"] for one in listed["data"])
    assert routing["labels"] == ["billing", "delivery"] and routing["kind"] == "labels" and routing["threshold"] == 0.6
    assert (routing["score"], routing["interval"], routing["metric"]) == (90.0, [81.2, 95.0], "exact match")
    assert plain["labels"] is None and plain["kind"] == "text" and plain["streams"] is False
    assert client.get("/v1/models/routing").json() == listed["data"][0]


def test_a_model_that_is_not_there_is_named_with_a_suggestion(client: TestClient) -> None:
    answer = client.post("/classify", json={"model": "routin", "input": "x"})
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "message": "the model `routin` is not served here; did you mean `routing`?",
        "type": "not_found_error",
        "param": "model",
        "code": "model_not_found",
    }
