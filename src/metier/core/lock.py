"""A lock that one process holds at a time, and that says which one does to those that would have it."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import filelock


class Held(Exception):
    """Another process holds the lock.

    Args:
        who: Which, as far as it is known.
    """

    def __init__(self, who: str) -> None:
        super().__init__(who)
        self.who = who


class Lock:
    """A lock on a file, let go of by the system when its process ends, however it ends.

    Args:
        path: The file. Beside it, ``NAME.holder`` names the process that holds it.
    """

    def __init__(self, path: Path) -> None:
        self._lock = filelock.FileLock(path)
        self._holder = path.with_name(f"{path.name}.holder")

    def acquire(self, *, wait: bool = False) -> None:
        """Take the lock.

        Args:
            wait: Until another process lets go of it.

        Raises:
            Held: Another process holds it.
            OSError: The file cannot be written.
        """
        try:
            self._lock.acquire(timeout=-1 if wait else 0)
        except filelock.Timeout as error:
            raise Held(self._who()) from error
        with contextlib.suppress(OSError):  # who it is helps people; the lock works without
            self._holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")

    def release(self) -> None:
        """Let go of the lock."""
        with contextlib.suppress(OSError):
            self._holder.unlink(missing_ok=True)
        self._lock.release()

    def remove(self) -> None:
        """Remove the lock's file, once it has been let go of."""
        with contextlib.suppress(OSError):
            Path(self._lock.lock_file).unlink(missing_ok=True)

    def _who(self) -> str:
        try:
            with self._holder.open(encoding="utf-8") as file:
                told = file.read(200)
        except (OSError, ValueError):
            told = ""
        return told if told.isprintable() and told else "another process"
