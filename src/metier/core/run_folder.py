"""The run folder: which stages are done, what they were made from, and where an interrupted one goes on.

Knows nothing about what a stage does. A stage lives in ``NAME-HASH`` inside the run folder, where the hash covers
everything its result depends on; while it is being written the folder's name ends in ``.partial``. A finished stage
is never run again; one with other inputs gets a folder of its own, and the old one stays. ``manifest.json`` says what
went in and what came out and is the same to the byte when a run is repeated; ``cost.json`` holds what is not
(seconds, memory).
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock

import metier
from metier.core import storage
from metier.core.errors import UserError

_HASH_LENGTH = 10
_COST_EVERY = 5.0  # seconds between two notes of what long work has cost


class Stage:
    """One stage's folder: shards that are written as they come, then a manifest.

    Attributes:
        name: The stage's name.
        key: Hash of everything its result depends on.
        done: Whether it was finished already.
        path: Its folder (under its temporary name until `finish`).
        shard: Its parts, each made once.
    """

    def __init__(self, folder: Path, name: str, inputs: Mapping[str, Any]) -> None:
        self.name = name
        self._inputs = {**inputs, "metier": metier.__version__, "stage": name}
        self.key = storage.digest(self._inputs)[:_HASH_LENGTH]
        self._final = folder / f"{name}-{self.key}"
        self.done = (self._final / "manifest.json").exists()
        self.path = self._final if self.done else folder / f"{name}-{self.key}.partial"
        if not self.done:
            with storage.explained(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
        self.shard = Shards(self)
        cost = self.path / "cost.json"
        self._cost: dict[str, Any] = storage.read_json(cost) if cost.exists() else {}

    def write_records(self, name: str, records: list[dict[str, Any]]) -> None:
        """Write records to ``NAME.jsonl``."""
        storage.write_lines(self.path / f"{name}.jsonl", records)

    def read_records(self, name: str) -> list[dict[str, Any]]:
        """Read the records of ``NAME.jsonl``."""
        return storage.read_lines(self.path / f"{name}.jsonl")

    def add_cost(self, *, seconds: float = 0.0, tokens: int = 0, part: str = "") -> None:
        """Add to what the stage, and a part of it, has cost so far, over all the times it was started."""
        parts = dict(self._cost.get("parts", {}))
        if part:
            parts[part] = parts.get(part, 0.0) + seconds
        self._cost = {
            "seconds": self._cost.get("seconds", 0.0) + seconds,
            "tokens": self._cost.get("tokens", 0) + tokens,
            "peak_memory_bytes": max(self._cost.get("peak_memory_bytes", 0), peak_memory()),
            "parts": parts,
            "latencies": self._cost.get("latencies", {}),
            "memory": self._cost.get("memory", {}),
        }
        storage.write_json(self.path / "cost.json", self._cost)

    def measure_latency(self, system: str, answer: Callable[[str], Any], texts: Sequence[str]) -> None:
        """Answer texts one at a time and put the seconds of each on file, unless that was done before."""
        if system in self._cost.get("latencies", {}) or not texts:
            return
        taken = []
        for text in texts:
            start = time.perf_counter()
            answer(text)
            taken.append(time.perf_counter() - start)
        self._cost = {**self._cost, "latencies": {**self._cost.get("latencies", {}), system: taken}}
        self.add_cost(seconds=sum(taken))

    def ticking(self, update: Callable[[int, int], None]) -> Callable[[int, int], None]:
        """Return ``update``, made to put the time since the last call on file now and then.

        What a stage that does its own checkpoints has cost so far is then not lost when it is killed.
        """
        last = time.perf_counter()
        unsaved = 0.0

        def tick(done: int, tokens: int) -> None:
            nonlocal last, unsaved
            now = time.perf_counter()
            unsaved, last = unsaved + now - last, now
            if unsaved >= _COST_EVERY:
                self.add_cost(seconds=unsaved)
                unsaved = 0.0
            update(done, tokens)

        return tick

    def note_memory(self, system: str, size: int) -> None:
        """Put on file how many bytes a system's numbers take in memory."""
        self._cost = {**self._cost, "memory": {**self._cost.get("memory", {}), system: size}}
        self.add_cost()

    @property
    def cost(self) -> dict[str, Any]:
        """Seconds, generated or trained tokens, peak memory in bytes, ``parts``, ``latencies``, ``memory``.

        Parts: seconds by part. Latencies: by system, the seconds of each text answered alone. Memory: by system, bytes.
        """
        return dict(self._cost)

    def finish(self, outcome: Mapping[str, Any]) -> None:
        """Write the manifest and give the folder its final name.

        Args:
            outcome: JSON-able facts of the result (counts, digests); must not hold times.
        """
        storage.write_json(self.path / "manifest.json", {"inputs": self._inputs, "outcome": dict(outcome)})
        storage.replace_folder(self.path, self._final)
        self.path, self.done = self._final, True

    @property
    def outcome(self) -> dict[str, Any]:
        """What `finish` was given, for a stage that is done."""
        outcome: dict[str, Any] = storage.read_json(self.path / "manifest.json")["outcome"]
        return outcome


class Shards:
    """The parts of a stage that are written as they are made."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __call__(self, name: str, make: Callable[[], Any]) -> Any:
        """Return a JSON-able part of the stage: as it was written, or made now and written at once.

        What it took is added to the stage's cost.
        """
        path = self._path(name)
        if path.exists():
            return storage.read_json(path)
        start = time.perf_counter()
        storage.write_text(path, storage.canonical_json(make()) + "\n")
        self._stage.add_cost(seconds=time.perf_counter() - start, part=name.rpartition("-")[0])
        return storage.read_json(path)

    def has(self, name: str) -> bool:
        """Whether that part is written."""
        return self._path(name).exists()

    def _path(self, name: str) -> Path:
        return self._stage.path / f"{name}.json"


class Run:
    """One run folder, held by this process alone. Open it with `open_run`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stage(self, name: str, inputs: Mapping[str, Any]) -> Stage:
        """Return the stage with these inputs: done, begun, or new."""
        return Stage(self.folder, name, inputs)


@contextlib.contextmanager
def open_run(folder: Path) -> Iterator[Run]:
    """Hold a run folder, made if it is not there.

    Raises:
        UserError: Another process holds it, or it may not be written.
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
        yield Run(folder)
    finally:
        lock.release()


def peak_memory() -> int:
    """Return the most memory this process has held, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
