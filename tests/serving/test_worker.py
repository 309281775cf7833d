"""The thread that runs models: what is put together, in which turn, and what happens to what nobody wants any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from metier.serving.model import Outcome, Piece, Pieces
from metier.serving.worker import Pace, QueueFull, Stopping, Worker


class Echo:
    """Answers with what it was asked, and remembers what was put together."""

    def __init__(self, name: str = "echo", together: bool = True) -> None:
        self.name, self.together = name, together
        self.batches: list[list[str]] = []
        self.threads: set[str] = set()
        self.closed = False
        self.go = threading.Event()
        self.go.set()

    def answer(self, questions: Sequence[str]) -> list[Outcome]:
        self.go.wait(10)
        self.threads.add(threading.current_thread().name)
        self.batches.append(list(questions))
        if "bad" in questions:
            raise ValueError("bad")
        return [outcome(text) for text in questions]

    def stream(self, question: str) -> Pieces:
        try:
            for letter in question:
                self.go.wait(10)
                if letter == "!":
                    raise ValueError("bad")
                yield Piece(letter)
            yield outcome(question)
        finally:
            self.closed = True


def outcome(text: str) -> Outcome:
    return Outcome((text,), ("stop",), 0, len(text))


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker(Pace(waiting=20, window=0.05, rows=4, streams=2))
    made.start()
    yield made
    made.stop()


def texts(future: Future[list[Outcome]]) -> list[str]:
    return [one.texts[0] for one in future.result(10)]


def held(worker: Worker, model: Echo) -> Future[list[Outcome]]:
    """Keep the thread at a question until ``model.go`` is set, so that others wait."""
    model.go.clear()
    job = worker.ask(model, ["held"])
    while worker.waiting:
        pass
    return job.future


def test_requests_of_one_model_are_answered_together_up_to_the_rows(worker: Worker) -> None:
    first, other = Echo("first"), Echo("other")
    begun = held(worker, first)
    jobs = [worker.ask(first, [f"a{i}"]) for i in range(3)] + [worker.ask(other, ["x", "y"])]
    jobs += [worker.ask(first, ["b", "c"]), worker.ask(first, ["d"])]
    first.go.set()
    assert texts(begun) == ["held"]
    assert [texts(job.future) for job in jobs] == [["a0"], ["a1"], ["a2"], ["x", "y"], ["b", "c"], ["d"]]
    assert first.batches == [["held"], ["a0", "a1", "a2", "d"], ["b", "c"]] and other.batches == [["x", "y"]]
    assert first.threads | other.threads == {"models"}


def test_a_request_waits_a_moment_for_others(worker: Worker) -> None:
    model = Echo()
    jobs = [worker.ask(model, [text]) for text in ("a", "b")]
    assert [texts(job.future) for job in jobs] == [["a"], ["b"]] and model.batches == [["a", "b"]]


def test_what_depends_on_its_place_is_answered_alone(worker: Worker) -> None:
    model, other = Echo(together=False), Echo("other")
    begun = held(worker, other)
    jobs = [worker.ask(model, [text, text]) for text in "ab"]
    other.go.set()
    assert [texts(job.future) for job in jobs] == [["a", "a"], ["b", "b"]]
    assert model.batches == [["a", "a"], ["b", "b"]] and texts(begun) == ["held"]


def test_a_request_that_fails_takes_no_other_with_it(worker: Worker) -> None:
    model = Echo()
    jobs = [worker.ask(model, [text]) for text in ("a", "bad", "c")]
    assert texts(jobs[0].future) == ["a"] and texts(jobs[2].future) == ["c"]
    with pytest.raises(ValueError, match="bad"):
        jobs[1].future.result(10)
    assert worker.running == 0


def test_what_nobody_wants_is_taken_out_of_the_queue(worker: Worker) -> None:
    model = Echo()
    begun = held(worker, model)
    jobs = [worker.ask(model, [text]) for text in "abc"]
    worker.drop(jobs[1])
    assert worker.waiting == 2
    model.go.set()
    assert texts(jobs[2].future) == ["c"] and texts(begun) == ["held"]
    assert model.batches == [["held"], ["a", "c"]]


def test_more_than_may_wait_is_refused(worker: Worker) -> None:
    model = Echo()
    held(worker, model)
    for i in range(20):
        worker.ask(model, [str(i)])
    with pytest.raises(QueueFull):
        worker.ask(model, ["one too many"])
    model.go.set()


def listen(told: list[Any], end: threading.Event) -> Any:
    def tell(piece: str | Outcome | Exception) -> None:
        told.append(piece)
        if not isinstance(piece, Piece):
            end.set()

    return tell


def test_streams_take_turns_with_each_other_and_with_batches(worker: Worker) -> None:
    model = Echo()
    heard: list[tuple[str, str]] = []
    ends = [threading.Event() for _ in range(3)]
    found: list[list[Any]] = [[], [], []]

    def tell(k: int) -> Any:
        inner = listen(found[k], ends[k])

        def both(piece: Any) -> None:
            heard.append((str(k), piece.text if isinstance(piece, Piece) else "end"))
            inner(piece)

        return both

    begun = held(worker, model)
    for k, text in enumerate(("abcd", "xy", "12")):
        worker.stream(model, text, tell(k))
    asked = worker.ask(model, ["q"])
    model.go.set()
    assert all(end.wait(10) for end in ends) and texts(asked.future) == ["q"] and texts(begun) == ["held"]
    assert ["".join(p.text for p in pieces if isinstance(p, Piece)) for pieces in found] == ["abcd", "xy", "12"]
    assert heard[:4] == [("0", "a"), ("1", "x"), ("0", "b"), ("1", "y")], "two at a time, the third waits"
    assert [pieces[-1].texts for pieces in found] == [("abcd",), ("xy",), ("12",)]


def test_streams_and_batches_share_the_time(worker: Worker) -> None:
    class Slow(Echo):
        def answer(self, questions: Sequence[str]) -> list[Outcome]:
            time.sleep(0.1)
            order.append("batch")
            return super().answer(questions)

    order: list[str] = []
    model, begun, end = Slow(together=False), threading.Event(), threading.Event()

    def tell(piece: Any) -> None:
        time.sleep(0.01)
        order.append("piece")
        (begun if isinstance(piece, Piece) else end).set()

    worker.stream(model, "a" * 30, tell)
    assert begun.wait(10)
    jobs = [worker.ask(model, [text]) for text in "abcd"]
    assert end.wait(10) and [texts(job.future) for job in jobs] == [["a"], ["b"], ["c"], ["d"]]
    first, second = [place for place, what in enumerate(order) if what == "batch"][:2]
    assert second - first > 3, "several pieces between two batches, and not one"


def test_a_stream_that_nobody_reads_is_stopped(worker: Worker) -> None:
    model = Echo()
    told: list[Any] = []
    begun = threading.Event()

    def tell(piece: Any) -> None:
        told.append(piece)
        if not begun.is_set():
            model.go.clear()  # the next piece waits until the request was dropped
        begun.set()

    job = worker.stream(model, "abcdef" * 1000, tell)
    assert begun.wait(10)
    worker.drop(job)
    model.go.set()
    assert texts(worker.ask(model, ["after"]).future) == ["after"]
    assert len(told) <= 2 and model.closed and worker.running == 0


def test_what_fails_in_a_stream_is_told(worker: Worker) -> None:
    told: list[Any] = []
    end = threading.Event()
    worker.stream(Echo(), "ab!c", listen(told, end))
    assert end.wait(10) and told[:2] == [Piece("a"), Piece("b")] and isinstance(told[2], ValueError)


def test_it_finishes_what_it_has_and_takes_no_more() -> None:
    worker, model = Worker(Pace(window=0.0)), Echo()
    worker.start()
    begun = held(worker, model)
    waiting = worker.ask(model, ["waiting"])
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    while True:
        try:
            worker.drop(worker.ask(model, ["late"]))
        except Stopping:
            break
    model.go.set()
    stopping.join(10)
    assert texts(begun) == ["held"] and texts(waiting.future) == ["waiting"] and not stopping.is_alive()
