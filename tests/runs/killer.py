"""Runs a command in children that are killed: each at the first write to a file that none was killed at before.

``python -m tests.runs.killer KILLS ARGUMENT…`` starts the command again until it comes to its end by itself. A child
dies in the middle of the write: the data is on the disk under a temporary name, the file is not there yet. It also dies
when a folder is about to get its name, and when training has just saved a checkpoint. Where each died is a line of the
file KILLS. Children are forked from a process that has imported everything, so that a start costs no imports.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import transformers

from metier.cli import run_cli
from metier.core import storage

# What a run imports on its way. No tensor is made here, as threads would not survive the fork.
_ON_THE_WAY = (
    "datasets",
    "datasketch",
    "metier.engines.transformers",
    "metier.report.table",
    "metier.runs.run",
    "metier.tasks.read_scenario",
    "metier.training.trainer",
    "metier.training.tune",
    "pandas",
    "peft",
    "rich.table",
    "scipy.stats",
    "sklearn.metrics",
    "torch.utils.tensorboard",
    "transformers.models.llama.modeling_llama",
    "trl",
)


def arm(kills: Path) -> None:
    """Make this process die at the next write that none has died at."""
    seen = set(kills.read_text().splitlines()) if kills.exists() else set()
    write, replace, fsync = storage.write_text, storage.replace_folder, os.fsync
    write_table, save = pyarrow.parquet.write_table, transformers.Trainer._save_checkpoint
    writing: list[Path] = []

    def die_at(place: str) -> None:
        if place not in seen:
            with kills.open("a") as file:
                file.write(place + "\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def write_and_die(path: Path, text: str) -> None:
        writing.append(path)
        write(path, text)
        writing.pop()

    def sync_and_die(fd: Any) -> None:
        fsync(fd)
        if writing:
            die_at(str(writing[-1]))

    def replace_and_die(partial: Path, final: Path) -> None:
        die_at(str(final))
        replace(partial, final)

    def write_table_and_die(table: Any, path: Path, **more: Any) -> None:
        write_table(table, path, **more)
        die_at(str(path))

    def save_and_die(self: Any, *args: Any, **more: Any) -> None:
        save(self, *args, **more)
        die_at(f"checkpoint {self.args.output_dir} {self.state.global_step}")

    storage.write_text, storage.replace_folder, os.fsync = write_and_die, replace_and_die, sync_and_die
    pyarrow.parquet.write_table = write_table_and_die
    transformers.Trainer._save_checkpoint = save_and_die


def import_all() -> None:
    """Import what a run imports on its way, so that children that are forked from this process need not."""
    for name in _ON_THE_WAY:
        importlib.import_module(name)
    gc.freeze()


def main(kills: Path, arguments: list[str]) -> int:
    """Start the command until it ends by itself, and return its exit code."""
    import_all()
    while True:
        child = os.fork()
        if child == 0:
            arm(kills)
            code = run_cli(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            return os.waitstatus_to_exitcode(status)
        if os.WTERMSIG(status) != signal.SIGKILL:
            return 128 + os.WTERMSIG(status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
