"""``/rewrite`` gives what ``metier rewrite`` prints, and the pieces that it is joined of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import metier
from tests.serving.made import write_labels_run, write_replacements_run
from tests.serving.running import client_of

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
