from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from metier.core.errors import MetierError, UserError
from metier.core.run_folder import open_run
from metier.core.step import Work
from metier.engines.base import Engine, GenerationRequest, ScoringRequest
from metier.engines.pool import WorkerPool, connected
from metier.engines.prompts import Prompt
from metier.engines.shards import first_texts, in_shards, logprobs
from metier.engines.transformers import TransformersEngine


def _open(folder: Path) -> Engine:
    return TransformersEngine(folder, dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def pool(tiny_model: Path) -> Iterator[WorkerPool]:
    import ray

    connected(None, 3)  # room for one worker more
    made = WorkerPool(partial(_open, tiny_model), 2)
    yield made
    made.close()
    ray.shutdown()


def asked(job: int) -> list[GenerationRequest]:
    return [
        GenerationRequest(Prompt(f"parcel {job} {i}"), max_tokens=12, temperature=1.0, seed=100 * job + i)
        for i in range(5)
    ]


def test_a_pool_answers_as_one_engine_does(pool: WorkerPool, tiny_model: Path) -> None:
    one = _open(tiny_model)
    jobs = [(f"answers-{n:05d}", partial(first_texts, asked(n))) for n in range(7)]
    scoring = [ScoringRequest(Prompt("the parcel"), (" late", " came late"))]

    def make(name: str, make: Any) -> Any:
        return make()

    assert list(in_shards(pool, make, jobs)) == list(in_shards(one, make, jobs))
    assert pool.score(scoring)[0].logprobs == pytest.approx(one.score(scoring)[0].logprobs, abs=1e-5)
    assert (pool.context_length, pool.count_tokens(["a b", ""])) == (one.context_length, one.count_tokens(["a b", ""]))
    assert pool.stats.generated_tokens == one.stats.generated_tokens > 0
    assert logprobs(scoring, pool)["tokens"] == logprobs(scoring, one)["tokens"]


def _dies_the_first_time(marker: Path, requests: list[GenerationRequest], engine: Engine) -> list[str]:
    if not marker.exists():
        marker.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return first_texts(requests, engine)


def test_records_are_the_same_once_each_when_a_worker_is_killed_and_what_is_on_file_is_not_asked_for_again(
    pool: WorkerPool, tiny_model: Path, tmp_path: Path
) -> None:
    one = _open(tiny_model)
    wanted = [first_texts(asked(n), one) for n in range(6)]
    with open_run(tmp_path / "run") as run:
        work = Work(run.folder)
        work.shard("answers-00001", lambda: wanted[1])
        jobs: list[Any] = [(f"answers-{n:05d}", partial(first_texts, asked(n))) for n in range(6)]
        jobs[1] = ("answers-00001", partial(_never_again))
        jobs[3] = ("answers-00003", partial(_dies_the_first_time, tmp_path / "died", asked(3)))
        got = list(in_shards(pool, work.shard, jobs))
        assert (tmp_path / "died").exists()
        assert got == wanted
        assert sorted(p.name for p in work.path.glob("answers-*.json")) == [f"answers-0000{n}.json" for n in range(6)]


def _dies(engine: Engine) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_job_that_no_worker_survives_ends_with_words_and_the_pool_goes_on(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metier.engines.pool._LIVES", 0)
    with pytest.raises(MetierError, match="workers died again and again"):
        list(pool.each([_dies]))
    assert len(pool.score([ScoringRequest(Prompt("the parcel"), (" late",))])) == 1


def _cannot_open() -> Engine:
    raise UserError("no such model", hint="fetch it")


def test_a_worker_that_cannot_open_its_engine_says_why(pool: WorkerPool) -> None:
    other = WorkerPool(_cannot_open, 3)  # a core for each, so that there is room for one
    with pytest.raises(UserError, match="no such model"):
        other.count_tokens(["a"])
    other.close()


def _never_again(engine: Engine) -> list[str]:
    raise AssertionError("this shard is on file")


def _too_long(engine: Engine) -> Any:
    return engine.generate([GenerationRequest(Prompt("parcel " * 3000), max_tokens=5)])


def test_a_workers_error_is_told_in_its_own_words(pool: WorkerPool) -> None:
    with pytest.raises(Exception, match="do not fit"):
        list(pool.each([_too_long]))


def test_a_cluster_that_is_not_there_is_said(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def refuse(**options: Any) -> None:
        raise ConnectionError("could not find a running instance")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(UserError, match="cannot use the Ray cluster"):
        WorkerPool(partial(_open, tiny_model), 2, "10.0.0.1:6379")
