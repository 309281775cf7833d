from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from metier.core.errors import MetierError, UserError
from metier.core.records import Example
from metier.engines.prompts import PromptFormat
from metier.tasks.settings import EngineSettings, LaunchSettings, TrainingSettings
from metier.training.examples import encode_examples
from metier.training.launch import tune_in_processes
from metier.training.tune import Tuned, TuningJob, tune

# 21 examples in batches of 4: the last batch is not whole.
PAIRS = [Example(f"case {'of the parcel ' * (i % 4)}{i}", "billing" if i % 3 else "delivery") for i in range(21)]
SETTINGS = TrainingSettings(epochs=2, batch_size=4, learning_rate=1e-3, checkpoint_steps=2)
ENGINE = EngineSettings(dtype="float32", device="cpu")
TWO = LaunchSettings(processes=2)


@pytest.fixture(scope="module")
def job(tiny_model: Path) -> TuningJob:
    from transformers import AutoTokenizer

    prompts = PromptFormat(AutoTokenizer.from_pretrained(tiny_model))
    examples = encode_examples(PAIRS, "Name the team.", (), prompts, max_length=200)[0]
    return TuningJob(tiny_model, examples, examples[:5], SETTINGS, ENGINE, seed=0)


def curve(tuned: Tuned) -> list[float]:
    return [p.train if p.train is not None else p.holdout or 0.0 for p in tuned.losses]


@pytest.fixture(scope="module")
def alone(job: TuningJob, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return tune(job, tmp_path_factory.mktemp("alone"))


def test_two_processes_have_the_loss_curve_of_one(job: TuningJob, tmp_path: Path, alone: Tuned) -> None:
    seen: list[int] = []
    tuned = tune_in_processes(job, tmp_path, TWO, progress=lambda done, tokens: seen.append(done))
    assert seen == list(range(1, 13))
    assert curve(tuned) == pytest.approx(curve(alone), abs=1e-3)
    assert (tuned.epoch, tuned.trained_tokens) == (alone.epoch, alone.trained_tokens)
    assert (tuned.folder / "adapter_model.safetensors").exists() and (tuned.folder / "tokenizer.json").exists()


def test_training_resumes_after_one_of_two_processes_was_killed(job: TuningJob, tmp_path: Path, alone: Tuned) -> None:
    def kill_one(done: int, tokens: int) -> None:
        if done == 5:
            workers = [p for p in psutil.Process().children(recursive=True) if "metier.training.worker" in p.cmdline()]
            ours = [p for p in workers if "torch.distributed.run" not in p.cmdline()]
            os.kill(ours[-1].pid, signal.SIGKILL)

    with pytest.raises(MetierError, match="several processes failed"):
        tune_in_processes(job, tmp_path, TWO, progress=kill_one)
    seen: list[int] = []
    tuned = tune_in_processes(job, tmp_path, TWO, progress=lambda done, _: seen.append(done))
    assert seen[0] > 1  # it resumed, it did not start again
    assert curve(tuned) == pytest.approx(curve(alone), abs=1e-3)


def test_workers_end_when_the_process_that_started_them_does(job: TuningJob, tmp_path: Path) -> None:
    slow = dataclasses.replace(
        job, holdout=(), settings=TrainingSettings(epochs=1000, batch_size=4, learning_rate=1e-3, checkpoint_steps=2)
    )

    def interrupt(done: int, tokens: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune_in_processes(slow, tmp_path, TWO, progress=interrupt)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = [p for p in psutil.Process().children(recursive=True) if "metier.training.worker" in p.cmdline()]
        if not left:
            break
        time.sleep(0.2)
    assert not left


def test_what_cannot_be_launched_is_said(job: TuningJob, tmp_path: Path) -> None:
    odd = dataclasses.replace(job, holdout=(), settings=TrainingSettings(batch_size=3))
    with pytest.raises(MetierError, match="cannot be shared by 2 processes"):
        tune_in_processes(odd, tmp_path, TWO)
    with pytest.raises(UserError, match="there is no file nowhere.yaml"):
        tune_in_processes(job, tmp_path, LaunchSettings(accelerate_config="nowhere.yaml"))


def test_a_process_that_is_done_is_not_aborted_by_threads_that_still_hold_tensors(tmp_path: Path) -> None:
    # One process has a fork leave while gloo's thread is at a collective. Torn down, about two forks in five aborted.
    script = f"""
import os, sys
import torch, torch.distributed as dist
from metier.training.worker import leave

torch.set_num_threads(1)
for fork in range(12):
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/{{fork}}", rank=0, world_size=1)
    dist.all_reduce(torch.ones(50_000_000), async_op=True)
    leave(3)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["3"] * 12, done.stderr


WORKER = """
import atexit, sys
from metier.core.errors import UserError
from metier.training import worker

class Loud:
    def __del__(self):
        print("torn down", flush=True)

def work(job):
    sys.modules["loud"] = Loud()
    atexit.register(print, "exit handlers")
    {work}

worker._work = work
worker.main()
"""


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        ("pass", 0, ""),
        ("raise UserError('the batch', hint='smaller')", UserError.exit_code, ""),
        ("raise RuntimeError('no such luck')", 1, "RuntimeError: no such luck"),
    ],
)
def test_a_worker_runs_its_exit_handlers_and_ends_without_tearing_the_interpreter_down(
    tmp_path: Path, work: str, code: int, said: str
) -> None:
    # Its standard input stays open, as the run holds it.
    with subprocess.Popen(
        [sys.executable, "-c", WORKER.format(work=work), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        out, errors = process.stdout.read(), process.stderr.read()
    assert (process.returncode, out.split("\n")) == (code, ["exit handlers", ""])
    assert said in errors
    assert (tmp_path / "error.json").exists() == (code == UserError.exit_code)
