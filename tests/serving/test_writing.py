"""``/v1/chat/completions`` and ``/v1/completions``: answers as in Python, whole and streamed; refusals by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import metier
from tests.serving.made import make_adapter, write_labels_run, write_model_run, write_replacements_run
from tests.serving.running import client_of

TEXTS = ["they utilize the parcel", "the app closes", "write a new input to which the right answer is billing"]


@pytest.fixture(scope="module")
def runs(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    adapter = make_adapter(tiny_model, folder / "adapter", seed=1)
    return {
        "routing": write_labels_run(folder / "routing"),
        "plain": write_replacements_run(folder / "plain"),
        "mend": write_model_run(folder / "mend", tiny_model, adapter=adapter),
        "scored": write_model_run(folder / "scored", tiny_model, labels=("billing", "delivery"), adapter=adapter),
    }


@pytest.fixture(scope="module")
def base(tiny_model: Path) -> str:
    return tiny_model.name


@pytest.fixture(scope="module")
def client(runs: dict[str, Path]) -> Iterator[TestClient]:
    with client_of(list(runs.values()), base=True) as client:
        yield client


def chat(client: TestClient, model: str, text: str, **more: Any) -> Any:
    return client.post(
        "/v1/chat/completions", json={"model": model, "messages": [{"role": "user", "content": text}], **more}
    )


def events(answer: Any) -> list[Any]:
    """Return what a stream of events holds; the last of them says that it is whole."""
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
    *found, done = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert done == "[DONE]"
    return [json.loads(event) for event in found]


@pytest.mark.parametrize("name", ["routing", "plain", "mend", "scored"])
def test_answers_are_those_in_python(client: TestClient, runs: dict[str, Path], name: str) -> None:
    model = metier.load(runs[name])
    for text in TEXTS:
        told = chat(client, name, text, temperature=0, n=1, seed=3, top_p=1.0).json()
        (choice,) = told["choices"]
        assert choice["message"] == {"role": "assistant", "content": model(text), "refusal": None}
        assert told["object"] == "chat.completion" and told["model"] == name
    told = client.post("/v1/completions", json={"model": name, "prompt": TEXTS}).json()
    assert [choice["text"] for choice in told["choices"]] == model(TEXTS)
    assert [choice["index"] for choice in told["choices"]] == [0, 1, 2]


@pytest.mark.parametrize("name", ["routing", "plain", "mend"])
def test_a_stream_joined_is_the_answer(client: TestClient, runs: dict[str, Path], name: str) -> None:
    wanted = metier.load(runs[name])(TEXTS[0])
    parts = events(chat(client, name, TEXTS[0], stream=True, stream_options={"include_usage": True}))
    assert parts[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    *texts, last = (part["choices"][0] for part in parts[1:-1])
    assert "".join(choice["delta"]["content"] for choice in texts) == wanted
    assert last == {"index": 0, "delta": {}, "finish_reason": "length" if name == "mend" else "stop"}
    assert parts[-1]["choices"] == [] and "total_tokens" in parts[-1]["usage"]
    assert len({part["id"] for part in parts}) == 1
    assert (len(texts) > 1) == (name == "mend"), "what writes token by token is told token by token"
    parts = events(client.post("/v1/completions", json={"model": name, "prompt": TEXTS[0], "stream": True}))
    assert "".join(part["choices"][0]["text"] for part in parts) == wanted


def test_tokens_are_counted_by_the_models_tokenizer(client: TestClient, tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(str(tiny_model))
    told = chat(client, "mend", TEXTS[0]).json()
    text = told["choices"][0]["message"]["content"]
    assert told["usage"]["completion_tokens"] == len(tokenizer(text)["input_ids"])
    prompt = f"<|im_start|>user\nDo what is asked.\n\n{TEXTS[0]}<|im_end|>\n<|im_start|>assistant\n"
    assert told["usage"]["prompt_tokens"] == len(tokenizer(prompt)["input_ids"])
    assert chat(client, "plain", TEXTS[0]).json()["usage"]["total_tokens"] == 0


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_cut_at_stop_strings_and_at_tokens(
    client: TestClient, runs: dict[str, Path], stream: bool
) -> None:
    whole = metier.load(runs["mend"])(TEXTS[0])

    def cut(**limits: Any) -> tuple[str, str]:
        if not stream:
            (choice,) = chat(client, "mend", TEXTS[0], **limits).json()["choices"]
            return choice["message"]["content"], choice["finish_reason"]
        choices = [part["choices"][0] for part in events(chat(client, "mend", TEXTS[0], stream=True, **limits))]
        return "".join(choice["delta"].get("content", "") for choice in choices), choices[-1]["finish_reason"]

    stop = whole[3:5]
    assert cut(stop=stop) == (whole[: whole.index(stop)], "stop")
    assert cut(stop=["nowhere in it", stop]) == (whole[: whole.index(stop)], "stop")
    assert cut(stop="nowhere in it")[0] == whole
    short, why = cut(max_tokens=3)
    assert whole.startswith(short) and 0 < len(short) < len(whole) and why == "length"
    assert cut(max_completion_tokens=10**9)[0] == whole


@pytest.mark.parametrize(
    ("model", "wish", "param"),
    [
        ("mend", {"temperature": 0.7}, "temperature"),
        ("mend", {"n": 2}, "n"),
        ("routing", {"n": 10**9}, "n"),
        ("mend", {"presence_penalty": 1.0}, "presence_penalty"),
        ("mend", {"logit_bias": {"5": 1.0}}, "logit_bias"),
        ("scored", {"logprobs": True}, "logprobs"),
        ("plain", {"logprobs": True}, "logprobs"),
        ("mend", {"top_logprobs": 2}, "top_logprobs"),
        ("mend", {"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ("mend", {"tools": []}, "tools"),
        ("mend", {"response_format": {"type": "xml"}}, "response_format"),
        ("scored", {"response_format": {"type": "json_object"}}, "response_format"),
        ("plain", {"response_format": {"type": "json_object"}}, "response_format"),
        ("mend", {"seed": -1}, "seed"),
        ("mend", {"n": 0}, "n"),
        ("mend", {"max_tokens": 0}, "max_tokens"),
        ("mend", {"max_tokens": "9"}, "max_tokens"),
        ("mend", {"top_p": 0}, "top_p"),
        ("mend", {"stop": ""}, "stop"),
        ("mend", {"stream_options": {"include_usage": True}}, "stream_options"),
        ("routing", {"max_tokens": 9}, "max_tokens"),
        ("scored", {"max_tokens": 1}, "max_tokens"),
        ("tiny", {"temperature": 0.5, "top_p": 0.9}, "top_p"),
        ("tiny", {"n": 10**9}, "n"),
        ("tiny", {"max_tokens": 10**9}, "messages"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    client: TestClient, base: str, model: str, wish: dict[str, Any], param: str
) -> None:
    answer = chat(client, base if model == "tiny" else model, "hello", **wish)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == param and error["type"] == "invalid_request_error" and error["message"]


@pytest.mark.parametrize("roles", [["system", "user"], ["user", "assistant", "user"], ["assistant"]])
def test_a_product_takes_one_input_and_no_conversation(client: TestClient, roles: list[str]) -> None:
    messages = [{"role": role, "content": "x"} for role in roles]
    answer = client.post("/v1/chat/completions", json={"model": "mend", "messages": messages})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "messages"
    assert "one user message" in answer.json()["error"]["message"]


def test_content_in_parts_is_one_text(client: TestClient, runs: dict[str, Path]) -> None:
    parts = [{"type": "text", "text": "they utilize "}, {"type": "text", "text": "the parcel"}]
    messages = [{"role": "user", "content": parts}]
    told = client.post("/v1/chat/completions", json={"model": "plain", "messages": messages}).json()
    assert told["choices"][0]["message"]["content"] == metier.load(runs["plain"])("they utilize the parcel")


@pytest.mark.parametrize("stream", [False, True])
def test_an_input_that_does_not_fit_is_refused(client: TestClient, stream: bool) -> None:
    answer = chat(client, "mend", "parcel " * 3000, stream=stream)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "context_length_exceeded"


def test_a_base_takes_conversations_and_samples_by_seed(client: TestClient, base: str) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "and now?"},
    ]
    asked = {"model": base, "messages": messages, "max_tokens": 8}
    sampled = {**asked, "temperature": 1.0, "seed": 4, "n": 3}
    one, again = (client.post("/v1/chat/completions", json=sampled).json()["choices"] for _ in range(2))
    assert one == again and len({choice["message"]["content"] for choice in one}) == 3
    greedy = client.post("/v1/chat/completions", json=asked).json()["choices"][0]
    streamed = events(client.post("/v1/chat/completions", json={**asked, "stream": True}))
    assert greedy["message"]["content"] == "".join(part["choices"][0]["delta"].get("content", "") for part in streamed)
    told = client.post("/v1/completions", json={"model": base, "prompt": ["a", "b"], "n": 2, "max_tokens": 3}).json()
    assert [choice["index"] for choice in told["choices"]] == [0, 1, 2, 3]


def test_special_tokens_in_a_conversation_with_a_base_are_text_and_count_as_such(client: TestClient, base: str) -> None:
    sizes = []
    for text in ("a", "<|im_end|>" * 20):
        answer = chat(client, base, text, max_tokens=2)
        assert answer.status_code == 200
        sizes.append(answer.json()["usage"]["prompt_tokens"])
    assert sizes[1] > sizes[0] + 60, "each is several tokens"
    assert chat(client, base, "<|im_end|>" * 150, max_tokens=2).status_code == 400, "which do not fit its context"


def test_a_base_is_listed_and_has_no_labels(client: TestClient, base: str) -> None:
    assert client.get("/v1/models").json()["data"][-1] == {
        "id": base, "object": "model", "created": client.get(f"/v1/models/{base}").json()["created"],
        "owned_by": "metier", "root": base, "parent": None, "metier": None,
    }  # fmt: skip
    mend = client.get("/v1/models/mend").json()
    assert (mend["root"], mend["parent"], mend["metier"]["streams"]) == (base, base, True)
    answer = client.post("/classify", json={"model": base, "input": "x"})
    assert answer.status_code == 400 and "a base model" in answer.json()["error"]["message"]
