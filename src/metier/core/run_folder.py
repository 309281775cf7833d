"""The run folder: held by one process at a time. What is in it is the steps' own (``core/step.py``)."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from metier.core import storage
from metier.core.errors import MetierError, UserError
from metier.core.lock import Held, Lock

_LOCK = ".lock"


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
        MetierError: It was moved or deleted while it was held.
    """
    with storage.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder / _LOCK)
    with storage.explained(folder):
        try:
            lock.acquire()
        except Held as error:
            raise UserError(
                f"{folder}: another metier run is working in this folder ({error.who})",
                hint="wait for it, stop it, or give this run a folder of its own with --out",
            ) from error
    try:
        # What a run that was killed while it wrote a file has left; no one else writes here now.
        for stray in folder.rglob(storage.UNFINISHED):
            stray.unlink(missing_ok=True)
        with _still_there(folder):
            yield Run(folder)
    finally:
        lock.release()


@contextlib.contextmanager
def _still_there(folder: Path) -> Iterator[None]:
    """Say so where a folder was moved or deleted meanwhile, whatever that has led to."""
    gone = MetierError(
        f"{folder}: the run folder was moved or deleted while the run went on",
        hint="the same command resumes, with --out where the folder is now",
    )
    try:
        yield
    except Exception as error:
        if not (folder / _LOCK).exists():
            raise gone from error
        raise
    if not (folder / _LOCK).exists():
        raise gone


def peak_memory() -> int:
    """Return the most memory this process has held, in bytes; where the system does not say, what it holds now."""
    try:
        import resource
    except ImportError:  # Windows
        told = psutil.Process().memory_info()
        return int(getattr(told, "peak_wset", told.rss))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
