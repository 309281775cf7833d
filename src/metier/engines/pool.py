"""Many workers behind one engine: Ray actors, each with an engine of its own, on one machine or a cluster.

The actors live as long as the pool, so a model is loaded once a worker (Ray Data ends its actors with each data set; it
is used where one pass is all there is: encoding a pool). A job goes to one worker as a whole, so its batches, and with
them its bytes, are those of a single process; a worker that dies is started again and its job done again, and a job's
result is taken once, by the job's place. Knows nothing about tasks or files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from metier.core.errors import MetierError, UserError, first_line
from metier.engines.base import Engine, EngineStats, Generation, GenerationRequest, Progress, Scores, ScoringRequest
from metier.engines.shards import Job

_AHEAD = 2  # jobs a worker is given at once: one to work on, one to begin with no wait
_LIVES = 3  # times a worker is started again, and a job tried again


class WorkerPool:
    """An engine made of many.

    Args:
        open_engine: Opens a worker's engine; it is sent to the workers, so it must not hold one.
        workers: How many.
        address: A running cluster (``auto``, ``HOST:PORT``, ``ray://HOST:PORT``); None: Ray is started here.

    Raises:
        UserError: Ray is not installed, or the cluster does not answer.
    """

    def __init__(self, open_engine: Callable[[], Engine], workers: int, address: str | None = None) -> None:
        self._ray = connected(address, workers)
        self.stats = EngineStats()
        gpus = self._ray.cluster_resources().get("GPU", 0)
        cores = self._ray.cluster_resources().get("CPU", 1)
        threads = max(1, int(cores) // workers)
        actor = self._ray.remote(
            num_cpus=0 if gpus else threads,
            num_gpus=min(1.0, gpus / workers) if gpus else 0,
            max_restarts=_LIVES,
            max_task_retries=_LIVES,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}},
        )(_Worker)
        self._workers = [actor.remote(open_engine) for _ in range(workers)]
        self._context_length: int | None = None

    @property
    def context_length(self) -> int:
        """The most tokens a prompt and its answer may have together."""
        if self._context_length is None:
            self._context_length = int(self._get(self._workers[0].context_length.remote()))
        return self._context_length

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens not added."""
        return list(self._get(self._workers[0].count_tokens.remote(list(texts))))

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Generation]:
        """Continue every prompt; a call is one job, of one worker. `each` is for many."""
        return list(next(self.each([lambda engine: engine.generate(requests)])))

    def score(self, requests: Sequence[ScoringRequest], progress: Progress | None = None) -> list[Scores]:
        """Score every prompt's continuations; a call is one job, of one worker."""
        return list(next(self.each([lambda engine: engine.score(requests)])))

    def each(self, jobs: Sequence[Job]) -> Iterator[Any]:
        """Yield the jobs' results in their order, while the workers are at later ones.

        Raises:
            MetierError: A job failed, or its worker died again and again.
        """
        running: dict[Any, tuple[int, int]] = {}  # what is awaited -> place of the job, and of the worker
        done: dict[int, Any] = {}
        waiting = list(enumerate(jobs))[::-1]
        free = [w for _ in range(_AHEAD) for w in range(len(self._workers))][::-1]
        for place in range(len(jobs)):
            while place not in done:
                while waiting and free:
                    number, job = waiting.pop()
                    worker = free.pop()
                    running[self._workers[worker].do.remote(job)] = (number, worker)
                for ready in self._ray.wait(list(running), num_returns=1)[0]:
                    number, worker = running.pop(ready)
                    free.append(worker)
                    done[number] = self._get(ready)
            result, prompt_tokens, generated, seconds = done.pop(place)
            self.stats.prompt_tokens += prompt_tokens
            self.stats.generated_tokens += generated
            self.stats.seconds += seconds
            yield result

    def close(self) -> None:
        """End the workers, and give their memory back."""
        for worker in self._workers:
            self._ray.kill(worker)
        self._workers = []

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
            raise MetierError(
                f"a worker died {_LIVES + 1} times over one job ({first_line(error)})",
                hint="is its memory short? fewer launch.workers, or a lower engine.batch_rows",
            ) from error


class _Worker:
    """What runs in an actor: one engine, and the jobs it is given."""

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        self._engine = open_engine()

    def do(self, job: Job) -> tuple[Any, int, int, float]:
        """Return a job's result and what it added to the engine's prompt tokens, new tokens and seconds."""
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

    def context_length(self) -> int:
        """The engine's context."""
        return self._engine.context_length

    def count_tokens(self, texts: list[str]) -> list[int]:
        """The engine's count."""
        return self._engine.count_tokens(texts)


def connected(address: str | None, workers: int) -> Any:
    """Return ray, connected to a cluster or started on this machine."""
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "launch.workers: Ray is not installed", hint="pip install 'metier[ray]', or set launch.workers=1"
        ) from error
    if not ray.is_initialized():
        # Nothing is sent home, and no dashboard opens a port.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
        try:
            if address is None:
                here = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}  # no port is open to others
                ray.init(num_cpus=max(workers, os.cpu_count() or 1), **here, **options)
            else:
                ray.init(address=address, **options)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise UserError(
                f"launch.ray_address: the Ray cluster {address or 'on this machine'} cannot be used "
                f"({first_line(error)})",
                hint="ray start --head starts one; launch.ray_address=auto finds it",
            ) from error
    return ray
