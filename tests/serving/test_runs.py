"""The runs behind what is served: their list, pages and facts, two side by side, and corrections beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from metier.core.errors import UserError
from metier.evaluation.compare_runs import compare_runs
from metier.report.compared import compared_sentences
from metier.runs.load import load_runs
from metier.serving import feedback
from metier.serving.opening import open_runs
from tests.serving.made import LABELS, add_facts, write_labels_run, write_replacements_run
from tests.serving.running import client_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    made = {name: write_labels_run(folder / name) for name in ("first", "second", "third")}
    for name, right, rows in (("first", 12, 20), ("second", 18, 20), ("third", 18, 10)):
        add_facts(made[name], right, rows=rows)
    several = folder / "writing"
    for task in ("mend", "shorten"):
        write_replacements_run(several / "tasks" / task)
    (several / "report.html").write_text("<p>all tasks</p>")
    return {**made, "writing": several}


@pytest.fixture(scope="module")
def client(runs: dict[str, Path]) -> Iterator[TestClient]:
    with client_of(list(runs.values()), feedback=True) as client:
        yield client


def test_a_run_of_several_tasks_is_served_task_by_task(client: TestClient) -> None:
    listed = {run["name"]: run for run in client.get("/runs").json()["runs"]}
    assert list(listed) == ["first", "second", "third", "writing", "writing/mend", "writing/shorten"]
    assert listed["writing"]["product"] is None and listed["writing"]["has_report"]
    assert listed["writing/mend"]["product"]["system"] == "replacements"
    assert listed["writing/mend"]["rows"] is None, "of a product that was copied without its run, no more is known"
    assert client.post("/rewrite", json={"model": "writing/mend", "text": "They walk."}).status_code == 200
    assert client.get("/runs/writing/report").text == "<p>all tasks</p>"
    assert client.get("/runs/writing/mend/report").status_code == 404


def test_a_run_says_what_it_found(client: TestClient) -> None:
    first = client.get("/runs").json()["runs"][0]
    assert (first["rows"], first["metric"], first["model"]) == (20, "exact match", "smollm2-135m-instruct")
    assert first["product"]["score"] == 90.0 and first["seconds"] == pytest.approx(341.6)
    told = client.get("/runs/first/facts").json()
    assert told["verdict"].startswith("Better: +12.3 points")
    few_shot, specialist = told["systems"]
    assert few_shot == {
        "key": "few_shot", "title": "prompted, few-shot", "kind": "prompted", "score": 56.4, "interval": [40.0, 60.0],
        "milliseconds": 410.0, "bytes": 269_000_000, "verdict": "better",
    }  # fmt: skip
    assert specialist["verdict"] is None and specialist["interval"] is None
    example = client.get("/v1/models").json()["data"][0]["metier"]["example"]
    assert example == "I was charged twice"


def test_a_report_may_have_its_own_style_and_no_script(client: TestClient, runs: dict[str, Path]) -> None:
    answer = client.get("/runs/first/report")
    assert answer.text == (runs["first"] / "report.html").read_text()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "style-src 'unsafe-inline'" in policy and "script" not in policy


def test_two_runs_are_compared_as_the_command_does(client: TestClient, runs: dict[str, Path]) -> None:
    told = client.get("/compare", params={"a": "first", "b": "second"}).json()
    wanted = compare_runs(load_runs([runs["first"], runs["second"]]))
    assert told["sentences"] == compared_sentences(wanted)
    (pairing,) = told["pairings"]
    assert (pairing["first"], pairing["second"], pairing["wins"]) == ("first", "second", 6)
    assert client.get("/compare", params={"a": "first", "b": "second"}).json() == told


@pytest.mark.parametrize(
    ("b", "status", "why"),
    [("third", 400, "different test rows"), ("first", 400, "same run"), ("none", 404, "`none`"),
     ("writing/mend", 400, "no finished run")],
)  # fmt: skip
def test_what_cannot_be_compared_is_told(client: TestClient, b: str, status: int, why: str) -> None:
    answer = client.get("/compare", params={"a": "first", "b": b})
    assert answer.status_code == status and why in answer.json()["error"]["message"]


def correct(client: TestClient, **more: Any) -> Any:
    row = {"model": "first", "input": "where is my order", "answer": "billing", "correction": "delivery"}
    return client.post("/feedback", json={**row, **more})


def test_a_correction_is_a_row_beside_the_run(client: TestClient, runs: dict[str, Path]) -> None:
    path = runs["first"] / "feedback.jsonl"
    path.unlink(missing_ok=True)
    assert correct(client).status_code == 202 and correct(client, input="line\nbreak é").status_code == 202
    path.write_bytes(path.read_bytes() + b'{"torn')
    assert correct(client).status_code == 202
    first, second, torn, third = path.read_text().splitlines()
    row = json.loads(first)
    assert list(row) == ["input", "answer", "correction", "system", "when"]
    assert (row["input"], row["correction"], row["system"]) == ("where is my order", "delivery", "tfidf_train")
    assert json.loads(second)["input"] == "line\nbreak é" and torn == '{"torn' and json.loads(third)["input"]
    assert correct(client, model="writing/mend", correction="any text").status_code == 202
    assert (runs["writing"] / "tasks" / "mend" / "feedback.jsonl").exists()


def test_many_corrections_at_once_are_all_there_and_whole(client: TestClient, runs: dict[str, Path]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    texts = [f"message {i} " + "x" * 5000 for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: correct(client, model="second", input=text), texts))
    assert {answer.status_code for answer in answers} == {202}
    rows = [json.loads(line) for line in (runs["second"] / "feedback.jsonl").read_text().splitlines()]
    assert sorted(row["input"] for row in rows) == sorted(texts)


@pytest.mark.parametrize(
    ("more", "status", "param"),
    [
        ({"input": "test message 3 on the matter of b"}, 409, "input"),
        ({"input": "  TEST message 3, on the matter of b!"}, 409, "input"),
        ({"correction": "neither"}, 400, "correction"),
        ({"correction": ""}, 400, "correction"),
        ({"input": "\0"}, 400, "input"),
        ({"model": "none"}, 404, "model"),
    ],
)
def test_a_correction_that_must_not_be_learnt_from_is_refused(
    client: TestClient, more: dict[str, Any], status: int, param: str
) -> None:
    answer = correct(client, **more)
    assert answer.status_code == status and answer.json()["error"]["param"] == param


def test_the_file_does_not_grow_without_end(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "_MOST_BYTES", 1000)
    found = [correct(client, model="third").status_code for _ in range(12)]
    assert found[0] == 202 and found[-1] == 413


def test_corrections_are_taken_only_if_the_server_was_told_to(runs: dict[str, Path]) -> None:
    with client_of([runs["first"]]) as client:
        assert correct(client).status_code == 403
        assert client.get("/settings").json()["feedback"] is False


def test_runs_of_one_name_or_without_a_product_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is named first too"):
        open_runs([runs["first"], runs["first"] / "product"])
    with pytest.raises(UserError, match="no product"):
        open_runs([tmp_path])
    with pytest.raises(UserError, match="no such folder"):
        open_runs([tmp_path / "none"])
    with pytest.raises(UserError, match="--base: none of these"):
        open_runs([runs["first"]], base=True)
    assert list(open_runs([runs["first"] / "product"]).products) == ["first"]
    assert open_runs([runs["first"]]).product("first").product.labels == LABELS
