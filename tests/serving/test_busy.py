"""A server that has more to do than it can: what waits, what is refused, what takes too long, and who has gone."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from metier.core.errors import MetierError
from metier.serving.app import make_app
from metier.serving.opening import open_runs
from metier.serving.safety import Gate
from metier.serving.served import Served, ServedProduct
from metier.serving.settings import ServeSettings
from metier.systems.product import Answer, OpenProduct
from tests.serving.made import write_labels_run, write_replacements_run
from tests.serving.running import behind_a_socket, wait_for


class Slow:
    """Holds a product's answers back until it is told to go, and remembers what was asked."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[str] = []

    def product(self, real: OpenProduct) -> OpenProduct:
        slow = self

        class Held(OpenProduct):
            def answer(self, inputs: Sequence[str]) -> list[Answer]:
                slow.asked += inputs
                slow.go.wait(10)
                if "fail" in inputs:
                    raise MetierError("out of memory even for a batch of one prompt")
                if "break" in inputs:
                    raise ZeroDivisionError
                return real.answer(inputs)

            def stream(self, text: str) -> Iterator[str]:
                yield "begun"
                slow.go.wait(10)
                yield "late"

        return Held(real.product, real.learned)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def make(slow: Slow, tmp_path: Path) -> Any:
    """Return a function that makes a server whose answers are held back."""
    served = open_runs([write_labels_run(tmp_path / "routing"), write_replacements_run(tmp_path / "plain")])

    for one in served.products.values():
        one.opened.answer(["what takes long only once"])

    def held(one: ServedProduct) -> ServedProduct:
        return dataclasses.replace(one, opened=slow.product(one.opened))

    products = {name: held(one) for name, one in served.products.items()}
    return lambda **settings: make_app(ServeSettings(**settings), Served(served.runs, products, {}), Gate())


def classify(home: str, text: str, timeout: float = 20) -> httpx.Response:
    return httpx.post(f"{home}/classify", json={"model": "routing", "input": text}, timeout=timeout)


def test_more_than_may_wait_is_told_to_come_back(make: Any, slow: Slow) -> None:
    with behind_a_socket(make(queue=2)) as home, ThreadPoolExecutor(8) as pool:
        first = pool.submit(classify, home, "first")
        wait_for(lambda: slow.asked == ["first"])
        waiting = [pool.submit(classify, home, text) for text in ("second", "third")]
        wait_for(lambda: "num_requests_waiting 2.0" in httpx.get(f"{home}/metrics").text)
        refused = classify(home, "fourth")
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
        slow.go.set()
        assert {job.result().status_code for job in (first, *waiting)} == {200}
    assert sorted(slow.asked) == ["first", "second", "third"]


def test_what_takes_too_long_ends_with_504_and_is_not_begun_later(make: Any, slow: Slow) -> None:
    with behind_a_socket(make(timeout=1.0)) as home, ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(classify, home, "first")]
        wait_for(lambda: slow.asked == ["first"])
        jobs.append(pool.submit(classify, home, "second"))
        for job in jobs:
            answer = job.result()
            assert answer.status_code == 504 and "1 seconds" in answer.json()["error"]["message"]
        slow.go.set()
        assert classify(home, "third").status_code == 200
    assert slow.asked == ["first", "third"]


def test_who_has_gone_is_not_answered(make: Any, slow: Slow) -> None:
    with behind_a_socket(make()) as home, ThreadPoolExecutor(8) as pool:
        first = pool.submit(classify, home, "first")
        wait_for(lambda: slow.asked == ["first"])
        with pytest.raises(httpx.ReadTimeout):
            classify(home, "gone", timeout=0.3)
        wait_for(lambda: "num_requests_waiting 0.0" in httpx.get(f"{home}/metrics").text)
        slow.go.set()
        assert first.result().status_code == 200 and classify(home, "third").status_code == 200
    assert slow.asked == ["first", "third"]


def test_a_stream_that_takes_too_long_says_so_at_its_end(make: Any, slow: Slow) -> None:
    body = {"model": "plain", "messages": [{"role": "user", "content": "x"}], "stream": True}
    with behind_a_socket(make(timeout=1.0)) as home:
        told = httpx.post(f"{home}/v1/chat/completions", json=body, timeout=20).text
        slow.go.set()
    *_, last = [line.removeprefix("data: ") for line in told.splitlines() if line]
    assert "begun" in told and "[DONE]" not in told and json.loads(last)["error"]["code"] == "timeout"


@pytest.mark.parametrize(
    ("text", "why"), [("fail", "out of memory"), ("break", "the server failed (ZeroDivisionError)")]
)
def test_what_fails_is_told_in_the_same_shape_and_the_server_goes_on(
    make: Any, slow: Slow, text: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    slow.go.set()
    with behind_a_socket(make()) as home:
        answer = classify(home, text)
        assert answer.status_code == 500 and why in answer.json()["error"]["message"]
        assert "Traceback" not in answer.text and ("ZeroDivisionError in" in capsys.readouterr().err) == (
            text == "break"
        )
        assert classify(home, "my invoice").json()["data"][0]["label"] == "billing"
