"""``response_format`` and ``logprobs``: JSON by a schema, also beside other answers; tokens with their likelihood."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import httpx
import openai
import pytest
from fastapi.testclient import TestClient

import metier
from metier.serving import schema_check
from metier.serving.errors import ApiError
from metier.serving.schema_check import SchemaCheck
from tests.serving.made import make_adapter, write_model_run
from tests.serving.running import client_of, listening

TEXTS = [f"the parcel number {i} came {'late ' * (i % 4)}" for i in range(6)]
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["n"],
    "additionalProperties": False,
}
ENDLESS = {"allOf": [{"type": "string", "pattern": f"a{{0,{k}}}.*b"} for k in range(20)]}


def by(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


@pytest.fixture(scope="module")
def runs(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    adapter = make_adapter(tiny_model, folder / "adapter", seed=1)
    return {"mend": write_model_run(folder / "mend", tiny_model, adapter=adapter, max_tokens=24)}


@pytest.fixture(scope="module")
def client(runs: dict[str, Path]) -> Iterator[TestClient]:
    with client_of(list(runs.values()), base=True) as client:
        yield client


@pytest.fixture(scope="module")
def base(tiny_model: Path) -> str:
    return tiny_model.name


def chat(client: Any, model: str, text: str, **more: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return client.post("/v1/chat/completions", json={"model": model, "messages": messages, **more})


def check(text: str) -> None:
    found = json.loads(text)
    assert list(found) == ["n"] and 0 <= found["n"] <= 9


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["mend", "base"])
def test_an_answer_keeps_to_a_schema(client: TestClient, base: str, model: str, stream: bool) -> None:
    name = base if model == "base" else model
    answer = chat(client, name, TEXTS[0], response_format=by(SCHEMA), stream=stream, max_tokens=40)
    assert answer.status_code == 200, answer.text
    if not stream:
        check(answer.json()["choices"][0]["message"]["content"])
        return
    parts = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    check("".join(part["choices"][0]["delta"].get("content", "") for part in parts))


def test_several_samples_and_prompts_keep_to_it(client: TestClient, base: str) -> None:
    wanted = {"model": base, "prompt": TEXTS[:2], "n": 3, "temperature": 1.2, "seed": 1, "max_tokens": 40}
    told = client.post("/v1/completions", json={**wanted, "response_format": by(SCHEMA)}).json()
    assert len(told["choices"]) == 6
    for choice in told["choices"]:
        check(choice["text"])
    object_form = client.post("/v1/completions", json={**wanted, "response_format": {"type": "json_object"}}).json()
    for choice in object_form["choices"]:
        assert choice["text"].startswith("{")
        assert choice["finish_reason"] == "length" or isinstance(json.loads(choice["text"]), dict)


def test_those_who_wish_for_nothing_get_their_answers_beside_those_who_do(runs: dict[str, Path]) -> None:
    plain = dict(zip(TEXTS, metier.load(runs["mend"])(TEXTS), strict=True))

    def ask(job: tuple[int, str]) -> str:
        k, text = job
        more: dict[str, Any] = {"response_format": by(SCHEMA)} if k % 3 == 1 else {"logprobs": True} if k % 3 else {}
        answer = chat(client, "mend", text, **more)
        content: str = answer.json()["choices"][0]["message"]["content"]
        return content

    with (
        listening(list(runs.values())) as home,
        httpx.Client(base_url=home, timeout=60) as client,
        ThreadPoolExecutor(12) as pool,
    ):
        jobs = list(enumerate(TEXTS * 3))
        for (k, text), found in zip(jobs, pool.map(ask, jobs), strict=True):
            if k % 3 == 1:
                check(found)
            else:
                assert found == plain[text]


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "nothing"}, "Invalid type: nothing"),
        (ENDLESS, "to compile"),
        ({"enum": ["x" * 70_000]}, "65,536 bytes"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_a_400_with_its_reason(
    client: TestClient, base: str, schema: Any, why: str
) -> None:
    for model in (base, "mend"):
        answer = chat(client, model, "hello", response_format=by(schema), stream=model == base)
        error = answer.json()["error"]
        assert answer.status_code == 400 and error["type"] == "invalid_request_error"
        assert why in error["message"] and error["param"] in ("response_format", None)


def test_a_name_that_openai_refuses_is_refused(client: TestClient, base: str) -> None:
    wish = {"type": "json_schema", "json_schema": {"name": "no spaces", "schema": {}}}
    assert chat(client, base, "hello", response_format=wish).status_code == 400


def test_schemas_wait_for_their_turn_and_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def slow(schema: str) -> str | None:
        tried.append(schema)
        import time

        time.sleep(0.2)
        return None

    monkeypatch.setattr(schema_check, "why_not", slow)

    async def main() -> list[int]:
        checks, refused = SchemaCheck(waiting=1), []

        async def one(schema: str, seconds: float) -> None:
            try:
                await checks.check(schema, anyio.current_time() + seconds)
            except ApiError as error:
                refused.append(error.status)

        async with anyio.create_task_group() as group:
            for k in range(4):  # two are tried, one waits, one is refused
                group.start_soon(one, f"{k}", 10)
        await one("0", 10)
        async with anyio.create_task_group() as group:
            for k in range(5, 8):
                group.start_soon(one, f"{k}", 0.1)
        return refused

    assert sorted(anyio.run(main)) == [429, 504, 504, 504] and tried.count("0") == 1


def test_openais_client_reads_how_likely_tokens_were(runs: dict[str, Path], base: str) -> None:
    with (
        listening(list(runs.values()), base=True) as home,
        openai.OpenAI(base_url=f"{home}/v1", api_key="none", max_retries=0) as client,
    ):
        said: Any = [{"role": "user", "content": TEXTS[1]}]
        for model in ("mend", base):
            told = client.chat.completions.create(
                model=model, messages=said, logprobs=True, top_logprobs=3, max_tokens=12
            )
            (choice,) = told.choices
            assert choice.logprobs is not None and choice.logprobs.content and choice.message.content
            joined = b"".join(bytes(step.bytes or []) for step in choice.logprobs.content)
            assert joined.decode("utf-8", "replace").strip().startswith(choice.message.content.strip())
            assert len(choice.logprobs.content) <= 24
            for step in choice.logprobs.content:
                assert len(step.top_logprobs) == 3 and step.logprob <= step.top_logprobs[0].logprob <= 0
                assert step.top_logprobs[0].token == step.token, "the likeliest was taken"
        made = client.completions.create(model=base, prompt=TEXTS[:2], logprobs=2, max_tokens=8, n=2, temperature=1.0)
        for answer in made.choices:
            logprobs: Any = answer.logprobs
            assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs) <= 8
            assert logprobs.text_offset == sorted(logprobs.text_offset) and logprobs.text_offset[0] == 0
            for name, value, best in zip(logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, strict=True):
                assert best[name] == value and 1 <= len(best) <= 3 and all(math.isfinite(x) for x in best.values())


def test_tokens_behind_the_end_of_an_answer_are_not_told(client: TestClient) -> None:
    whole = chat(client, "mend", TEXTS[0], logprobs=True).json()["choices"][0]
    stop = whole["message"]["content"][4:6]
    cut = chat(client, "mend", TEXTS[0], logprobs=True, stop=stop).json()["choices"][0]
    told, known = cut["logprobs"]["content"], whole["logprobs"]["content"]
    assert 0 < len(told) < len(known) and known[: len(told)] == told
    assert b"".join(bytes(step["bytes"]) for step in told[:-1]).decode() in cut["message"]["content"]
    completed = client.post("/v1/completions", json={"model": "mend", "prompt": TEXTS[0], "logprobs": 0}).json()
    assert completed["choices"][0]["logprobs"]["tokens"] == [step["token"] for step in known]


def parted(tokens: list[dict[str, Any]]) -> tuple[list[Any], list[float]]:
    """Return the tokens that are told, each with its alternatives, and how likely all of them are."""
    every = [one for token in tokens for one in (token, *token["top_logprobs"])]
    return [(one["token"], one["bytes"]) for one in every], [one["logprob"] for one in every]


@pytest.mark.parametrize("model", ["mend", "base"])
@pytest.mark.parametrize("stop", [None, "cut"])
def test_a_stream_tells_each_token_with_the_text_it_begins_in(
    client: TestClient, base: str, model: str, stop: str | None
) -> None:
    wish: dict[str, Any] = {"model": base, "max_tokens": 20} if model == "base" else {"model": model}
    if stop:
        asked = {**wish, "messages": [{"role": "user", "content": TEXTS[2]}]}
        known = client.post("/v1/chat/completions", json=asked).json()["choices"][0]["message"]["content"]
        wish["stop"] = next(known[k : k + 2] for k in range(5, len(known)) if known.find(known[k : k + 2]) == k)
    asked = {**wish, "messages": [{"role": "user", "content": TEXTS[2]}], "logprobs": True, "top_logprobs": 2}
    parts = streamed(client, "/v1/chat/completions", asked)
    whole = client.post("/v1/chat/completions", json=asked).json()["choices"][0]
    tokens = [part["logprobs"]["content"] for part in parts if "logprobs" in part]
    names, numbers = parted([token for some in tokens for token in some])
    assert names == parted(whole["logprobs"]["content"])[0] and len(tokens) > 2
    # What is streamed is not computed in the same order as what is whole.
    assert numbers == pytest.approx(parted(whole["logprobs"]["content"])[1], abs=1e-4)
    assert "".join(part["delta"].get("content", "") for part in parts) == whole["message"]["content"]

    asked = {**wish, "prompt": TEXTS[2], "logprobs": 1}
    parts = streamed(client, "/v1/completions", asked)
    told = client.post("/v1/completions", json=asked).json()["choices"][0]["logprobs"]
    pieces = [part["logprobs"] for part in parts if "logprobs" in part]
    found = {key: [one for piece in pieces for one in piece[key]] for key in told}
    assert [found[key] for key in ("tokens", "text_offset")] == [told[key] for key in ("tokens", "text_offset")]
    assert found["token_logprobs"] == pytest.approx(told["token_logprobs"], abs=1e-4)
    assert found["top_logprobs"] == [pytest.approx(one, abs=1e-4) for one in told["top_logprobs"]]


def streamed(client: TestClient, path: str, asked: dict[str, Any]) -> list[Any]:
    """Return the choices of a streamed answer's parts."""
    answer = client.post(path, json={**asked, "stream": True})
    assert answer.status_code == 200, answer.text
    return [json.loads(line[6:])["choices"][0] for line in answer.text.splitlines() if line.startswith("data: {")]
