"""The run folder: held by one process at a time. What is in it is the steps' own (``core/step.py``)."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import filelock
import psutil

from metier.core import storage
from metier.core.errors import UserError


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """A run folder, held by this process alone, or a task's folder inside it. Open one with `open_run`."""

    folder: Path

    def inside(self, *names: str) -> Run:
        """Return a folder inside this one."""
        return Run(self.folder.joinpath(*names))


@contextlib.contextmanager
def open_run(folder: Path) -> Iterator[Run]:
    """Hold a run folder, made if it does not exist.

    Raises:
        UserError: Another process holds it, or it cannot be written.
    """
    with storage.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock")
    with storage.explained(folder):
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise UserError(
                f"{folder}: another metier run is working in this folder",
                hint="wait for it, stop it, or give this run a folder of its own with --out",
            ) from error
    try:
        # What a run that was killed while it wrote a file has left; no one else writes here now.
        for stray in folder.rglob(storage.UNFINISHED):
            stray.unlink(missing_ok=True)
        yield Run(folder)
    finally:
        lock.release()


def peak_memory() -> int:
    """Return the most memory this process has held, in bytes; where the system does not say, what it holds now."""
    try:
        import resource
    except ImportError:  # Windows
        told = psutil.Process().memory_info()
        return int(getattr(told, "peak_wset", told.rss))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
