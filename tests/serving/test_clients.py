"""Others' clients against the server, unchanged: OpenAI's, and schemathesis, which tries all that the schema allows."""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

import metier
from tests.serving.made import add_facts, write_labels_run, write_model_run, write_replacements_run
from tests.serving.running import listening, wait_for


@pytest.fixture(scope="module")
def runs(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    made = {
        "routing": write_labels_run(folder / "routing"),
        "plain": write_replacements_run(folder / "plain"),
        "mend": write_model_run(folder / "mend", tiny_model),
    }
    add_facts(made["routing"], 12)
    return made


@pytest.fixture(scope="module")
def home(runs: dict[str, Path]) -> Iterator[str]:
    with listening(list(runs.values()), key="the key") as home:
        yield home


@pytest.fixture(scope="module")
def client(home: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{home}/v1", api_key="the key", max_retries=0) as client:
        yield client


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_openais_client_lists_and_asks(client: openai.OpenAI, runs: dict[str, Path]) -> None:
    assert [model.id for model in client.models.list()] == ["routing", "plain", "mend"]
    assert client.models.retrieve("mend").owned_by == "metier"
    model = metier.load(runs["mend"])
    told = client.chat.completions.create(model="mend", messages=said("the parcel"), temperature=0)
    assert told.choices[0].message.content == model("the parcel") and told.choices[0].finish_reason == "length"
    assert told.usage is not None and told.usage.completion_tokens > 0
    completed = client.completions.create(model="routing", prompt=["my invoice", "my parcel"])
    assert [choice.text for choice in completed.choices] == ["billing", "delivery"]


def test_openais_client_streams(client: openai.OpenAI, runs: dict[str, Path]) -> None:
    stream = client.chat.completions.create(
        model="mend", messages=said("the parcel"), stream=True, stream_options={"include_usage": True}
    )
    parts = list(stream)
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert text == metier.load(runs["mend"])("the parcel")
    assert parts[-1].usage is not None and parts[-2].choices[0].finish_reason == "length"


def test_openais_client_knows_the_errors(client: openai.OpenAI, home: str) -> None:
    with pytest.raises(openai.NotFoundError, match="did you mean `mend`"):
        client.chat.completions.create(model="mendd", messages=said("x"))
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="mend", messages=said("x"), temperature=0.7)
    assert caught.value.param == "temperature" and caught.value.code == "unsupported_value"
    wrong = openai.OpenAI(base_url=f"{home}/v1", api_key="another", max_retries=0)
    with wrong, pytest.raises(openai.AuthenticationError):
        wrong.models.list()


def named(schema: Any, names: list[str]) -> Any:
    """Return a schema in which the names of models and runs are those that there are, so that more than 404 is seen."""
    for path in schema["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"]["enum"] = names
    for kind, part in schema["components"]["schemas"].items():
        if kind.endswith("Request"):
            part["properties"]["model"] = {"type": "string", "enum": names}
    return schema


def test_schemathesis_finds_nothing(runs: dict[str, Path], tmp_path: Path) -> None:
    """Requests that the schema allows and that it forbids: answered as it says, and never with a 5xx."""
    file = tmp_path / "schema.json"
    with listening([runs["routing"], runs["plain"]], feedback=True) as home:
        schema = httpx.get(f"{home}/openapi.json").json()
        file.write_text(json.dumps(named(schema, ["routing", "plain"])))
        command = [str(Path(sys.executable).with_name("schemathesis")), "run", str(file), "--url", home, "--seed", "1"]
        command += ["--max-time", "10", "--phases", "coverage,fuzzing", "--max-examples", "20", "--warnings", "off"]
        # What a product does not do is refused although the schema allows it: the schema is for all of them.
        command += ["--exclude-checks", "positive_data_acceptance", "--no-color"]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-5000:]
    (tried,) = re.findall(r"(\d+) generated", found.stdout)
    assert int(tried) >= 30, "a busy machine tries fewer"


def test_memory_does_not_grow_with_requests(home: str) -> None:
    """After some hundreds a thousand more, good and bad, leave the process as large as it was, and no file open."""
    process = psutil.Process()
    port = httpx.URL(home).port

    def connections() -> list[str]:
        """The states of this server's connections; other tests of this process may still have theirs."""
        all_of_them = process.net_connections()
        return [one.status for one in all_of_them if port in {end.port for end in (one.laddr, one.raddr) if end}]

    def ask(client: httpx.Client, k: int) -> int:
        if k % 4 == 0:
            return client.get(f"/runs/{k}/report").status_code
        if k % 4 == 1:
            return client.post("/classify", json={"model": f"none {k}", "input": 5}).status_code
        body = {"model": "routing", "input": f"message {k} " * 500}
        return client.post("/classify", json=body).status_code

    def some(first: int, last: int) -> tuple[int, int]:
        key = {"Authorization": "Bearer the key"}
        with httpx.Client(base_url=home, headers=key, timeout=60) as client, ThreadPoolExecutor(16) as pool:
            assert set(pool.map(lambda k: ask(client, k), range(first, last))) == {200, 400, 404}
        gc.collect()
        wait_for(lambda: psutil.CONN_ESTABLISHED not in connections())
        return int(process.memory_info().rss), len(process.open_files()) + len(connections())

    memory, files = some(0, 300)
    more, left = some(300, 1300)
    assert more - memory < 5_000_000, "a thousand bodies of 6 kB would be as much"
    assert left <= files
