"""The one thread that runs models: it takes requests from a bounded queue and answers those of one model together.

Requests wait a moment for others of the same model (`Pace.window`), as a batch takes little longer than one of its
rows; models that are tuned from one may write in the same passes (`Mixes`). Texts that are streamed are taken further
in turns, a piece each, between the batches, which share the time with them; an engine may write those of one model side
by side. Knows nothing about HTTP.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from metier.core.errors import MetierError
from metier.serving.model import Mixes, Model, Outcome, Piece, Pieces, Told


class QueueFull(MetierError):
    """As many requests wait as may."""


class Stopping(MetierError):
    """The server is about to end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """How requests are taken.

    Attributes:
        waiting: Requests that wait at most; more are refused.
        window: Seconds that the first of a batch waits for others.
        rows: Questions that are answered together; a single request may have more.
        streams: Texts that are streamed at the same time.
    """

    waiting: int = 256
    window: float = 0.01
    rows: int = 64
    streams: int = 16


@dataclasses.dataclass(slots=True, eq=False)
class Job:
    """A request in the queue.

    Attributes:
        model: Who answers.
        questions: What is asked.
        told: Where the pieces go, if it is streamed.
        future: Gets the outcomes, if it is not.
        dropped: Whether nobody wants the answer any more.
        arrived: When it came.
    """

    model: Model
    questions: Sequence[Any]
    told: Told | None = None
    future: Future[list[Outcome]] = dataclasses.field(default_factory=Future)
    dropped: bool = False
    arrived: float = dataclasses.field(default_factory=time.monotonic)


class Worker:
    """Runs models in one thread.

    Args:
        pace: How requests are taken.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._waiting: collections.deque[Job] = collections.deque()
        self._streams: list[tuple[Job, Pieces]] = []
        self._running = 0
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return self._running + len(self._streams)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to take requests."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what is in the queue, take no more, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def ask(self, model: Model, questions: Sequence[Any]) -> Job:
        """Put questions to a model; they are answered together.

        Raises:
            QueueFull: Too many requests wait.
            Stopping: The server is about to end.
        """
        return self._put(Job(model, questions))

    def stream(self, model: Model, question: Any, told: Told) -> Job:
        """Let a model write its answer to one question piece by piece.

        Args:
            model: Who answers.
            question: What is asked.
            told: Where the pieces go.

        Raises:
            QueueFull: Too many requests wait.
            Stopping: The server is about to end.
        """
        return self._put(Job(model, (question,), told))

    def drop(self, job: Job) -> None:
        """Take a request out of the queue, or stop writing its answer; a batch that has begun is not stopped."""
        with self._changed:
            job.dropped = True
            with contextlib.suppress(ValueError):
                self._waiting.remove(job)

    def _put(self, job: Job) -> Job:
        with self._changed:
            if self._stopping:
                raise Stopping("the server is stopping")
            if len(self._waiting) >= self._pace.waiting:
                raise QueueFull(f"{len(self._waiting)} requests are waiting already")
            self._waiting.append(job)
            self._changed.notify()
        return job

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._streams or self._stopping):
                    self._changed.wait()
                if not (self._waiting or self._streams):
                    return
                batch = self._taken()
            begun = time.monotonic()
            if batch:
                self._answer(batch)
                self._running = 0
            self._write_on(time.monotonic() - begun)

    def _taken(self) -> list[Job]:
        """Begin the streams that may begin, and take requests of one kin that fit a batch, the oldest first."""
        self._wait_for_more()
        for job in [job for job in self._waiting if job.told is not None]:
            if len(self._streams) < self._pace.streams:
                self._waiting.remove(job)
                self._streams.append((job, job.model.stream(job.questions[0])))
        batch: list[Job] = []
        for job in [job for job in self._waiting if job.told is None]:
            if self._may_join(batch, job):
                self._waiting.remove(job)
                if job.future.set_running_or_notify_cancel():  # from here on it cannot be cancelled
                    batch.append(job)
        self._running = len(batch)
        return batch

    def _wait_for_more(self) -> None:
        """Wait until the oldest request has waited its moment, or there is enough for a batch."""
        while self._waiting and not self._streams:
            rest = self._waiting[0].arrived + self._pace.window - time.monotonic()
            if rest <= 0 or sum(len(job.questions) for job in self._waiting) >= self._pace.rows:
                return
            self._changed.wait(rest)

    def _may_join(self, batch: list[Job], job: Job) -> bool:
        if not batch:
            return True
        rows = sum(len(one.questions) for one in [*batch, job])
        first = batch[0].model
        same = job.model is first or (_kin(first) is not None and _kin(job.model) is _kin(first))
        return same and first.together and job.model.together and rows <= self._pace.rows

    def _answer(self, batch: list[Job]) -> None:
        """Answer some requests of one model, or of several that write together."""
        groups: dict[int, list[Job]] = {}
        for job in batch:
            groups.setdefault(id(job.model), []).append(job)
        for model, jobs in zip(_prepared(list(groups.values())), groups.values(), strict=True):
            _answer_by(model, jobs)

    def _write_on(self, seconds: float) -> None:
        """Write one more piece of every text that is streamed, and go on for as long as the batch before it took.

        So streams and batches get half of the time each, where there are both.
        """
        end = time.monotonic() + seconds
        while self._streams:
            for job, pieces in list(self._streams):
                if job.dropped or not _told(job, pieces):
                    pieces.close()
                    self._streams.remove((job, pieces))
            if time.monotonic() >= end:
                return


def _kin(model: Model) -> object | None:
    return model.kin if isinstance(model, Mixes) else None


def _prepared(groups: Sequence[list[Job]]) -> Sequence[Model]:
    """Return the model of each group of requests; of several, so that what they write is known, unless that fails."""
    models = [jobs[0].model for jobs in groups]
    first = models[0]
    if len(models) > 1 and isinstance(first, Mixes):
        asked = [(jobs[0].model, [question for job in jobs for question in job.questions]) for jobs in groups]
        with contextlib.suppress(Exception):  # each then answers by itself, and so says by itself what is wrong
            return first.beside(asked)
    return models


def _answer_by(model: Model, jobs: list[Job]) -> None:
    """Answer requests of one model; where that fails, each by itself, so that none fails with another."""
    try:
        made = model.answer([question for job in jobs for question in job.questions])
    except Exception as error:
        if len(jobs) == 1:
            jobs[0].future.set_exception(error)
            return
        for job in jobs:
            _answer_by(model, [job])
        return
    turn = iter(made)
    for job in jobs:
        job.future.set_result([next(turn) for _ in job.questions])


def _told(job: Job, pieces: Pieces) -> bool:
    """Tell the next piece of a text, and return whether there may be more."""
    assert job.told is not None
    try:
        piece = next(pieces)
    except Exception as error:
        job.told(error)
        return False
    job.told(piece)
    return isinstance(piece, Piece)
