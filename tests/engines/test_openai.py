"""The server engine against a server that misbehaves in every way a network knows."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from metier.core.errors import MetierError, UserError
from metier.engines.base import CannotScore, Engine, GenerationRequest, Progress, Scores, ScoringRequest
from metier.engines.openai import OpenAIEngine
from metier.engines.prompts import Prompt
from metier.engines.server import Server as Asked
from metier.engines.split import SplitEngine

Answer = tuple[int, dict[str, str], bytes] | None
"""Status, headers and body; None: hang up without a word."""


class Server(ThreadingHTTPServer):
    """Answers completions; the first answers to each prompt can be made faults."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: list[Answer] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.served = ["small"]
        self.name = "small"
        self.samples = 99
        self.delay = 0.0
        self.busy = self.most_busy = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:
        self._send((200, {}, json.dumps({"data": [{"id": name} for name in self.server.served]}).encode()))

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.asked.append(body)
            server.keys.append(self.headers.get("Authorization"))
            server.busy += 1
            server.most_busy = max(server.busy, server.most_busy)
            fault = server.faults.pop(0) if server.faults else ...
        time.sleep(server.delay)
        with server.lock:
            server.busy -= 1
        if fault is not ...:
            self._send(fault)
            return
        text = body.get("prompt") or body["messages"][-1]["content"]
        count = min(body.get("n", 1), server.samples)
        choices: list[dict[str, Any]] = [
            {"text": f"{text}|{body.get('seed', 0)}|{i}END more", "finish_reason": "stop"} for i in range(count)
        ]
        if "messages" in body:
            choices = [{"message": {"content": c["text"]}, "finish_reason": "length"} for c in choices]
        usage = {"prompt_tokens": 3, "completion_tokens": 2 * count}
        self._send((200, {}, json.dumps({"model": server.name, "choices": choices, "usage": usage}).encode()))

    def _send(self, answer: Answer) -> None:
        if answer is None:
            self.connection.close()
            return
        status, headers, body = answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that behaves, until told otherwise."""
    made = Server()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def engine(server: Server) -> Callable[..., OpenAIEngine]:
    """Makes engines on the server."""

    def make(**settings: Any) -> OpenAIEngine:
        journal = settings.pop("journal", None)
        asked = Asked(server.url, "small", **{"retries": 3, "timeout": 5, **settings})
        return OpenAIEngine(
            asked, count_tokens=lambda texts: [len(t.split()) for t in texts], context_length=50, journal=journal
        )

    return make


def asking(text: str = "a prompt", **settings: Any) -> GenerationRequest:
    return GenerationRequest(Prompt(text), **{"max_tokens": 8, "stop": ("END",), **settings})


def test_answers_come_in_order_with_their_samples_and_cost(server: Server, engine: Callable[..., OpenAIEngine]) -> None:
    found = engine().generate([asking(f"p{i}", samples=2, seed=10 * i) for i in range(20)])
    assert [g.texts for g in found] == [(f"p{i}|{10 * i}|0", f"p{i}|{10 * i}|1") for i in range(20)]
    body = next(b for b in server.asked if b["prompt"] == "p3")
    assert (body["n"], body["max_tokens"], body["stop"], body["temperature"]) == (2, 8, ["END"], 0.0)
    assert "top_k" not in body


def test_a_server_without_n_is_asked_again(server: Server, engine: Callable[..., OpenAIEngine]) -> None:
    server.samples = 1
    (found,) = engine().generate([asking(samples=3, seed=5)])
    assert found.texts == ("a prompt|5|0", "a prompt|6|0", "a prompt|7|0")


def test_chat_sends_one_message_and_tells_what_was_cut_off(server: Server, engine: Callable[..., OpenAIEngine]) -> None:
    (found,) = engine(api="chat").generate([asking()])
    assert server.asked[-1]["messages"] == [{"role": "user", "content": "a prompt"}]
    assert found.finished == (False,)


@pytest.mark.parametrize(
    "fault",
    [
        None,
        (429, {"Retry-After": "0.1"}, b"slow down"),
        (500, {}, b"oh"),
        (503, {}, b"<html>busy</html>"),
        (200, {"Content-Length": "400"}, b'{"choices": [{"text": "cut'),
    ],
    ids=["hung up", "429", "500", "503", "cut"],
)
def test_what_may_pass_is_tried_again(server: Server, engine: Callable[..., OpenAIEngine], fault: Answer) -> None:
    server.faults = [fault, fault]
    (found,) = engine(timeout=1).generate([asking()])
    assert found.texts == ("a prompt|0|0",)
    assert len(server.asked) == 3


def test_a_server_that_asks_to_wait_is_waited_for(server: Server, engine: Callable[..., OpenAIEngine]) -> None:
    server.faults = [(429, {"Retry-After": "1"}, b"")]
    start = time.monotonic()
    engine().generate([asking()])
    assert time.monotonic() - start >= 1


def test_a_slow_answer_is_given_up_and_asked_again(server: Server, engine: Callable[..., OpenAIEngine]) -> None:
    server.delay = 1.0
    made = engine(timeout=0.2, retries=1)
    with pytest.raises(MetierError, match="cannot be reached after 2 tries .ReadTimeout"):
        made.generate([asking()])


def test_no_more_requests_than_allowed_are_under_way(server: Server, engine: Callable[..., OpenAIEngine]) -> None:
    server.delay = 0.05
    engine(concurrency=3).generate([asking(f"p{i}") for i in range(12)])
    assert server.most_busy <= 3


def test_what_was_answered_is_not_asked_again(
    server: Server, engine: Callable[..., OpenAIEngine], tmp_path: Path
) -> None:
    journal = tmp_path / "journal.jsonl"
    requests = [asking(f"p{i}") for i in range(6)]
    server.faults = [(400, {}, b"no")]
    with pytest.raises(MetierError, match="HTTP 400: no"):
        engine(journal=journal, concurrency=1).generate(requests[2:3])
    engine(journal=journal).generate(requests[:4])
    with journal.open("a") as file:
        file.write('{"key": "torn')  # as a kill leaves it
    asked = len(server.asked)
    found = engine(journal=journal).generate(requests)
    assert len(server.asked) == asked + 2
    assert [g.texts[0] for g in found] == [f"p{i}|0|0" for i in range(6)]


def test_the_key_is_sent_and_never_told(
    server: Server, engine: Callable[..., OpenAIEngine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "secret-4711")
    journal = tmp_path / "journal.jsonl"
    made = engine(key_env="SOME_KEY", journal=journal, retries=0)
    made.generate([asking()])
    assert server.keys == ["Bearer secret-4711"]
    server.faults = [(401, {}, b"bad key")]
    with pytest.raises(UserError) as refused:
        made.generate([asking("other")])
    assert "secret" not in f"{refused.value}{refused.value.hint}" and "secret" not in journal.read_text()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ((200, {}, b"<html>hello</html>"), "the answer is not JSON"),
        ((200, {}, b"[]"), "not a JSON object"),
        ((200, {}, b"{}"), "an answer with a wrong choices"),
        ((200, {}, b'{"choices": [{"text": 5}]}'), "an answer with a wrong choices.0.text"),
        ((200, {}, b'{"choices": []}'), "an answer without text"),
        ((200, {}, b'{"choices": [{"text": null}]}'), "an answer without text"),
        ((200, {}, b'{"model": "large", "choices": [{"text": "a"}]}'), "asked for 'small' and answered with 'large'"),
        ((404, {}, b"no such path"), "HTTP 404: no such path"),
    ],
)
def test_what_cannot_pass_is_told_at_once(
    server: Server, engine: Callable[..., OpenAIEngine], fault: Answer, told: str
) -> None:
    server.faults = [fault]
    with pytest.raises(MetierError, match=told):
        engine().generate([asking()])
    assert len(server.asked) == 1


def test_a_model_that_is_not_served_and_a_server_that_is_down(
    server: Server, engine: Callable[..., OpenAIEngine]
) -> None:
    server.served = ["large", "larger"]
    with pytest.raises(UserError, match="does not serve 'small'") as wrong:
        engine()
    assert wrong.value.hint == "it has: large, larger"
    with pytest.raises(MetierError, match="cannot be reached after 1 tries"):
        nobody = Asked("http://127.0.0.1:9/v1", "m", retries=0)
        OpenAIEngine(nobody, count_tokens=lambda t: [1], context_length=9)


def test_a_prompt_too_long_is_refused_before_it_is_sent(server: Server, engine: Callable[..., OpenAIEngine]) -> None:
    with pytest.raises(MetierError, match="a prompt of 60 tokens"):
        engine().generate([asking("word " * 60)])
    assert server.asked == []


def test_labels_are_scored_from_an_echoed_prompt(server: Server, engine: Callable[..., OpenAIEngine]) -> None:
    told = {"token_logprobs": [None, -1.0, -0.5, -0.25, -9.0], "text_offset": [0, 2, 4, 7, 9]}
    server.faults = [(200, {}, json.dumps({"choices": [{"text": "", "logprobs": told}]}).encode())]
    (found,) = engine().score([ScoringRequest(Prompt("p: x"), (" yes ",))])
    assert found == Scores((-0.75,), (2,))  # the tokens that begin within the continuation, not the one made after it


def test_a_server_that_cannot_score_leaves_it_to_another_engine(
    server: Server, engine: Callable[..., OpenAIEngine]
) -> None:
    class Scorer(OpenAIEngine):
        def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
            self.stats.prompt_tokens += 100
            return [Scores((-1.0,), (1,)) for _ in requests]

    def open_scorer() -> Engine:
        opened.append(1)
        asked = Asked(server.url, "small")
        return Scorer(asked, count_tokens=lambda texts: [1 for _ in texts], context_length=50)

    made = engine()
    opened: list[int] = []
    with pytest.raises(CannotScore):
        made.score([ScoringRequest(Prompt("p"), ("x",))])
    split = SplitEngine(made, open_scorer)
    before = split.stats.prompt_tokens
    for _ in range(2):
        assert split.score([ScoringRequest(Prompt("p"), ("x",))]) == [Scores((-1.0,), (1,))]
    assert opened == [1]
    assert split.stats.prompt_tokens >= before + 100
    assert split.generate([asking()])[0].texts == ("a prompt|0|0",)
