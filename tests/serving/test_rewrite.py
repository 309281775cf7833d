"""``/rewrite`` gives what ``metier rewrite`` prints, and the pieces that it is joined of."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import metier
from metier.core.errors import MetierError
from metier.serving.app import make_app
from metier.serving.opening import open_runs
from metier.serving.safety import Gate
from metier.serving.served import Served
from metier.serving.settings import ServeSettings
from metier.systems.product import Answer, OpenProduct
from tests.serving.made import write_labels_run, write_replacements_run
from tests.serving.running import HOME, client_of

TEXT = "# Cars\n\nThey utilize the car. They walk, too.\n\n- They utilize the road 5 times.\n\n```\nutilize\n```\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [write_labels_run(folder / "routing"), write_replacements_run(folder / "plain")]


@pytest.fixture(scope="module")
def client(runs: list[Path]) -> Iterator[TestClient]:
    with client_of(runs) as client:
        yield client


@pytest.mark.parametrize("by", ["sentence", "paragraph"])
def test_the_text_is_that_of_the_product_in_python(client: TestClient, runs: list[Path], by: str) -> None:
    told = client.post("/rewrite", json={"model": "plain", "text": TEXT, "by": by}).json()
    assert told["text"] == metier.load(runs[1]).rewrite(TEXT, by=by) != TEXT  # type: ignore[arg-type]
    assert "".join(piece["after"] for piece in told["pieces"]) == told["text"]
    assert "".join(piece["before"] for piece in told["pieces"]) == TEXT
    for piece in told["pieces"]:
        parts = piece["diff"]
        assert "".join(part["text"] for part in parts if part["op"] != "insert") == piece["before"]
        assert "".join(part["text"] for part in parts if part["op"] != "delete") == piece["after"]
        assert piece["changed"] == any(part["op"] != "equal" for part in parts)
        assert piece["prose"] or not piece["changed"]


def test_many_sentences_are_asked_in_blocks(client: TestClient, runs: list[Path]) -> None:
    text = " ".join(f"They utilize the car {i} times." for i in range(200))
    told = client.post("/rewrite", json={"model": "plain", "text": text}).json()
    assert told["text"] == metier.load(runs[1]).rewrite(text)
    assert sum(piece["changed"] for piece in told["pieces"]) == 200


def test_labels_rewrite_nothing(client: TestClient) -> None:
    answer = client.post("/rewrite", json={"model": "routing", "text": "x"})
    assert answer.status_code == 400 and "rewrites nothing" in answer.json()["error"]["message"]


def events(answer: Any) -> list[Any]:
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
    return [line.removeprefix("data: ") for line in answer.text.splitlines() if line]


@pytest.mark.parametrize("by", ["sentence", "paragraph"])
def test_streamed_it_comes_piece_by_piece_and_is_the_same(client: TestClient, by: str) -> None:
    text = TEXT + " ".join(f"They utilize the car {i // 2} times." for i in range(40))
    body = {"model": "plain", "text": text, "by": by}
    whole = client.post("/rewrite", json=body).json()
    *told, done = events(client.post("/rewrite", json={**body, "stream": True}))
    found = [json.loads(event) for event in told]
    assert done == "[DONE]" and [event["piece"] for event in found] == whole["pieces"]
    assert [(event["index"], event["of"]) for event in found] == [(k, len(found)) for k in range(len(found))]


def test_a_stream_asks_for_few_sentences_at_a_time_and_for_none_twice(runs: list[Path]) -> None:
    served = open_runs(runs)
    one = served.products["plain"]
    asked: list[list[str]] = []

    class Counted(OpenProduct):
        def answer(self, inputs: Sequence[str]) -> list[Answer]:
            asked.append(list(inputs))
            if any("fail" in text for text in inputs):
                raise MetierError("out of memory even for a batch of one prompt")
            return one.opened.answer(inputs)

    counted = dataclasses.replace(one, opened=Counted(one.product, one.opened.learned))
    app = make_app(ServeSettings(), Served(served.runs, {"plain": counted}, {}), Gate())
    with TestClient(app, base_url=HOME) as client:
        text = " ".join(f"They utilize the car {i % 20} times." for i in range(60))
        events(client.post("/rewrite", json={"model": "plain", "text": text, "stream": True}))
        assert [len(texts) for texts in asked] == [8, 8, 4]
        text = " ".join([*(f"They utilize the car {i} times." for i in range(20)), "They fail.", "They walk."])
        *told, last = events(client.post("/rewrite", json={"model": "plain", "text": text, "stream": True}))
        assert len(told) >= 16 and "out of memory" in json.loads(last)["error"]["message"]
        refused = client.post("/rewrite", json={"model": "plain", "text": "They fail.", "stream": True})
        assert refused.status_code == 500, "what fails before anything was sent has its own status"
