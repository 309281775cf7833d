"""Many workers behind one engine: Ray actors, each with its own engine, on one machine or a cluster.

The actors live as long as the pool, so each worker loads the model once. (Ray Data ends its actors with each data set;
it is used only to encode a pool, which is a single pass.) A whole job goes to one worker, so its batches, and therefore
its bytes, are those of a single process. If a worker dies, alone or with its machine, its jobs go to the others, and
another is started in its place, where and when there is room for one; each job's result is taken once. Knows nothing
about tasks or files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from metier.core.errors import MetierError, UserError, first_line
from metier.engines.base import Engine, EngineStats, Generation, GenerationRequest, Progress, Scores, ScoringRequest
from metier.engines.shards import Job

_AHEAD = 2  # jobs given to a worker at once: one to work on, one to start without waiting
_LIVES = 3  # how often a job is given to another worker, and how many workers are started again for each at first


class WorkerPool:
    """An engine made of many workers.

    Args:
        open_engine: Opens a worker's engine. It is sent to the workers, so it must not hold an engine itself.
        workers: How many workers.
        address: A running cluster (``auto``, ``HOST:PORT``, ``ray://HOST:PORT``); None: start Ray on this machine.

    Raises:
        UserError: Ray is not installed, or the cluster does not answer.
    """

    def __init__(self, open_engine: Callable[[], Engine], workers: int, address: str | None = None) -> None:
        self._ray = connected(address, workers)
        self.stats = EngineStats()
        gpus = self._ray.cluster_resources().get("GPU", 0)
        cores = self._ray.cluster_resources().get("CPU", 1)
        threads = max(1, int(cores) // workers)
        # Started again here, not by Ray: its tasks would wait for a worker that nowhere has room for any more.
        self._actor = self._ray.remote(
            num_cpus=0 if gpus else threads,
            num_gpus=min(1.0, gpus / workers) if gpus else 0,
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": {**_worker_environment(), "OMP_NUM_THREADS": str(threads)}},
        )(_Worker)
        self._open_engine = open_engine
        self._lives = _LIVES * workers
        self._workers: list[Any] = []
        self._opening: dict[Any, Any] = {}  # awaited end of opening -> its worker
        for _ in range(workers):
            self._start()
        self._context_length: int | None = None

    @property
    def context_length(self) -> int:
        """The most tokens a prompt and its answer may have together."""
        if self._context_length is None:
            self._context_length = int(next(self.each([lambda engine: engine.context_length])))
        return self._context_length

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens not added."""
        return list(next(self.each([lambda engine: engine.count_tokens(texts)])))

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Continue every prompt; a call is one job for one worker. Use `each` for many jobs."""
        return list(next(self.each([lambda engine: engine.generate(requests)])))

    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Score every prompt's continuations; a call is one job for one worker."""
        return list(next(self.each([lambda engine: engine.score(requests)])))

    def each(self, jobs: Sequence[Job]) -> Iterator[Any]:
        """Yield the jobs' results in order, while the workers do later jobs.

        Raises:
            MetierError: A job failed, or its worker died repeatedly.
        """
        tries = [0] * len(jobs)
        running: dict[Any, tuple[int, Any]] = {}  # awaited result -> index of its job, and its worker
        done: dict[int, Any] = {}
        waiting = list(range(len(jobs)))[::-1]
        free = [worker for _ in range(_AHEAD) for worker in self._workers][::-1]
        for place in range(len(jobs)):
            while place not in done:
                while waiting and free:
                    number, worker = waiting.pop(), free.pop()
                    running[worker.do.remote(jobs[number])] = (number, worker)
                (ready,) = self._ray.wait([*running, *self._opening], num_returns=1)[0]
                if ready in self._opening:
                    free += [worker for worker in self._opened(ready) for _ in range(_AHEAD)]
                    continue
                number, worker = running.pop(ready)
                try:
                    done[number] = self._get(ready)
                    free.append(worker)
                except _WorkerDied as died:
                    free = [other for other in free if other is not worker]
                    self._lost(worker, died)
                    tries[number] += 1
                    if tries[number] > _LIVES:
                        raise _given_up(died) from died
                    waiting.append(number)
            result, prompt_tokens, generated, seconds = done.pop(place)
            self.stats.prompt_tokens += prompt_tokens
            self.stats.generated_tokens += generated
            self.stats.seconds += seconds
            yield result

    def close(self) -> None:
        """Stop the workers and free their memory."""
        for worker in [*self._workers, *self._opening.values()]:
            self._ray.kill(worker)
        self._workers, self._opening = [], {}

    def _start(self) -> None:
        worker = self._actor.remote(self._open_engine)
        self._opening[worker.open.remote()] = worker

    def _opened(self, ready: Any) -> list[Any]:
        """Return the worker that has opened its engine; none if it died, and then another is started."""
        worker = self._opening.pop(ready)
        try:
            self._get(ready)
        except _WorkerDied as died:
            self._start_another(died)
            return []
        self._workers.append(worker)
        return [worker]

    def _lost(self, worker: Any, died: _WorkerDied) -> None:
        """Start another worker in place of one that died, unless another of its jobs has said so already."""
        if any(other is worker for other in self._workers):
            self._workers = [other for other in self._workers if other is not worker]
            self._ray.kill(worker)  # it may be out of reach rather than dead
            self._start_another(died)

    def _start_another(self, died: _WorkerDied) -> None:
        if self._lives == 0:
            raise _given_up(died) from died
        self._lives -= 1
        self._start()

    def _get(self, reference: Any) -> Any:
        from ray.exceptions import RayError, RayTaskError

        try:
            return self._ray.get(reference)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, MetierError):
                raise type(cause)(cause.message, hint=cause.hint) from error
            raise MetierError(f"a worker failed: {first_line(cause or error)}") from error
        except RayError as error:
            raise _WorkerDied(first_line(error)) from error


class _WorkerDied(Exception):
    """A worker is gone, or the machine that it was on."""


def _given_up(died: _WorkerDied) -> MetierError:
    return MetierError(
        f"workers died again and again ({died})",
        hint="they may have run out of memory: lower launch.workers or engine.batch_rows",
    )


class _Worker:
    """Runs in an actor: one engine, and the jobs it is given."""

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        self._open_engine = open_engine

    def open(self) -> None:
        """Open the engine; here and not before, so that an error of it arrives in its own words."""
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        self._engine = self._open_engine()

    def do(self, job: Job) -> tuple[Any, int, int, float]:
        """Return a job's result, and the prompt tokens, generated tokens and seconds it took."""
        stats = self._engine.stats
        before = (stats.prompt_tokens, stats.generated_tokens, stats.seconds)
        result = job(self._engine)
        stats = self._engine.stats
        return (
            result,
            stats.prompt_tokens - before[0],
            stats.generated_tokens - before[1],
            stats.seconds - before[2],
        )


def _worker_environment() -> dict[str, str]:
    """Return what a worker's environment says.

    vLLM stays in the worker's own process, so that nothing is left of it when that is killed; and it binds no threads
    to cores, as those of all workers on a machine would go to the same ones.
    """
    ours = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    return {"TOKENIZERS_PARALLELISM": "false"} | {name: os.environ.get(name, value) for name, value in ours.items()}


def connected(address: str | None, workers: int) -> Any:
    """Return ray, connected to a cluster or started on this machine."""
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "launch.workers: Ray is not installed", hint="pip install 'metier[ray]', or set launch.workers=1"
        ) from error
    if not ray.is_initialized():
        # No usage statistics are sent, and no dashboard opens a port.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
        try:
            if address is None:
                here = {
                    "include_dashboard": False,
                    "_node_ip_address": "127.0.0.1",
                }  # no port is open to other machines
                ray.init(num_cpus=max(workers, os.cpu_count() or 1), **here, **options)
            else:
                ray.init(address=address, **options)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise UserError(
                f"launch.ray_address: cannot use the Ray cluster {address or 'on this machine'} ({first_line(error)})",
                hint="start one with ray start --head; launch.ray_address=auto finds it",
            ) from error
    return ray
