"""A step of a run: made once, kept under the digest of all that it was given, and brought back typed.

`once` is the whole interface. What a step is given is a frozen record; its digest is the step's key, so nothing that
the result depends on can be left out of the key: what makes the result gets that record alone. A step's folder is
``NAME-KEY``; while it is being written the name ends in ``.partial``. In it are

- ``manifest.json``: what was given (long parts as counts and digests), and the files made with their digests, equal to
  the byte in a repeated run;
- ``result.json``, and ``FIELD.jsonl`` for each field of the result that is a tuple of records;
- ``cost.json``: what a repeated run does not repeat: seconds, memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args, get_origin

import metier
from metier.core import storage
from metier.core.codec import decode, encode
from metier.core.errors import MetierError
from metier.core.intact import prints_of, what_changed
from metier.core.run_folder import Run, peak_memory

_HASH_LENGTH = 10
_LATENCY_SECONDS, _LATENCY_TEXTS = 4.0, 3
_COST_EVERY = 5.0  # seconds between two notes of what long work has cost
_WHOLE = 20  # a part of the inputs with more items than this is a digest in the manifest

Given = TypeVar("Given")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Artifact:
    """A file or folder that a step or the model cache made.

    Attributes:
        key: Says what is in it. This alone is part of a step's key: where it lies does not matter.
        path: Where it lies here.
    """

    key: str
    path: Path

    def __encode__(self) -> str:
        return self.key


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What a step has cost so far, over all the times it was started.

    Attributes:
        seconds: Wall-clock seconds.
        tokens: Generated or trained tokens.
        peak_memory_bytes: The most memory the process held.
        parts: Seconds by part.
        latencies: Seconds of single rows, answered one at a time.
    """

    seconds: float = 0.0
    tokens: int = 0
    peak_memory_bytes: int = 0
    parts: Mapping[str, float] = dataclasses.field(default_factory=dict)
    latencies: tuple[float, ...] = ()


class Work:
    """A step's open folder: what its maker writes to, and what that costs.

    Attributes:
        path: The folder, under its temporary name until the step is whole.
        shard: Parts of the work, each made once and put on file at once.
        leaves: Files in it, beside the result's, that later steps or a product read: that none of them has changed is
            checked whenever the step is brought back.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shard = Shards(self)
        self.leaves: list[Path] = []
        file = path / "cost.json"
        self._cost = decode(Cost, storage.read_json(file)) if file.exists() else Cost()

    @property
    def cost(self) -> Cost:
        """What the step has cost so far."""
        return self._cost

    def add_cost(self, *, seconds: float = 0.0, tokens: int = 0, part: str = "") -> None:
        """Add to what the step, and a part of it, has cost."""
        before = self._cost
        parts = {**before.parts, part: before.parts.get(part, 0.0) + seconds} if part else before.parts
        self._keep(
            dataclasses.replace(
                before,
                seconds=before.seconds + seconds,
                tokens=before.tokens + tokens,
                peak_memory_bytes=max(before.peak_memory_bytes, peak_memory()),
                parts=parts,
            )
        )

    def measure_latency(self, answer: Callable[[str], object], texts: Sequence[str]) -> None:
        """Answer texts one at a time and put the seconds of each on file, unless that was done before.

        Once it has taken `_LATENCY_SECONDS`, a few texts are enough: a slow answer is known to be slow.
        """
        if self._cost.latencies or not texts:
            return
        taken: list[float] = []
        for text in texts:
            start = time.perf_counter()
            answer(text)
            taken.append(time.perf_counter() - start)
            if len(taken) >= _LATENCY_TEXTS and sum(taken) > _LATENCY_SECONDS:
                break
        self._keep(dataclasses.replace(self._cost, latencies=tuple(taken)))
        self.add_cost(seconds=sum(taken))

    def _keep(self, cost: Cost) -> None:
        self._cost = cost
        storage.write_json(self.path / "cost.json", encode(cost))

    def ticking(self, update: Callable[[int, int], None]) -> Callable[[int, int], None]:
        """Return ``update``, made to put the time since the last call on file now and then.

        What a step that keeps checkpoints of its own has cost so far is then not lost when it is killed.
        """
        last, unsaved = time.perf_counter(), 0.0

        def tick(done: int, tokens: int) -> None:
            nonlocal last, unsaved
            now = time.perf_counter()
            unsaved, last = unsaved + now - last, now
            if unsaved >= _COST_EVERY:
                self.add_cost(seconds=unsaved)
                unsaved = 0.0
            update(done, tokens)

        return tick


class Shards:
    """The parts of a step that are put on file as they are made."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __call__(self, name: str, make: Callable[[], Any]) -> Any:
        """Return a JSON-able part of the step: as it is on file, or made now and put on file.

        What it took is added to the step's cost.
        """
        path = self._path(name)
        if path.exists():
            # One that the disk has torn is made again; nothing else knows what is in it.
            with contextlib.suppress(storage.Unreadable):
                return storage.read_json(path)
        start = time.perf_counter()
        storage.write_text(path, storage.canonical_json(make()) + "\n")
        self._work.add_cost(seconds=time.perf_counter() - start, part=name.rpartition("-")[0])
        return storage.read_json(path)

    def has(self, name: str) -> bool:
        """Whether that part is on file."""
        return self._path(name).exists()

    def _path(self, name: str) -> Path:
        return self._work.path / f"{name}.json"


@dataclasses.dataclass(frozen=True)
class Done(Generic[T]):
    """A step that is whole.

    Attributes:
        name: What it is called.
        key: Digest of all that it was given.
        path: Its folder.
        kind: The type of its result.
        before: Whether it was whole before it was asked for this time.
    """

    name: str
    key: str
    path: Path
    kind: type[T]
    before: bool

    @cached_property
    def value(self) -> T:
        """What it made, read from file when first asked for."""
        return _read(self.kind, self.path)

    @property
    def cost(self) -> Cost:
        """What it has cost."""
        file = self.path / "cost.json"
        return decode(Cost, storage.read_json(file)) if file.exists() else Cost()

    def artifact(self, name: str) -> Artifact:
        """Return something the step left in its folder, for other steps' inputs."""
        return Artifact(f"{self.key}/{name}", self.path / name)


def once(run: Run, name: str, inputs: Given, make: Callable[[Given, Work], T]) -> Done[T]:
    """Return a step: as it is on file, or made now.

    Args:
        run: The run folder it is in.
        name: What the step is called.
        inputs: A frozen dataclass of everything the result depends on.
        make: Makes the result from the inputs, in the step's open folder; its return annotation is the result's type.
            It may be a ``partial`` with tools bound (an engine, a reporter): they change how fast the result comes, not
            what it is.
    """
    told = encode(inputs)
    key = storage.digest({"inputs": told, "step": name, "metier": metier.__version__})[:_HASH_LENGTH]
    kind = _result_type(make)
    final = run.folder / f"{name}-{key}"
    if (final / "manifest.json").exists():
        check_left(final)
        return Done(name, key, final, kind, before=True)
    folder = run.folder / f"{name}-{key}.partial"
    with storage.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    work = Work(folder)
    start, spent = time.perf_counter(), work.cost.seconds
    value = make(inputs, work)
    unseen = time.perf_counter() - start - (work.cost.seconds - spent)
    work.add_cost(seconds=max(0.0, unseen))
    files = _write(kind, value, folder)
    left = prints_of(folder, work.leaves)
    manifest = {"step": name, "key": key, "inputs": _short(told), "files": files, "left": left}
    storage.write_json(folder / "manifest.json", manifest)
    storage.replace_folder(folder, final)
    return Done(name, key, final, kind, before=False)


def check_left(folder: Path) -> None:
    """Notice a file that a finished step has left (`Work.leaves`) and that is not as it was written.

    Raises:
        MetierError: There is one: every later step would build on it.
    """
    manifest = storage.read_json(folder / "manifest.json")
    left = manifest.get("left", {}) if isinstance(manifest, dict) else {}
    if changed := what_changed(folder, left):
        raise _changed(folder, changed)


def read_table(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the records of a finished step's ``.jsonl`` file.

    Raises:
        OSError: It cannot be read.
        MetierError: It is not as it was written.
    """
    return _table(folder, name, _written(folder))


def _result_type(make: Callable[..., T]) -> type[T]:
    inner: Any = make
    while isinstance(inner, partial):
        inner = inner.func
    return typing.cast(type[T], typing.get_type_hints(inner)["return"])


def _write(kind: Any, value: Any, folder: Path) -> dict[str, dict[str, Any]]:
    """Write a result's files and return, by name, how many records each holds and its digest."""
    tables = _tables(kind)
    files = {}
    for field in tables:
        records = [encode(record) for record in getattr(value, field)]
        storage.write_lines(folder / f"{field}.jsonl", records)
        files[f"{field}.jsonl"] = {"records": len(records), "sha256": storage.digest(records)}
    rest = {key: item for key, item in encode(value).items() if key not in tables}
    storage.write_json(folder / "result.json", rest)
    files["result.json"] = {"sha256": storage.digest(rest)}
    return files


def _read(kind: type[T], folder: Path) -> T:
    written = _written(folder)
    data = storage.read_json(folder / "result.json")
    _check(folder, "result.json", data, written)
    for field in _tables(kind):
        data[field] = _table(folder, f"{field}.jsonl", written)
    return decode(kind, data, str(folder))


def _table(folder: Path, name: str, written: Mapping[str, Any]) -> list[dict[str, Any]]:
    records = storage.read_lines(folder / name)
    _check(folder, name, records, written)
    return records


def _written(folder: Path) -> Mapping[str, Any]:
    """Return what a step's manifest says of the files of its result."""
    manifest = storage.read_json(folder / "manifest.json")
    files = manifest.get("files") if isinstance(manifest, dict) else None
    return files if isinstance(files, dict) else {}


def _check(folder: Path, name: str, value: object, written: Mapping[str, Any]) -> None:
    told = written.get(name)
    if not isinstance(told, dict) or storage.digest(value) != told.get("sha256"):
        raise _changed(folder, f"{name} has changed since it was written")


def _changed(folder: Path, what: str) -> MetierError:
    return MetierError(
        f"{folder}: {what}", hint=f"delete {folder} and run the same command again: the step is made anew"
    )


def _tables(kind: Any) -> list[str]:
    """Return the fields of a result that are tuples of records: each is a JSON Lines file of its own."""
    hints = typing.get_type_hints(kind)
    return [
        field.name
        for field in dataclasses.fields(kind)
        if get_origin(hint := hints[field.name]) is tuple
        and get_args(hint)[1:] == (Ellipsis,)
        and dataclasses.is_dataclass(get_args(hint)[0])
    ]


def _short(told: Any) -> Any:
    """Return inputs as a manifest shows them: a long list as its length and digest."""
    if isinstance(told, dict):
        return {key: _short(item) for key, item in told.items()}
    if isinstance(told, list):
        if len(told) > _WHOLE:
            return {"items": len(told), "sha256": storage.digest(told)}
        return [_short(item) for item in told]
    return told
