"""One of several training processes: reads the job from its folder, tunes, and the first puts the result there.

Started by `launch` through accelerate, which says by the environment how many there are and which one this is.
"""

from __future__ import annotations

import atexit
import dataclasses
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import NoReturn

from metier.core import storage
from metier.core.errors import MetierError
from metier.tasks.settings import EngineSettings, TrainingSettings
from metier.training.examples import EncodedExample
from metier.training.tune import TuningJob, tune

STEP = "@step "  # begins a line that says how many steps are done


def write_job(at: Path, job: TuningJob) -> None:
    """Put on file what `tune.tune` is to be called with."""
    for name, examples in (("train", job.train), ("holdout", job.holdout)):
        storage.write_lines(at / f"{name}.jsonl", [dataclasses.asdict(e) for e in examples])
    storage.write_json(
        at / "job.json",
        {
            "model": str(job.model),
            "settings": job.settings.model_dump(mode="json"),
            "engine": job.engine.model_dump(mode="json"),
            "seed": job.seed,
            "start": str(job.start) if job.start else None,
        },
    )


def main() -> None:
    """Do the job in the folder that is named on the command line, and end this process."""
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    job = Path(sys.argv[1])
    try:
        _work(job)
        _disconnect()
    except MetierError as error:
        # The process that started this one tells the user, in these words and with this exit code.
        told = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
        storage.write_json(job / "error.json", told)
        leave(error.exit_code)
    except BaseException:
        traceback.print_exc()
        leave(1)
    leave(0)


def leave(code: int) -> NoReturn:
    """End this process after its exit handlers, without tearing the interpreter down.

    gloo's threads may still hold tensors of a collective that the main thread has already seen finish (on a busy
    machine for a while). To free one they need the interpreter; where that is being torn down they abort the process
    (SIGABRT, "terminate called without an active exception"), and the whole run with it. destroy_process_group does not
    end these threads while anything still holds the group, as DistributedDataParallel does. The processes of
    multiprocessing end in the same way.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _disconnect() -> None:
    """Close the connection to the other processes. Only after success: a process that failed would wait for them."""
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _work(at: Path) -> None:
    first = int(os.environ.get("RANK", "0")) == 0
    tuned = tune(_read_job(at), at.parent, _say if first else None)
    if first:
        storage.write_json(at / "tuned.json", {**dataclasses.asdict(tuned), "folder": tuned.folder.name})


def _read_job(at: Path) -> TuningJob:
    asked = storage.read_json(at / "job.json")
    return TuningJob(
        model=Path(asked["model"]),
        train=_examples(at / "train.jsonl"),
        holdout=_examples(at / "holdout.jsonl"),
        settings=TrainingSettings.model_validate(asked["settings"]),
        engine=EngineSettings.model_validate(asked["engine"]),
        seed=asked["seed"],
        start=Path(asked["start"]) if asked["start"] else None,
    )


def _examples(path: Path) -> list[EncodedExample]:
    return [
        EncodedExample(tuple(r["input_ids"]), tuple(r["labels"]), tuple(r["weights"])) for r in storage.read_lines(path)
    ]


def _say(steps: int, tokens: int) -> None:
    print(f"{STEP}{steps}", flush=True)


def _end_with_the_run() -> None:
    """End this process when the one that started it is gone: two runs must never write one folder."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
