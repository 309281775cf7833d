"""Trains in several processes through accelerate, and brings the result back as if it had been one.

The job is put on file, ``accelerate launch`` (on processors, where accelerate would want MPI: torchrun, which sets the
same environment) starts `worker` once for each process, and the first of them reports its steps. A process that dies
takes the others with it; the next start resumes from the last complete checkpoint, with any number of processes.

Knows nothing about tasks, or how training is done.
"""

from __future__ import annotations

import collections
import contextlib
import importlib.resources
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from metier.core import storage
from metier.core.errors import MetierError, UserError
from metier.core.records import LossPoint
from metier.models.load import pick_device
from metier.tasks.settings import LaunchSettings
from metier.training.tune import JOB, Tuned, TuningJob
from metier.training.worker import STEP, write_job

_CONFIGS = ("ddp", "fsdp2")
_TOLD = 12  # lines of a failed process's last words that are shown
_GRACE = 20.0  # seconds a stopped process has to go by itself


def tune_in_processes(
    job: TuningJob,
    folder: Path,
    launch: LaunchSettings,
    progress: Callable[[int, int], None] | None = None,
) -> Tuned:
    """Tune a model in several processes.

    Args:
        job: What to tune, on what, and how.
        folder: As for `tune.tune`; an interrupted tuning resumes with any number of processes.
        launch: How many processes, and how they are started.
        progress: Called with (optimiser steps done, 0).

    Raises:
        UserError: The launch settings cannot be met.
        MetierError: A process failed or was killed; what was done is kept.
    """
    at = folder / JOB
    shutil.rmtree(at, ignore_errors=True)
    write_job(at, job)
    command, environment = _command(launch, pick_device(job.engine.device))
    code, last = _followed([*command, "-m", "metier.training.worker", str(at)], environment, progress)
    if (at / "error.json").exists():
        told = storage.read_json(at / "error.json")
        kind = UserError if told["exit_code"] == UserError.exit_code else MetierError
        raise kind(told["message"], hint=told["hint"])
    if code or not (at / "tuned.json").exists():
        raise MetierError(
            f"training in several processes failed (exit code {code}). Its last output:\n  " + "\n  ".join(last),
            hint="the same command resumes from the last checkpoint; launch.processes=1 trains in this process",
        )
    found = storage.read_json(at / "tuned.json")
    found["losses"] = tuple(LossPoint(**point) for point in found["losses"])
    return Tuned(**{**found, "folder": folder / found["folder"]})


def describe(launch: LaunchSettings) -> str:
    """Return how many processes train, for the progress line; empty for one."""
    if launch.accelerate_config is not None:
        return f", as {launch.accelerate_config} says"
    return f", in {launch.processes} processes" if launch.processes > 1 else ""


def _followed(
    command: list[str], environment: dict[str, str], progress: Callable[[int, int], None] | None
) -> tuple[int, list[str]]:
    """Run a command to its end and report its steps; return its exit code and the last lines it printed."""
    last: collections.deque[str] = collections.deque(maxlen=_TOLD)
    with _started(command, environment) as process:
        for line in process.stdout or ():
            if line.startswith(STEP) and line[len(STEP) :].strip().isdigit():
                if progress:
                    progress(int(line[len(STEP) :]), 0)
            elif line.strip():
                last.append(line.rstrip())
        return process.wait(), list(last)


def _command(launch: LaunchSettings, device: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that starts the processes, and what it adds to the environment."""
    if launch.accelerate_config is not None:
        config = _config(launch.accelerate_config)
        asked = ["--num_processes", str(launch.processes)] if launch.processes > 1 else []
        return [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), *asked], {}
    if device == "cpu":
        # Processes that all use all cores wait for each other more than they work.
        threads = max(1, len(os.sched_getaffinity(0)) // launch.processes) if hasattr(os, "sched_getaffinity") else 1
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        return [*torchrun, "--nproc_per_node", str(launch.processes)], {"OMP_NUM_THREADS": str(threads)}
    return [
        *(sys.executable, "-m", "accelerate.commands.launch"),
        *("--config_file", str(_config("ddp")), "--num_processes", str(launch.processes)),
    ], {}


def _config(name: str) -> Path:
    """Return an accelerate config file: one of ours by name, or the user's."""
    if name in _CONFIGS:
        return Path(str(importlib.resources.files("metier.training") / "configs" / f"{name}.yaml"))
    path = Path(name)
    if not path.is_file():
        raise UserError(
            f"launch.accelerate_config: there is no file {name}",
            hint=f"accelerate config writes one; ready ones are {' and '.join(_CONFIGS)}",
        )
    return path


@contextlib.contextmanager
def _started(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Start a command whose workers end when this process does, however it ends."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,  # held open while this process lives: the workers end when it closes
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
