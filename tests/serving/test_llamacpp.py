"""A product on llama.cpp: served from the file that it was exported to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import metier
from metier.core.errors import UserError
from metier.core.progress import Reporter
from metier.exporting.export import Wanted, export
from metier.serving.app import make_app
from metier.serving.opening import open_runs
from metier.serving.safety import Gate
from metier.serving.settings import ServeSettings
from tests.serving.made import LABELS, make_adapter, write_labels_run, write_model_run
from tests.serving.running import HOME

pytest.importorskip("xllamacpp", reason="llama.cpp is not installed")
TEXTS = ["they utilize the parcel", "the app closes", "I was charged twice for one order"]


@pytest.fixture(scope="module")
def run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    adapter = make_adapter(tiny_model, folder / "adapter", seed=1)
    made = write_model_run(folder / "mend", tiny_model, adapter=adapter)
    export(Wanted(made, "gguf", quant="f16", out=made / "export" / "gguf"), Reporter(quiet=True))
    return made


@pytest.fixture(scope="module")
def client(run: Path) -> Iterator[TestClient]:
    app = make_app(ServeSettings(), open_runs([run], llamacpp=True), Gate())
    with TestClient(app, base_url=HOME) as client:
        yield client


def test_answers_are_the_products_as_rounding_allows(client: TestClient, run: Path) -> None:
    wanted = metier.load(run)(TEXTS)
    told = client.post("/v1/completions", json={"model": "mend", "prompt": TEXTS}).json()
    found = [choice["text"] for choice in told["choices"]]
    assert sum(one[:6] == other[:6] for one, other in zip(found, wanted, strict=True)) >= 2, (found, wanted)
    body: dict[str, Any] = {"model": "mend", "messages": [{"role": "user", "content": TEXTS[0]}]}
    assert client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"] == found[0]
    streamed = client.post("/v1/chat/completions", json={**body, "stream": True})
    assert streamed.status_code == 200 and "[DONE]" in streamed.text


@pytest.mark.parametrize("wish", [{"logprobs": True}, {"response_format": {"type": "json_object"}}])
def test_what_it_lacks_is_refused_by_name(client: TestClient, wish: dict[str, Any]) -> None:
    body = {"model": "mend", "messages": [{"role": "user", "content": "x"}], **wish}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == next(iter(wish))


def test_what_cannot_be_run_so_is_told(run: Path, tiny_model: Path, tmp_path: Path) -> None:
    routing = write_labels_run(tmp_path / "routing")
    with pytest.raises(UserError, match="there is no .*model.gguf"):
        open_runs([routing], llamacpp=True)
    file = run / "export" / "gguf" / "model.gguf"
    for other, why in ((routing, "asks no language model"), (scored(tmp_path, tiny_model), "how likely labels are")):
        (other / "export" / "gguf").mkdir(parents=True)
        (other / "export" / "gguf" / "model.gguf").symlink_to(file)
        os.utime(other / "product" / "product.json", (0, 0))
        with pytest.raises(UserError, match=why):
            open_runs([other], llamacpp=True)


def scored(folder: Path, model: Path) -> Path:
    return write_model_run(folder / "scored", model, labels=LABELS)


def test_an_export_older_than_the_product_is_refused(run: Path) -> None:
    product = run / "product" / "product.json"
    before = product.stat()
    os.utime(product, (before.st_atime, before.st_mtime + 1000))
    with pytest.raises(UserError, match="older than the product"):
        open_runs([run], llamacpp=True)
    os.utime(product, (before.st_atime, before.st_mtime))
